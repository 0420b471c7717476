"""Synthesised voices: digits from espeak-ng and flite, and speech without digits.

The recordings have six speakers only, so synthesisers widen the range of voices.
Writes one .npz: the pieces' samples end to end, and where every word lies in them.
Nothing it writes is committed; it is made again in a few minutes.

Needs on the machine: libespeak-ng (Debian `espeak-ng`) and the program `flite`.
Usage: python synth.py --out work/synth.npz [--seed 1] [--espeak 2600] [--flite 700]
"""
import argparse
import ctypes
import io
import random
import re
import subprocess
import wave

import numpy as np
from scipy.signal import resample_poly

RATE = 16000
WORDS = "zero one two three four five six seven eight nine".split()
ACCENTS = ["en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
           "en-gb-x-gbcwmd", "en-029", "en-us-nyc"]
FLITE_VOICES = ["kal", "kal16", "awb", "rms", "slt"]
# Speech without a digit in it: background talk, and words that must give no text.
OTHER = """the quick brown fox jumps over a lazy dog|please open that window and close this door
good morning everybody how are you doing today|thank you very much for listening|she sells sea shells
maybe we should leave before it rains again|turn left at the church and go down the hill
my brother bought an old bicycle last summer|yes|no|hello|okay|stop|up|down|left|right|music|people
water and bread are on the kitchen table|the train was late because of heavy snow|where is my umbrella
nobody knows the answer yet|a cat sat quietly under the chair|let us begin with an easy question
they walked along the river until dark|computer|happy birthday|marvin|sheila|house|tree|bird|bed|wow""".replace("\n", "|").split("|")

EVENT_WORD, AUDIO_RETRIEVAL, POS_CHARACTER, UTF8 = 1, 1, 1, 1
PARAM_RATE, PARAM_PITCH, PARAM_RANGE, PARAM_GAP = 1, 3, 4, 7


class Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng/speak_lib.h."""
    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8)]


class Espeak:
    """espeak-ng as a library, because only its events tell where each word begins."""

    def __init__(self):
        self.lib = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.lib.espeak_Initialize(AUDIO_RETRIEVAL, 0, None, 0)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
        self.callback = kind(self._receive)
        self.lib.espeak_SetSynthCallback(self.callback)
        self.audio, self.starts = [], []

    def _receive(self, samples, count, events):
        if samples and count > 0:
            self.audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == EVENT_WORD:
                self.starts.append(events[i].sample)
            i += 1
        return 0

    def say(self, text, voice, rate, pitch, pitch_range, gap):
        """Returns the samples (16 kHz) and the sample at which each word begins."""
        self.audio, self.starts = [], []
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in ((PARAM_RATE, rate), (PARAM_PITCH, pitch), (PARAM_RANGE, pitch_range), (PARAM_GAP, gap)):
            self.lib.espeak_SetParameter(parameter, value, 0)
        data = text.encode() + b"\0"
        self.lib.espeak_Synth(data, len(data), 0, POS_CHARACTER, 0, UTF8, None, None)
        self.lib.espeak_Synchronize()
        if not self.audio:
            return None
        x = np.concatenate(self.audio).astype(np.float32) / 32768
        return resample_poly(x, 320, 441).astype(np.float32), [round(s * RATE / self.rate) for s in self.starts]


def variants():
    """Names of espeak-ng's voice variants (`f3`, `klatt2`, …)."""
    text = subprocess.run(["espeak-ng", "--voices=variant"], capture_output=True, text=True, check=True).stdout
    return sorted({m.group(1) for m in re.finditer(r"!v/(\S+)", text)} - {"fast"})


def flite(text, voice, stretch, pitch):
    """Returns the samples (16 kHz), or None if flite made none."""
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}",
               *(["--setf", f"int_f0_target_mean={pitch:.0f}"] if pitch else []), "-t", text, "/dev/stdout"]
    out = subprocess.run(command, capture_output=True).stdout
    at = out.find(b"RIFF")
    if at < 0:
        return None
    with wave.open(io.BytesIO(out[at:])) as w:
        x, rate = np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(np.float32) / 32768, w.getframerate()
    if rate != RATE:
        x = resample_poly(x, RATE, rate).astype(np.float32)
    return x


def speech_bounds(x):
    """First and last sample of a span whose energy (10 ms) is within 35 dB of the loudest."""
    n = len(x) // 160
    if n < 3:
        return 0, len(x)
    energy = (x[:n * 160].reshape(n, 160) ** 2).mean(1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** -3.5)
    return int(loud[0]) * 160, int(loud[-1] + 1) * 160


def split_words(x, starts):
    """Bounds of the words that begin at `starts`: each is trimmed by its energy."""
    bounds = []
    for a, b in zip(starts, [*starts[1:], len(x)]):
        lo, hi = speech_bounds(x[a:b])
        bounds.append((a + lo, a + hi))
    return bounds


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--espeak", type=int, default=2600, help="pieces with digits from espeak-ng")
    p.add_argument("--flite", type=int, default=700, help="pieces with digits from flite")
    p.add_argument("--other", type=int, default=400, help="pieces of speech without digits")
    opt = p.parse_args()
    rng = random.Random(opt.seed)
    voice, names = Espeak(), variants()
    audio, pieces, words = [], [], []  # pieces: start, end, voice; words: piece, digit (-1 none), start, end
    at = 0

    def add(x, label, found):
        nonlocal at
        lo = max(0, min((b[1] for b in found), default=0) - 800)
        hi = min(len(x), max((b[2] for b in found), default=len(x)) + 800)
        for digit, a, b in found:
            words.append((len(pieces), digit, a - lo, b - lo))
        pieces.append((at, at + hi - lo, label))
        audio.append(x[lo:hi])
        at += hi - lo

    def espeak_voice():
        accent = rng.choice(ACCENTS)
        return accent if rng.random() < 0.15 else f"{accent}+{rng.choice(names)}"

    def espeak_say(text):
        return voice.say(text, espeak_voice(), rng.randint(95, 240), rng.randint(10, 90), rng.randint(10, 90),
                         rng.choice([0, 0, 0, 5, 10]))

    made = 0
    while made < opt.espeak:
        digits = [rng.randint(0, 9) for _ in range(rng.choice([1, 1, 1, 2, 3, 4, 5, 6]))]
        said = espeak_say(rng.choice([" ", " ", ", "]).join(WORDS[d] for d in digits))
        if said and len(said[1]) == len(digits):
            add(said[0], 1000 + made % 97, [(d, *b) for d, b in zip(digits, split_words(*said))])
            made += 1
    for k in range(opt.flite):  # flite gives no word times with its audio: one word at a time
        digit = rng.randint(0, 9)
        name = rng.choice(FLITE_VOICES)
        x = flite(WORDS[digit], name, rng.uniform(0.7, 1.5), rng.choice([0, rng.uniform(75, 230)]))
        if x is not None and len(x) > 1600:
            add(x, 2000 + FLITE_VOICES.index(name), [(digit, *speech_bounds(x))])
    for k in range(opt.other):
        text = rng.choice(OTHER)
        said = espeak_say(text) if k % 3 else (flite(text, rng.choice(FLITE_VOICES), rng.uniform(0.8, 1.3), 0), None)
        if said and said[0] is not None:
            add(said[0], 3000, [(-1, *speech_bounds(said[0]))])
    np.savez(opt.out, audio=np.concatenate(audio).astype(np.float16), pieces=np.array(pieces, np.int64),
             words=np.array(words, np.int64))
    print(f"{len(pieces)} pieces, {len(words)} words, {at / RATE:.0f} s")


if __name__ == "__main__":
    main()
