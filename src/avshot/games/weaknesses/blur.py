"""Near-sighted: a Gaussian blur (thesis, section 7.4.1; how much is not said)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.games.item import Pixels
from avshot.games.weaknesses.weakness import Weakness


class Blur(Weakness):
    """Convolution with a Gaussian; beyond its edges the picture goes on as at them."""

    @dataclass(frozen=True)
    class Config:
        """How strong."""

        sigma: float = 0.02  # of the shorter side; our choice: 5 pixels of a CLEVR picture

    def apply(self, pixels: Pixels) -> Pixels:
        """The blurred picture; unchanged where sigma is 0."""
        sigma = self.config.sigma * min(pixels.shape[:2])
        if sigma <= 0:
            return pixels
        reach = int(np.ceil(3 * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        blurred = pixels.astype(np.float64)
        for axis in (0, 1):
            padding = [(reach, reach) if each == axis else (0, 0) for each in range(3)]
            padded = np.pad(blurred, padding, mode="edge")
            length = blurred.shape[axis]
            parts = (weight * padded.take(range(i, i + length), axis) for i, weight in enumerate(kernel))
            blurred = np.sum(list(parts), axis=0)
        return np.rint(blurred).astype(np.uint8)
