"""Few pixels: the picture made small and large again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.games.item import Pixels
from avshot.games.weaknesses.weakness import Weakness


class LowResolution(Weakness):
    """Means over squares, shown as squares. Not in the thesis."""

    @dataclass(frozen=True)
    class Config:
        """How few."""

        pixels: int = 30  # along the shorter side

    def apply(self, pixels: Pixels) -> Pixels:
        """The coarse picture at its old size; unchanged where it has no more pixels than that."""
        from PIL import Image

        height, width = pixels.shape[:2]
        factor = self.config.pixels / min(height, width)
        if factor >= 1:
            return pixels
        small = max(1, round(width * factor)), max(1, round(height * factor))
        image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
        return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))
