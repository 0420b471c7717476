#!/usr/bin/env python3
"""Packs the vocabularies of openai/whisper: writes gpt2.bin and multilingual.bin beside this file.

A .tiktoken file lists tokens in the order of their ranks. All but the single bytes are two earlier tokens joined, and
the pair of their ranks says which: the last pair that byte-pair encoding joins. A .bin file is, compressed by zlib:

- the 256 single bytes, in the order of their ranks
- for each later token the ranks of its two parts, u16, as four planes: the low bytes of all left parts, their high
  bytes, the same of the right parts. 0xffff stands for nothing (the multilingual vocabulary has an empty token)

Usage: pip download openai-whisper==20250625 --no-deps --no-binary :all:
       tar xzf openai_whisper-20250625.tar.gz
       python make.py openai_whisper-20250625/whisper/assets
"""

import base64
import sys
import zlib
from pathlib import Path

NOTHING = 0xFFFF


def read(path: Path) -> list[bytes]:
    """The tokens of a .tiktoken file; a token's index is its rank."""
    pairs = [line.split() for line in path.read_bytes().splitlines() if line]
    ranks = [int(rank) for _, rank in pairs]
    assert ranks == list(range(len(pairs))), f"{path}: ranks are not in order"
    return [base64.b64decode(token) for token, _ in pairs]


def parts(token: bytes, ranks: dict[bytes, int]) -> tuple[int, int]:
    """The ranks of the two tokens that `token` is joined from."""
    if not token:
        return NOTHING, NOTHING
    pieces = [token[i : i + 1] for i in range(len(token))]
    while len(pieces) > 2:
        joined = [ranks.get(a + b, NOTHING) for a, b in zip(pieces, pieces[1:])]
        i = joined.index(min(joined))
        assert joined[i] < ranks[token], f"{token} is not made of earlier tokens"
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
    return ranks[pieces[0]], ranks[pieces[1]]


def pack(tokens: list[bytes]) -> bytes:
    ranks = {token: i for i, token in enumerate(tokens)}
    single, joined = tokens[:256], tokens[256:]
    assert sorted(single) == [bytes([i]) for i in range(256)], "the first tokens are not the single bytes"
    pairs = [parts(token, ranks) for token in joined]
    planes = [bytes(pair[side] >> shift & 0xFF for pair in pairs) for side in (0, 1) for shift in (0, 8)]
    return zlib.compress(b"".join([*single, *planes]), 9)


def main() -> None:
    assets = Path(sys.argv[1])
    for name in ("gpt2", "multilingual"):
        packed = pack(read(assets / f"{name}.tiktoken"))
        Path(__file__).with_name(f"{name}.bin").write_bytes(packed)
        print(f"{name}.bin: {len(packed)} bytes")


if __name__ == "__main__":
    main()
