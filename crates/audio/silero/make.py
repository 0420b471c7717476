#!/usr/bin/env python3
"""Writes weights.safetensors beside this file: the 16 kHz network of Silero VAD 6.2, f32, without its Fourier
transform, which is a plain one with a Hann window.

The tensors are those of the package's silero_vad_16k_op15.onnx, under names of our own. (The safetensors file of the
same package holds another training of the network.)

Usage: pip download silero-vad==6.2.1 --no-deps
       unzip silero_vad-6.2.1-py3-none-any.whl
       pip install onnx safetensors
       python make.py silero_vad/data/silero_vad_16k_op15.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

N_FFT = 256

NAMES = {
    **{f"model.encoder.{i}.reparam_conv.{part}": f"conv{i + 1}.{part}" for i in range(4) for part in ("weight", "bias")},
    **{f"model.decoder.rnn.{part}": f"lstm.{part}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    "model.decoder.decoder.2.weight": "output.weight",
    "model.decoder.decoder.2.bias": "output.bias",
}


def check_transform(basis: np.ndarray) -> None:
    """The transform that is left out must be the one that the program computes."""
    sample, frequency = np.arange(N_FFT), np.arange(N_FFT // 2 + 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * sample / N_FFT)
    angle = 2 * np.pi * np.outer(frequency, sample) / N_FFT
    expected = np.concatenate([np.cos(angle), -np.sin(angle)]) * window
    assert np.abs(basis[:, 0] - expected).max() < 1e-6, "the transform is not a Fourier transform with a Hann window"


def main() -> None:
    tensors = {i.name: numpy_helper.to_array(i) for i in onnx.load(sys.argv[1]).graph.initializer}
    check_transform(tensors.pop("model.stft.forward_basis_buffer"))
    tensors = {name: tensors[source].astype(np.float32) for source, name in NAMES.items()}
    source = "silero-vad 6.2.1 (PyPI), silero_vad/data/silero_vad_16k_op15.onnx, MIT, (c) 2020-present Silero Team"
    save_file(tensors, Path(__file__).parent / "weights.safetensors", {"source": source})


if __name__ == "__main__":
    main()
