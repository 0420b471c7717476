"""Joins recorded digits into one long recording with pauses and silences, with the known text and word times.

One speaker after the other says groups of one to six digits. Between groups are pauses, drawn evenly from 0.3 to 10 s;
one in twenty is a silence of up to a minute instead. A faint noise lies under everything.

Usage: python pauses.py --digits ../../shared/digits --split test_takes --out work/pauses [--seconds 3600] [--seed 1]
"""
import argparse
import json
import wave
from pathlib import Path

import numpy as np

from corpus import RATE, recorded
from tokens import WORDS

LEVEL, NOISE_DB = 0.07, 60   # RMS of a word; how far below it the noise is


def joined(rng, pieces, seconds):
    """Returns (waveform, [(digit, start, end)] in samples)."""
    x = (rng.standard_normal(int(seconds * RATE)) * LEVEL * 10 ** (-NOISE_DB / 20)).astype(np.float32)
    voices = sorted({p.voice for p in pieces})
    table = {(v, d): [p for p in pieces if p.voice == v and p.words[0][0] == d] for v in voices for d in range(10)}
    words, at, voice = [], 0, voices[0]
    while True:
        at += int(RATE * (rng.uniform(10, 60) if rng.random() < 0.05 else rng.uniform(0.3, 10)))
        if rng.random() < 0.2:
            voice = voices[rng.integers(len(voices))]
        level = LEVEL * 10 ** (rng.uniform(-3, 3) / 20)
        for _ in range(rng.integers(1, 7)):
            choices = table[voice, int(rng.integers(10))]
            piece = choices[rng.integers(len(choices))]
            (digit, a, b), n = piece.words[0], len(piece.audio)
            if at + n > len(x):
                return x, words
            x[at:at + n] += piece.audio * (level / np.sqrt(np.mean(piece.audio[a:b] ** 2)))
            words.append((digit, at + a, at + b))
            at += n + int(RATE * rng.uniform(0.03, 0.22))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--digits", required=True, help="folder with recordings.jsonl and recordings/")
    p.add_argument("--split", default="dev", choices=["train", "dev", "test_takes", "test_unseen"])
    p.add_argument("--seconds", type=float, default=3600)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, required=True, help="folder for the recording and manifest.jsonl")
    opt = p.parse_args()
    x, words = joined(np.random.default_rng(opt.seed), recorded(opt.digits, opt.split), opt.seconds)
    opt.out.mkdir(parents=True, exist_ok=True)
    name = f"{opt.split}_pauses_{opt.seed}.wav"
    with wave.open(str(opt.out / name), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(np.clip(np.round(x * 32768), -32768, 32767).astype("<i2").tobytes())
    timed = [{"word": WORDS[d], "start": a / RATE, "end": b / RATE} for d, a, b in words]
    row = {"path": name, "text": " ".join(w["word"] for w in timed), "words": timed}
    (opt.out / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    print(f"{len(words)} words in {opt.seconds:.0f} s")


if __name__ == "__main__":
    main()
