"""Red and green look alike: what a person without the middle cones sees (deuteranopia)."""

from __future__ import annotations

import numpy as np

from avshot.games.item import Pixels
from avshot.games.weaknesses.weakness import Weakness

# Linear RGB to linear RGB. Source: Machado, Oliveira, Fernandes, "A physiologically-based model for simulation of color
# vision deficiency", IEEE TVCG 2009, deuteranomaly of severity 1.0. Rows sum to 1: greys stay as they are.
_DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


class RedGreen(Weakness):
    """Colours of a dichromat; brightness stays about the same. Not in the thesis."""

    def apply(self, pixels: Pixels) -> Pixels:
        """The picture as a dichromat sees it, as sRGB."""
        light = np.where(pixels <= 10, pixels / 255 / 12.92, ((pixels / 255 + 0.055) / 1.055) ** 2.4)
        seen = np.clip(light @ _DEUTERANOPIA.T, 0, 1)
        shown = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        return np.rint(shown * 255).astype(np.uint8)
