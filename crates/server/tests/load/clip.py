"""Writes a recording, with silence up to 10 s, as 16-bit wav. Usage: clip.py RECORDING CLIP; needs soundfile."""

import sys

import numpy
import soundfile

samples, rate = soundfile.read(sys.argv[1], dtype="int16")
soundfile.write(sys.argv[2], numpy.pad(samples, (0, 10 * rate - len(samples))), rate, subtype="PCM_16")
