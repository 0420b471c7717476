"""How well openai/whisper's word times (alignment over cross-attention) fit the known times.

Usage: python word_times.py --export export --manifest set/manifest.jsonl [--limit 20]
"""
import argparse
import json
import statistics
from pathlib import Path

import torch
import whisper

from model import ALIGNMENT_HEADS
from verify import read_audio


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--export", type=Path, required=True)
    p.add_argument("--manifest", type=Path, required=True, help="rows with `words`: word, start, end in seconds")
    p.add_argument("--limit", type=int)
    opt = p.parse_args()
    model = whisper.load_model(str(opt.export / "digits.pt"), device="cpu")
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    for layer, head in ALIGNMENT_HEADS:
        mask[layer, head] = True
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    starts, ends, skipped = [], [], 0
    for row in [json.loads(line) for line in open(opt.manifest)][:opt.limit]:
        result = model.transcribe(read_audio(opt.manifest.parent / row["path"]), language="en", fp16=False, word_timestamps=True)
        found = [w for s in result["segments"] for w in s["words"]]
        if [w["word"].strip() for w in found] != [w["word"] for w in row["words"]]:
            skipped += 1
            continue
        starts += [abs(a["start"] - b["start"]) for a, b in zip(found, row["words"])]
        ends += [abs(a["end"] - b["end"]) for a, b in zip(found, row["words"])]
    for name, values in (("start", starts), ("end", ends), ("both", starts + ends)):
        values.sort()
        print(f"{name}: median {1000 * statistics.median(values):.0f} ms, 90th percentile {1000 * values[int(0.9 * len(values))]:.0f} ms, "
              f"{len(values)} times")
    print(f"{skipped} recordings with a wrong text were left out")


if __name__ == "__main__":
    main()
