"""Endless training windows: words joined with known times, made noisy, with their token sequences."""
from dataclasses import dataclass

import numpy as np

import tokens
from corpus import RATE, Noise, band_limit, reverberate

LEVEL = 0.07          # RMS of speech before gain
LONGEST_PAUSE = 12.0  # seconds
FRAME_SILENCE, FRAME_OTHER, FRAME_IGNORE = 10, 11, -100


@dataclass
class Settings:
    """- `seconds`: length of a window; `recorded`: share of windows with recorded voices; `single`: with one word;
      `pauses`: with silences of up to `LONGEST_PAUSE` seconds between words;
    - `prompts`: share with text before; `strength`: random place of
      the window among the encoder's 1500 positions (for windows shorter than 30 s)."""
    seconds: float
    recorded: float = 0.7
    prompts: float = 0.15
    no_speech: float = 0.09
    long_prompts: float = 0.0
    strength: float = 1.0
    single: float = 0.12
    pauses: float = 0.0


@dataclass
class Window:
    waveform: np.ndarray   # f32 [samples]
    clip_frames: int       # mel frames before the padding
    sequences: list        # of tokens.Sequence: several ways to write the same window
    labels: np.ndarray     # i64 [positions]: digit, silence, other speech, or not counted
    counts: np.ndarray     # f32 [positions]: words begun since the window's start
    origin: int            # encoder position of the first row


def stretch(audio, words, factor):
    """Plays faster by `factor`: speed, pitch and formants together."""
    at = np.arange(0, len(audio) - 2, factor)
    lo = at.astype(np.int32)
    part = (at - lo).astype(np.float32)
    out = audio[lo] * (1 - part) + audio[lo + 1] * part
    return out, [(d, a / factor, b / factor) for d, a, b in words]


class Windows:
    """The generator. Everything is drawn from one seeded source."""

    def __init__(self, seed, recorded, synthesised, others, settings):
        self.rng = np.random.default_rng(seed)
        self.settings = settings
        self.noise = Noise(self.rng, recorded, others)
        self.others = others
        self.recorded, self.synthesised = {}, {}
        for pool, pieces in ((self.recorded, recorded), (self.synthesised, synthesised)):
            for p in pieces:
                pool.setdefault(p.voice, []).append(p)
        self.by_digit = {v: {d: [p for p in ps if p.words[0][0] == d] for d in range(10)} for v, ps in self.recorded.items()}

    def chance(self, p):
        return self.rng.random() < p

    def uniform(self, a, b):
        return self.rng.uniform(a, b)

    # The words

    def gaps(self, far):
        """A function that draws the silence after each piece, in seconds. `far`: groups with long pauses between."""
        style = "far" if far else self.rng.choice(["tight", "groups", "groups", "slow", "mixed", "even"])
        state = {"left": 0}
        even = self.uniform(0.02, 0.6)
        longest = int(self.rng.integers(2, 8))            # words in a group

        def next_gap():
            if style == "tight":
                return self.uniform(0.0, 0.15)
            if style == "slow":
                return self.uniform(0.4, 3.0)
            if style == "mixed":
                return float(np.exp(self.uniform(np.log(0.03), np.log(3.0))))
            if style == "even":
                return even * self.uniform(0.8, 1.2)
            state["left"] -= 1
            if state["left"] < 0 and style == "far":
                state["left"] = int(self.rng.integers(0, longest))
                return self.uniform(0.3, LONGEST_PAUSE)
            if state["left"] < 0:
                state["left"] = int(self.rng.integers(1, 5))
                return self.uniform(0.35, 1.3)
            return self.uniform(0.03, 0.22)
        return next_gap

    def voice(self, recorded):
        """A function that draws the next piece: (audio, words in seconds relative to its start)."""
        reach = 0.12 + 0.1 * self.settings.strength
        factor = float(np.exp(self.uniform(-reach, reach))) if self.chance(0.8) else 1.0
        trim, dull = self.chance(0.45), self.chance(0.5)
        level = LEVEL * 10 ** (self.uniform(-4, 4) / 20)
        if recorded:
            table = self.by_digit[self.rng.choice(list(self.by_digit))]
        else:
            pool = self.synthesised[self.rng.choice(list(self.synthesised))]

        def next_piece(digit):
            if recorded:
                choices = table[digit]
            else:
                choices = pool
            p = choices[self.rng.integers(len(choices))]
            audio, words = p.audio, p.words
            if dull and not recorded:
                audio = band_limit(audio)
            if trim:
                lo, hi = max(0, words[0][1] - 320), min(len(audio), words[-1][2] + 480)
                audio, words = audio[lo:hi], [(d, a - lo, b - lo) for d, a, b in words]
            jitter = factor * float(np.exp(self.uniform(-0.06, 0.06)))
            if jitter != 1.0:
                audio, words = stretch(audio, words, jitter)
            a, b = int(words[0][1]), max(int(words[-1][2]), int(words[0][1]) + 1)
            rms = float(np.sqrt(np.mean(audio[a:b] ** 2))) + 1e-6
            audio = audio * (level * 10 ** (self.uniform(-1.5, 1.5) / 20) / rms)
            fade = min(48, len(audio) // 4)
            audio[:fade] *= np.arange(fade) / fade
            audio[-fade:] *= np.arange(fade)[::-1] / fade
            return audio, [(d, a / RATE, b / RATE) for d, a, b in words]
        return next_piece

    def speech(self):
        """Returns (waveform, end of the clip in seconds, words, start of a cut word or None, other speech spans)."""
        seconds = self.settings.seconds
        total = int(seconds * RATE)
        x = np.zeros(total, np.float32)
        kind = self.rng.random()
        single = self.settings.single
        limit = 1 if kind < single else (int(self.rng.integers(2, 8)) if kind < single + 0.18 else 99)
        bare = limit == 1 and self.chance(0.5)            # a recording by itself, nothing around it
        far = self.chance(self.settings.pauses) and not bare
        target = seconds + 2 if self.chance(0.8 if far else 0.5) else self.uniform(0.2, 1.0) * seconds
        digits = self.rng.choice(10, size=int(self.rng.integers(1, 3))) if self.chance(0.1) else np.arange(10)
        recorded = self.chance(self.settings.recorded)
        voices = [self.voice(recorded)]
        if self.chance(0.15):
            voices += [self.voice(self.chance(self.settings.recorded)) for _ in range(self.rng.integers(1, 4))]
        gap, voice = self.gaps(far), voices[0]
        lead = self.rng.random()
        t = (0.0 if bare else self.uniform(0, 0.12) if lead < 0.25 else self.uniform(0.1, 0.7) if lead < 0.75
             else self.uniform(0.5, 2.5) if lead < 0.92 else self.uniform(0, 0.7) * seconds)
        if far and self.chance(0.6):                      # speech begins late
            t = self.uniform(0, LONGEST_PAUSE) if limit == 99 else self.uniform(0, 0.95) * seconds
        words, others, cut = [], [], None
        if not bare and self.chance(0.2):                 # the end of a word that began before the window
            audio, found = voice(int(self.rng.choice(digits)))
            if len(found) == 1:
                _, a, b = found[0]
                start = a + (b - a) * self.uniform(0.6, 1.0)
                tail = audio[int(start * RATE):]
                x[:len(tail)] += tail[:total]
                others.append((0.0, b - start, FRAME_IGNORE))
                t = b - start + self.uniform(0.03, 0.2) if self.chance(0.6) else len(tail) / RATE + gap()
        end = 0.0
        while len(words) < limit and t < min(target, seconds - 0.05):
            if self.chance(0.02) and limit > 1:           # a word that is no digit: nothing is written
                p = self.others[self.rng.integers(len(self.others))]
                if len(p.audio) < 1.2 * RATE and t + len(p.audio) / RATE < seconds:
                    audio, at = p.audio * (LEVEL / (p.audio.std() + 1e-6) * 0.7), int(t * RATE)
                    x[at:at + len(audio)] += audio[:total - at]
                    others.append((t, t + len(audio) / RATE, FRAME_OTHER))
                    t = end = t + len(audio) / RATE + max(gap(), 0.1)
                    continue
            audio, found = voice(int(self.rng.choice(digits)))
            at = int(t * RATE)
            audio = audio[:total - at]
            placed = [(d, t + a, t + b) for d, a, b in found]
            whole = [w for w in placed if w[1] + 0.85 * (w[2] - w[1]) <= seconds and w[1] < seconds]
            if len(whole) < len(placed) and not (words or whole):
                break
            x[at:at + len(audio)] += audio
            words += [(d, a, min(b, seconds)) for d, a, b in whole]
            if len(whole) < len(placed):
                cut = placed[len(whole)][1]
                if cut >= seconds - 0.03:
                    cut = None
                else:
                    others.append((cut, seconds, FRAME_IGNORE))
                end = seconds
                break
            end = t + len(audio) / RATE
            if len(voices) > 1 and self.chance(0.25):
                voice = voices[self.rng.integers(len(voices))]
            t = end + gap()
        if not words:
            return None
        clip = seconds if cut is not None else end + (0 if bare else self.uniform(0, 1.0) if self.chance(0.7) else self.uniform(0, 5))
        if target > seconds and (limit == 99 or far):
            clip = seconds
        return x, min(clip, seconds), words, cut, others

    def silence(self):
        """A window without a digit: (waveform, clip end, other speech)."""
        seconds = self.settings.seconds
        total = int(seconds * RATE)
        clip = seconds if self.chance(0.4) else self.uniform(0.1, seconds)
        x, kind = np.zeros(total, np.float32), self.rng.random()
        if kind < 0.15:
            pass                                           # nothing but what `spoil` adds
        elif kind < 0.3:
            x += self.noise.draw(self.rng, total, self.noise.crowds)
        elif kind < 0.75:
            x += self.noise.draw(self.rng, total)
            if self.chance(0.3):
                x += self.noise.draw(self.rng, total) * self.uniform(0.05, 1)
        elif kind < 0.85:
            x += self.noise.draw(self.rng, total, self.noise.voices)
        else:                                              # a single word or sentence, a faint floor
            p = self.others[self.rng.integers(len(self.others))]
            at = int(self.uniform(0, max(0.1, clip - len(p.audio) / RATE)) * RATE)
            n = min(len(p.audio), total - at)
            x[at:at + n] += p.audio[:n] / (p.audio.std() + 1e-6)
        if self.chance(0.2):                               # the tail of a word before the window
            audio, found = self.voice(True)(int(self.rng.integers(10)))
            _, a, b = found[-1]
            tail = audio[int((a + (b - a) * self.uniform(0.65, 1.0)) * RATE):][:total]
            x[:len(tail)] += tail / LEVEL
        return x * LEVEL, clip

    # The sound around them

    def spoil(self, x, quiet):
        """Noise, room, telephone, overload."""
        strength = self.settings.strength
        if self.chance(0.18 * strength):
            x = reverberate(self.rng, x)
        if self.chance(0.75):
            snr = self.uniform(-2, 12) if self.chance(0.12 * strength) else self.uniform(10 + 20 * (1 - strength), 65)
            if quiet:
                snr = self.uniform(30, 65)
            noise = self.noise.draw(self.rng, len(x), self.noise.bank[:9] if self.chance(0.6) else None)
            x = x + noise * (LEVEL * 10 ** (-snr / 20))
        if self.chance(0.06):
            x = band_limit(x)
        if self.chance(0.05):
            x = np.sign(x) * np.round(np.log1p(255 * np.abs(np.clip(x, -1, 1))) / np.log(256) * 127) / 127  # µ-law
            x = np.sign(x) * (np.exp(np.abs(x) * np.log(256)) - 1) / 255
        if self.chance(0.06):
            peak = np.abs(x).max() * self.uniform(0.3, 1)
            x = np.clip(x, -peak, peak) if peak > 0 else x
        return x

    def prompt(self):
        """Text before the window: digits, mostly with timestamps, sometimes words that the model does not know."""
        if not self.chance(self.settings.prompts):
            return []
        if self.chance(self.settings.long_prompts):
            n = int(self.rng.integers(40, 224))
        else:
            n = int(self.rng.integers(2, 50))
        kind, out, at = self.rng.random(), [], int(self.rng.integers(0, 300))
        pause = int(LONGEST_PAUSE / tokens.STEP_S) if self.chance(self.settings.pauses) else 60
        while len(out) < n:
            k = 1 if kind > 0.2 else int(self.rng.integers(1, 7))
            length = k * int(self.rng.integers(15, 45))
            if at + length > 1500:
                at = int(self.rng.integers(0, 100))
            some = [int(d) for d in self.rng.integers(0, 10, k)]
            if kind < 0.1:
                some = [tokens.UNUSED] * k
            elif kind < 0.15:
                some = [d if self.chance(0.5) else tokens.UNUSED for d in some]
            out += [tokens.TIMESTAMP + at, *some, tokens.TIMESTAMP + at + length] if kind > 0.3 else some
            at += length + int(self.rng.integers(0, pause))
        return out[-n:]

    def draw(self):
        """The next `Window`."""
        seconds = self.settings.seconds
        positions = round(seconds / tokens.STEP_S)
        origin = 0 if positions >= 1500 or self.chance(0.3) else int(self.rng.integers(0, 1501 - positions))
        made = None if self.chance(self.settings.no_speech) else self.speech()
        if made is None:
            (x, clip), words, cut, others = self.silence(), [], None, []
        else:
            x, clip, words, cut, others = made
        x = self.spoil(x, quiet=not words and self.chance(0.5))
        x = x * 10 ** (self.uniform(-28, 12) / 20 if self.chance(0.6) else self.uniform(-6, 3) / 20)
        clip_frames = min(int(clip * 100) + 1, 2 * positions)
        x[clip_frames * 160:] = 0
        if self.chance(0.5):
            x = np.round(np.clip(x, -1, 1) * 32768) / 32768
        labels = np.full(positions, FRAME_SILENCE, np.int64)
        counts = np.zeros(positions, np.float32)
        for a, b, label in others:
            labels[int(a / tokens.STEP_S):round(b / tokens.STEP_S)] = label
        if made is None:
            labels[:round(clip / tokens.STEP_S)] = FRAME_IGNORE
        for d, a, b in words:
            labels[int(a / tokens.STEP_S):round(b / tokens.STEP_S)] = d
            counts[int(a / tokens.STEP_S):] += 1
        sequences = [tokens.make(words, cut, timestamps=timestamps, prompt=self.prompt(), origin=origin, last=positions)
                     for timestamps in (True, False)]
        return Window(x.astype(np.float32), clip_frames, sequences, labels, counts, origin)
