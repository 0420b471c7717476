"""The sound that windows are joined from: recorded digits, synthesised ones, and noise."""
import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import firwin, lfilter, resample_poly

RATE = 16000
LOW_PASS = firwin(63, 3800, fs=RATE).astype(np.float32)


@dataclass
class Piece:
    """Some speech: `audio` f32 at 16 kHz; `words` [(digit or -1, start, end)] in samples."""
    audio: np.ndarray
    words: list
    voice: object


def read_wav(path):
    with wave.open(str(path)) as w:
        return np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(np.float32) / 32768


def recorded(folder, split):
    """The recordings of a split of `digits/recordings.jsonl`, 8 kHz brought to 16 kHz."""
    folder, pieces = Path(folder), []
    for line in open(folder / "recordings.jsonl"):
        row = json.loads(line)
        if row["split"] == split:
            audio = resample_poly(read_wav(folder / row["path"]), 2, 1).astype(np.float32)
            pieces.append(Piece(audio, [(row["digit"], 2 * row["speech_start"], 2 * row["speech_end"])], row["speaker"]))
    return pieces


def synthesised(path):
    """Returns (pieces with digits, pieces without) from the file that synth.py writes."""
    data = np.load(path)
    audio, words = data["audio"], data["words"]
    digits, others = [], []
    for k, (start, end, voice) in enumerate(data["pieces"]):
        found = [tuple(int(v) for v in w[1:]) for w in words[words[:, 0] == k]]
        piece = Piece(audio[start:end].astype(np.float32), found, int(voice))
        (digits if found[0][0] >= 0 else others).append(piece)
    return digits, others


def coloured(rng, n, slope):
    """Noise whose power falls with frequency to the power `slope`, RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.maximum(np.arange(len(spectrum)), n * 40 / RATE)
    x = np.fft.irfft(spectrum * f ** (-slope / 2), n)
    return (x / x.std()).astype(np.float32)


def hum(rng, n):
    """Mains hum or a machine: harmonics of a low note."""
    t, base = np.arange(n) / RATE, rng.choice([50, 60, 60 * 1.5, rng.uniform(30, 200)])
    x = sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) for k in range(1, 12))
    return (x / x.std()).astype(np.float32)


def music(rng, n):
    """Notes and chords with harmonics, attack and decay."""
    x, at = np.zeros(n, np.float32), 0
    beat = int(rng.uniform(0.12, 0.7) * RATE)
    while at < n:
        length = min(int(beat * rng.choice([1, 1, 2, 4])), n - at)
        t = np.arange(length) / RATE
        envelope = np.minimum(t / 0.01, 1) * np.exp(-t * rng.uniform(0.5, 6))
        for _ in range(rng.integers(1, 4)):
            f = 110 * 2 ** (rng.integers(0, 37) / 12)
            x[at:at + length] += envelope * sum(np.sin(2 * np.pi * f * k * t) / k ** rng.uniform(1, 2) for k in range(1, 6))
        at += length
    return x / (x.std() + 1e-9)


def clicks(rng, n):
    """Knocks, clicks and taps: short decaying bursts."""
    x = np.zeros(n, np.float32)
    for at in rng.integers(0, n, max(1, int(n / RATE * rng.uniform(0.5, 6)))):
        length = min(int(rng.uniform(0.002, 0.08) * RATE), n - at)
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / (0.25 * length + 1))
        x[at:at + length] += (burst * rng.uniform(0.2, 1)).astype(np.float32)
    return x / (x.std() + 1e-9)


def talk(rng, n, pieces, voices):
    """Several voices at once. Digits among them must be too many to be understood."""
    x = np.zeros(n, np.float32)
    for _ in range(voices):
        at = -int(rng.integers(0, RATE))
        while at < n:
            y = pieces[rng.integers(len(pieces))].audio
            y = y / (y.std() + 1e-6) * rng.uniform(0.5, 1)
            lo, hi = max(at, 0), min(at + len(y), n)
            if hi > lo:
                x[lo:hi] += y[lo - at:hi - at]
            at += len(y) + int(rng.exponential(0.3) * RATE)
    return x / (x.std() + 1e-9)


class Noise:
    """Minutes of each kind of noise, made once; `draw` cuts a stretch out of one."""

    def __init__(self, rng, recorded, others, seconds=70):
        n = seconds * RATE
        self.bank = [coloured(rng, n, s) for s in (0, 0, 1, 1.5, 2, 2)]
        self.bank += [hum(rng, n) for _ in range(3)] + [music(rng, n) for _ in range(5)]
        self.bank += [clicks(rng, n) for _ in range(3)]
        self.bank += [talk(rng, n, others, k) for k in (3, 5, 8)]
        self.voices = [talk(rng, n, others, 1) for _ in range(3)]
        self.crowds = [talk(rng, n, recorded, k) for k in (10, 12, 16, 24, 40)]

    def draw(self, rng, n, bank=None):
        bank = bank or self.bank
        x = bank[rng.integers(len(bank))]
        at = rng.integers(0, len(x) - n)
        return x[at:at + n]


def reverberate(rng, x):
    """A room: a decaying noise tail behind the direct sound."""
    t60 = rng.uniform(0.1, 0.5)
    n = int(t60 * RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail[:int(0.003 * RATE)] = 0
    tail *= rng.uniform(0.1, 0.9) / np.sqrt(np.sum(tail ** 2))
    tail[0] = 1
    from scipy.signal import oaconvolve
    return oaconvolve(x, tail)[:len(x)].astype(np.float32)


def band_limit(x):
    """What a telephone leaves: nothing above 4 kHz."""
    return lfilter(LOW_PASS, 1, x).astype(np.float32)
