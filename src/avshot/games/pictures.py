"""Pictures drawn on and laid side by side, for players and for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avshot.games.item import Pixels

BAR = 0.04  # width of the white bar between two pictures, of the width of one (our choice; the thesis names no number)
STROKE = 0.01  # of the red circle, of the shorter side; at least 2 pixels (ours, too)


def circled(pixels: Pixels, box: NDArray[np.float64], stroke: float = STROKE) -> Pixels:
    """A copy with a red ellipse inside a box (left, top, right, bottom): how the speaker of `res` is told."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(pixels)
    left, top, right, bottom = (float(edge) for edge in box)
    width = max(2, round(stroke * min(pixels.shape[:2])))
    around = (left, top, max(right - 1, left + 1), max(bottom - 1, top + 1))
    ImageDraw.Draw(image).ellipse(around, outline=(255, 0, 0), width=width)
    return np.asarray(image)


def side_by_side(pictures: Sequence[Pixels], bar: float = BAR) -> Pixels:
    """Pictures from left to right with white bars between them; smaller ones are scaled up to the highest.

    Args:
        pictures: At least one, `[height, width, 3]`.
        bar: Width of a bar, of the width of the first picture.
    """
    from PIL import Image

    height = max(len(each) for each in pictures)
    scaled = [
        each
        if len(each) == height
        else np.asarray(Image.fromarray(each).resize((round(each.shape[1] * height / len(each)), height)))
        for each in pictures
    ]
    gap = np.full((height, max(1, round(bar * scaled[0].shape[1])), 3), 255, np.uint8)
    parts = [part for each in scaled for part in (gap, each)][1:]
    return np.concatenate(parts, axis=1)


def png(pixels: Pixels) -> bytes:
    """The picture as a PNG file."""
    from io import BytesIO

    from PIL import Image

    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()
