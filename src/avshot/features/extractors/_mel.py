"""Frames of sound and mel filters whose sides are straight on the mel scale, as TensorFlow's and Kaldi's are."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def mel_triangles(rate: int, fft: int, bands: int, low: float, high: float) -> Tensor:
    """Filters for a spectrum, `[fft / 2 + 1, bands]` float32, equally wide on the mel scale, each with peak 1.

    The scale is 1127 ln(1 + f / 700). librosa's and `logmel`'s filters are straight over Hz instead.

    Args:
        rate: Hz.
        fft: Length of the Fourier transform.
        bands: How many filters.
        low: Hz at which the first begins.
        high: Hz at which the last ends.
    """

    def to_mel(hertz: float) -> float:
        return 1127 * math.log1p(hertz / 700)

    edges = torch.linspace(to_mel(low), to_mel(high), bands + 2, dtype=torch.float64)
    hertz = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64)
    mel = 1127 * torch.log1p(hertz / 700)[:, None]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def power_spectrum(frames: Tensor, window: Tensor, fft: int) -> Tensor:
    """Squared magnitudes `[..., fft / 2 + 1]` of frames `[..., sample]`, which are weighed by `window` `[sample]`."""
    spectrum = torch.fft.rfft(frames * window, fft)
    return spectrum.real.square() + spectrum.imag.square()
