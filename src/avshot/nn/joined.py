"""Averaged sound and picture of a clip as one vector, and which part of it is real: what generators imitate."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.mlp import InputScaling
from avshot.types import Features

SCALINGS = ("unit", "standardise", "none")


class Joined(nn.Module):
    """`[audio, visual]` averages, scaled; remembers which modalities training has shown it.

    Args:
        scaling: "unit": the joined vector has length 1 (f-VAEGAN-D2 in the AVCA repository); "standardise": each
            channel minus its mean, over its deviation, both running averages over training; "none".
        audio: Width of the audio features.
        visual: Width of the visual features.

    Raises:
        ValueError: Unknown scaling.
    """

    shown: Tensor

    def __init__(self, scaling: str, audio: int, visual: int) -> None:
        super().__init__()
        if scaling not in SCALINGS:
            raise ValueError(f"scaling is {scaling!r}; expected one of {', '.join(SCALINGS)}.")
        self.scaling, self.widths = scaling, (audio, visual)
        kind = scaling if scaling == "standardise" else "none"
        self.audio_scaling, self.visual_scaling = InputScaling(kind, audio), InputScaling(kind, visual)
        self.register_buffer("shown", torch.zeros(2, dtype=torch.bool))

    @property
    def dim(self) -> int:
        """Width of the joined vector."""
        return sum(self.widths)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Vectors `[clip, dim]`, zero where a modality is missing, and `[clip, dim]` bool, True = real."""
        (audio, visual), has_a, has_v = features.pooled(), features.has_audio, features.has_visual
        audio = self.audio_scaling(audio[:, None], has_a[:, None])[:, 0]
        visual = self.visual_scaling(visual[:, None], has_v[:, None])[:, 0]
        if self.training:
            self.shown |= torch.stack([has_a.any(), has_v.any()])
        joined = torch.cat([audio, visual], dim=1)
        if self.scaling == "unit":
            joined = F.normalize(joined, dim=1)
        return joined, self._spread(torch.stack([has_a, has_v], dim=1))

    def known(self) -> Tensor:
        """`[dim]` bool: channels of the modalities that training has shown; all of them before any training.

        A generator has learnt nothing of the others, so what it makes there means nothing.
        """
        return self._spread(self.shown | ~self.shown.any())

    def _spread(self, modalities: Tensor) -> Tensor:
        """`[..., 2]` to `[..., dim]`."""
        audio, visual = self.widths
        return torch.cat(
            [
                modalities[..., :1].expand(*modalities.shape[:-1], audio),
                modalities[..., 1:].expand(*modalities.shape[:-1], visual),
            ],
            dim=-1,
        )
