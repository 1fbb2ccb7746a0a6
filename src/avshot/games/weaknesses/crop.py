"""A narrow field of view: only the middle is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.games.item import Pixels
from avshot.games.weaknesses.weakness import Weakness


class Crop(Weakness):
    """Everything outside the middle becomes a grey of 128; the size stays. Not in the thesis."""

    @dataclass(frozen=True)
    class Config:
        """How narrow."""

        share: float = 0.6  # of width and of height that is seen

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture with its margins covered."""
        seen = np.full_like(pixels, 128)
        height, width = pixels.shape[:2]
        top, left = (round(side * (1 - self.config.share) / 2) for side in (height, width))
        middle = (slice(top, height - top), slice(left, width - left))
        seen[middle] = pixels[middle]
        return seen
