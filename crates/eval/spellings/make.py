#!/usr/bin/env python3
"""Writes english.txt beside this file: openai/whisper's table of British spellings and their American ones.

A line is `start|british|american|end`: start + british + end becomes start + american + end. The end stands for itself.

Usage: pip download openai-whisper==20250625 --no-deps --no-binary :all:
       tar xzf openai_whisper-20250625.tar.gz
       python make.py openai_whisper-20250625/whisper/normalizers/english.json
"""

import json
import os
import sys
from pathlib import Path


def line(british: str, american: str) -> str:
    start = os.path.commonprefix([british, american])
    british, american = british[len(start):], american[len(start):]
    end = os.path.commonprefix([british[::-1], american[::-1]])[::-1]
    return "|".join([start, british[: len(british) - len(end)], american[: len(american) - len(end)], end])


def main() -> None:
    table = json.loads(Path(sys.argv[1]).read_text())
    # Words are split at spaces before they are looked up: a key with a space is never found.
    lines = [line(british, american) for british, american in table.items() if " " not in british]
    (Path(__file__).parent / "english.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
