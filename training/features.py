"""Waveform → log-mel spectrogram as in openai/whisper, with augmentation between the steps."""
import math

import torch

RATE, N_FFT, HOP, N_MELS = 16000, 400, 160, 80
WARPS = 41           # warped filter banks, from factor 1/MAX_WARP to MAX_WARP
MAX_WARP = 1.22


def hz_to_mel(f):
    return f * 3 / 200 if f < 1000 else 15 + math.log(f / 1000) * 27 / math.log(6.4)


def mel_to_hz(m):
    return m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)


def mel_filters(warp=1.0):
    """librosa's Slaney filter bank, [80, 201]; `warp` > 1 moves the spectrum up before it."""
    top = hz_to_mel(RATE / 2)
    edges = torch.tensor([mel_to_hz(top * i / (N_MELS + 1)) for i in range(N_MELS + 2)], dtype=torch.float64)
    bins = torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * RATE / N_FFT * warp
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    up, down = (bins - low) / (mid - low), (high - bins) / (high - mid)
    return (torch.clamp(torch.minimum(up, down), min=0) * 2 / (high - low)).float()


class LogMel:
    """Batches of windows to normalised log-mel.

    The end of a recording is padded in two ways: openai/whisper and faster-whisper cut
    the spectrogram and pad it with 0.0, whisper.cpp and the transformers package pad
    the waveform with silence. The model should write the same for both.
    """

    def __init__(self, strength=1.0):
        self.strength = strength  # 0 … 1: share of the windows whose spectrum is changed
        self.window = torch.hann_window(N_FFT)
        factors = [MAX_WARP ** (2 * i / (WARPS - 1) - 1) for i in range(WARPS)]
        self.banks = torch.stack([mel_filters(f) for f in factors])  # [WARPS, 80, 201]

    def power(self, waveform):
        """[batch, samples] -> power spectrum [batch, frames, 201], centred frames, the last one dropped."""
        x = torch.nn.functional.pad(waveform[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[:, 0]
        frames = (x.unfold(-1, N_FFT, HOP) * self.window)[:, :-1].contiguous()
        return torch.fft.rfft(frames).abs().square()

    def __call__(self, waveform, clip_frames, gen=None, augment=True):
        """- `waveform`: [batch, samples], silent after the clip; `clip_frames`: [batch] frames before the padding.

        Returns [batch, 2, 80, frames]: padded in the one way and in the other.
        """
        n = waveform.shape[0]

        def draw(*shape):
            return torch.rand(*shape, generator=gen)

        pick = torch.full((n,), WARPS // 2)
        if augment:
            warped = draw(n) < 0.6 * self.strength
            pick = torch.where(warped, (draw(n) * WARPS).long(), pick)
        mel = torch.bmm(self.banks[pick], self.power(waveform).transpose(1, 2))
        if augment:
            mel = mel * 10 ** self.equaliser(n, draw, self.strength)
        log = torch.clamp(mel, min=1e-10).log10()
        top = log.amax(dim=(1, 2))
        if augment:  # the maximum is taken over the whole file, which may be louder elsewhere
            louder = torch.maximum(top + draw(n) * 1.2, draw(n) * 3 - 1)
            top = torch.where(draw(n) < 0.3, louder, top)
        log = (torch.maximum(log, top[:, None, None] - 8) + 4) / 4
        if augment:
            self.mask(log, draw, self.strength)
        beyond = torch.arange(log.shape[2]) >= clip_frames[:, None]
        return torch.stack([log.masked_fill(beyond[:, None], 0.0), log], dim=1)

    @staticmethod
    def equaliser(n, draw, strength):
        """A smooth random gain over the mel bins, log10, [batch, 80, 1]."""
        m = torch.linspace(0, 1, N_MELS)
        tilt = (draw(n, 1) - 0.5) * 2.4 * (m - 0.5)
        waves = sum((draw(n, 1) - 0.5) * a * torch.cos(math.pi * (k * m + 2 * draw(n, 1)))
                    for k, a in ((1.5, 0.6), (3, 0.6), (6, 0.4)))
        on = (draw(n, 1) < 0.7 * strength).float()
        return ((tilt + waves) * on)[..., None]

    @staticmethod
    def mask(log, draw, strength):
        """SpecAugment in place: a band of mel bins, and short gaps in time."""
        n, _, frames = log.shape
        bins, times = torch.arange(N_MELS), torch.arange(frames)
        width, at = draw(n) * 12, draw(n) * 70
        hide = (bins >= at[:, None]) & (bins < (at + width)[:, None]) & (draw(n, 1) < 0.35 * strength)
        log.masked_fill_(hide[..., None], 0.0)
        for _ in range(max(1, frames // 400)):
            width, at = draw(n) * 6, draw(n) * frames
            hide = (times >= at[:, None]) & (times < (at + width)[:, None]) & (draw(n, 1) < 0.4 * strength)
            log.masked_fill_(hide[:, None], 0.0)
