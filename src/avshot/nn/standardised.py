"""Averaged sound and picture of a clip as one vector whose channels are standardised over the training clips."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from avshot.types import Batch, Features

# A channel is constant where its deviation is below this share of the root mean square of its own numbers, or of those
# of its modality where that is more: what is left of it is rounding.
FLOOR = 1e-4


def exact(value: Tensor) -> Tensor:
    """In double precision, on the CPU where the device has none."""
    return (value.cpu() if value.device.type == "mps" else value).double()


def mean_and_deviation(count: int, total: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation `[dim]` of channels from how many rows there were, their sum and the sum of their squares.

    A channel that never changes has deviation 1: its rounding errors must not be blown up to unit size. No rows give
    means 0 and deviations 1.
    """
    mean, square = total / max(count, 1), squares / max(count, 1)
    variance = square - mean.square()
    varies = variance > FLOOR**2 * torch.maximum(square, square.mean())
    return mean, torch.where(varies, variance, torch.ones_like(variance)).sqrt()


class Standardised(nn.Module):
    """`[audio, visual]` averages, each channel minus its mean over its deviation; both are measured, not learnt.

    Args:
        audio: Width of the audio features.
        visual: Width of the visual features.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, audio: int, visual: int) -> None:
        super().__init__()
        self.widths = (audio, visual)
        self.register_buffer("mean", torch.zeros(audio + visual))
        self.register_buffer("deviation", torch.ones(audio + visual))

    @property
    def dim(self) -> int:
        """Width of the joined vector."""
        return sum(self.widths)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Vectors `[clip, dim]`, zero where a modality is missing, and `[clip, dim]` bool, True = real."""
        real = self.spread(torch.stack([features.has_audio, features.has_visual], dim=1))
        value = (torch.cat(features.pooled(), dim=1) - self.mean) / self.deviation
        return torch.where(real, value, torch.zeros_like(value)), real

    def spread(self, modalities: Tensor) -> Tensor:
        """What is said of each modality, `[..., 2]`, as said of each channel, `[..., dim]`."""
        counts = torch.tensor(self.widths, device=modalities.device)
        return modalities.repeat_interleave(counts, dim=-1)

    @torch.no_grad()
    def observe(self, support: Iterable[Batch]) -> None:
        """Measure means and deviations over the clips that have the modality; constant channels have deviation 1.

        Raises:
            ValueError: There are no clips.
        """
        counts = [0, 0]
        total = squares = None
        for batch in support:
            here = batch.features
            real = self.spread(torch.stack([here.has_audio, here.has_visual], dim=1))
            value = exact(torch.where(real, torch.cat(here.pooled(), dim=1), torch.zeros_like(self.mean)))
            total = value.sum(dim=0) + (0 if total is None else total)
            squares = value.square().sum(dim=0) + (0 if squares is None else squares)
            counts = [counts[0] + int(here.has_audio.sum()), counts[1] + int(here.has_visual.sum())]
        if total is None or squares is None:
            raise ValueError("There are no training clips to learn from.")
        parts = zip(counts, total.split(self.widths), squares.split(self.widths), strict=True)
        found = [mean_and_deviation(*part) for part in parts]
        self.mean.copy_(torch.cat([mean for mean, _ in found]))
        self.deviation.copy_(torch.cat([deviation for _, deviation in found]))
