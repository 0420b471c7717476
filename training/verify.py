"""Runs the exported weights in other people's programs and counts errors and agreement.

Reads a manifest (jsonl rows with `path` and `text`), writes a jsonl with one row per recording
(`path`, `text`, and the text of each engine), prints the word error rate of each and how many
recordings all pairs of engines agree on.

Usage: python verify.py --export export --manifest set/manifest.jsonl [--out texts.jsonl]
       [--engines openai faster-whisper whisper.cpp transformers] [--beam 5]
"""
import argparse
import json
import time
from itertools import combinations
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

ENGINES = ["openai", "faster-whisper", "whisper.cpp"]


def read_audio(path):
    """Mono f32 at 16 kHz; any rate is brought there."""
    x, rate = soundfile.read(path, dtype="float32")
    return x if rate == 16000 else resample_poly(x, 16000 // gcd(16000, rate), rate // gcd(16000, rate)).astype(np.float32)


def openai(folder, beam):
    import whisper
    model = whisper.load_model(str(folder / "digits.pt"), device="cpu")
    return lambda x: model.transcribe(x, language="en", fp16=False, beam_size=beam)["text"]


def faster_whisper(folder, beam):
    from faster_whisper import WhisperModel
    model = WhisperModel(str(folder / "ct2"), device="cpu", compute_type="float32", cpu_threads=1)
    return lambda x: "".join(s.text for s in model.transcribe(x, language="en", beam_size=beam or 1)[0])


def whisper_cpp(folder, beam):
    from pywhispercpp.model import Model
    model = Model(str(folder / "digits.ggml.bin"), n_threads=1, print_progress=False, print_realtime=False,
                  redirect_whispercpp_logs_to=None)
    return lambda x: " ".join(s.text.strip() for s in model.transcribe(x, language="en"))


def transformers(folder, beam):
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor
    model = WhisperForConditionalGeneration.from_pretrained(folder / "hf", dtype=torch.float32)
    processor = WhisperProcessor.from_pretrained(folder / "hf")

    def run(x):
        features = processor(x, sampling_rate=16000, return_tensors="pt").input_features
        ids = model.generate(features, return_timestamps=True, num_beams=beam or 1)
        return processor.batch_decode(ids, skip_special_tokens=True)[0]
    return run


MAKERS = {"openai": openai, "faster-whisper": faster_whisper, "whisper.cpp": whisper_cpp, "transformers": transformers}


def errors(reference, text):
    """Edit distance between two lists of words."""
    row = list(range(len(text) + 1))
    for i, a in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(text, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--export", type=Path, required=True, help="the folder that export.py wrote")
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--engines", nargs="+", default=ENGINES, choices=MAKERS)
    p.add_argument("--limit", type=int, help="only so many recordings")
    p.add_argument("--beam", type=int, help="beam size; greedy without it")
    p.add_argument("--out", type=Path)
    p.add_argument("--show", action="store_true", help="print the recordings with errors")
    opt = p.parse_args()
    rows = [json.loads(line) for line in open(opt.manifest)][:opt.limit]
    audio = [read_audio(opt.manifest.parent / r["path"]) for r in rows]
    result = [{"path": r["path"], "text": r["text"]} for r in rows]
    total = sum(len(words(r["text"])) for r in rows)
    for name in opt.engines:
        run, began = MAKERS[name](opt.export, opt.beam), time.time()
        for row, x in zip(result, audio):
            row[name] = " ".join(words(run(x)))
        wrong = [errors(words(r["text"]), r[name].split()) for r in result]
        print(f"{name}: word error rate {100 * sum(wrong) / max(total, 1):.2f} % ({sum(wrong)} of {total} words), "
              f"{sum(w == 0 for w in wrong)} of {len(rows)} recordings without error, {time.time() - began:.0f} s", flush=True)
        if opt.show:
            for row, w in zip(result, wrong):
                if w:
                    print(f"  {row['path']}\n    said    {row['text']}\n    written {row[name]}")
    for a, b in combinations(opt.engines, 2):
        same = sum(r[a] == r[b] for r in result)
        print(f"{a} = {b}: {100 * same / len(rows):.1f} % ({same} of {len(rows)})")
    if opt.out:
        opt.out.write_text("".join(json.dumps(r) + "\n" for r in result))


if __name__ == "__main__":
    main()
