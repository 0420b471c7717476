"""Turns shipped weights back into a checkpoint that `train.py --start` takes.

The token table becomes compact again: the rows of the used words, and the linear map that gives the timestamps'
rows (least squares over all of them). The helpers that are dropped at export start anew.

Usage: python resume.py --shipped ../models/digits.en --out work/start.pt
"""
import argparse
from pathlib import Path

import torch
import zstandard
from safetensors.torch import load

import tokens
from export import hf_name
from model import Model, export_state


def compact_table(table):
    """The token table [N_VOCAB, state] as (words, timestamps.weight, timestamps.bias), and the greatest error of a row."""
    full = tokens.full_ids()
    unused = next(k for k in range(tokens.N_VOCAB) if k not in set(full))
    words = torch.stack([table[unused if k is None else k] for k in full[:tokens.TIMESTAMP]])
    stamps = Model().decoder.stamps
    given = torch.cat([stamps, torch.ones(len(stamps), 1)], 1).double()
    wanted = table[tokens.FULL_TIMESTAMP:tokens.FULL_TIMESTAMP + tokens.N_TIMESTAMPS].double()
    found = torch.linalg.lstsq(given, wanted).solution
    return words, found[:-1].T.float(), found[-1].float(), float((given @ found - wanted).abs().max())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shipped", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    opt = p.parse_args()
    packed = (opt.shipped / "model.safetensors.zst").read_bytes()
    tensors = {k: v.float() for k, v in load(zstandard.ZstdDecompressor().decompress(packed)).items()}
    model = Model()
    state = {name: tensors[hf_name(name)] for name in export_state(model) if name != "decoder.token_embedding.weight"}
    words, weight, bias, error = compact_table(tensors[hf_name("decoder.token_embedding.weight")])
    print(f"timestamps: at most {error:.5f} off")
    state |= {"decoder.words": words, "decoder.timestamps.weight": weight, "decoder.timestamps.bias": bias}
    torch.save({"average": state}, opt.out)


if __name__ == "__main__":
    main()
