"""Writes the sample `pi.flac`, with silence up to 10 s, as 16-bit wav. Usage: clip.py RECORDING CLIP; needs soundfile."""

import sys

import soundfile

samples, rate = soundfile.read(sys.argv[1], dtype="int16")
padded = [*samples, *[0] * (10 * rate - len(samples))]
soundfile.write(sys.argv[2], padded, rate, subtype="PCM_16")
