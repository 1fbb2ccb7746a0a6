"""Mel spectrograms of any length in pieces, so that memory beyond the result does not grow with the sound."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

CHUNK = 4096  # frames worked on at once


def mel_spectrogram(padded: Tensor, matrix: Tensor, taper: Tensor, hop: int, *, power: float = 2.0) -> Tensor:
    """Mel bands of the spectrum's magnitude to a power: `[band, frame]`; frame i begins at sample `i * hop`.

    Args:
        padded: `[sample]`, with whatever is assumed beyond the ends of the sound; at least one FFT long.
        matrix: `[band, fft / 2 + 1]`, which sets the FFT length.
        taper: `[sample]` window, at most as long as the FFT, in whose middle it is put.
        hop: Samples between frames.
        power: 1 or 2.
    """
    fft = 2 * (matrix.shape[1] - 1)
    count, parts = 1 + (len(padded) - fft) // hop, []
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count) - 1
        piece = padded[first * hop : last * hop + fft]
        spectrum = torch.stft(
            piece, fft, hop_length=hop, win_length=len(taper), window=taper, center=False, return_complex=True
        )
        energy = spectrum.real.square() + spectrum.imag.square()
        parts.append(matrix.to(energy) @ (energy if power == 2 else energy.sqrt()))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def power_spectrum(frames: Tensor, taper: Tensor, fft: int) -> Tensor:
    """Squared magnitudes `[..., fft / 2 + 1]` of frames `[..., sample]`, which are weighed by `taper` `[sample]`."""
    spectrum = torch.fft.rfft(frames * taper, fft)
    return spectrum.real.square() + spectrum.imag.square()


@lru_cache(maxsize=8)
def mel_triangles(rate: int, fft: int, bands: int, low: float, high: float) -> Tensor:
    """Filters `[band, fft / 2 + 1]` that are triangles of equal width, with peak 1, when drawn over mel.

    Kaldi's and TensorFlow's; the scale is `1127 ln(1 + f / 700)`. Those of `logmel`, and librosa's, are triangles over
    hertz. `low` and `high` are the outer edges in Hz.
    """
    first, last = _to_mel(torch.tensor([low, high], dtype=torch.float64)).tolist()
    edges = torch.linspace(first, last, bands + 2, dtype=torch.float64)
    bins = _to_mel(torch.arange(fft // 2 + 1, dtype=torch.float64) * rate / fft)
    rising, falling = bins - edges[:-2, None], edges[2:, None] - bins
    return (torch.minimum(rising, falling) / (edges[1] - edges[0])).clamp(min=0).float()


def _to_mel(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)
