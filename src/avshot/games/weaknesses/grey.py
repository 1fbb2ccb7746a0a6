"""Colour-blind: pictures without colour (thesis, section 7.4.1: "grayscale")."""

from __future__ import annotations

import numpy as np

from avshot.games.item import Pixels
from avshot.games.weaknesses.weakness import Weakness

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: the usual grey of libraries; the thesis names none


class Grey(Weakness):
    """All three channels become the luma of Rec. 601.

    Six of CLEVR's eight colours then lie between 73 and 87; cyan (158) and yellow (222) can still be told apart.
    """

    def apply(self, pixels: Pixels) -> Pixels:
        """Rounded luma in all channels."""
        grey = np.rint(pixels @ LUMA).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
