"""Shapes of the rendered world as signed distances: negative inside, in units of the shape's radius.

Distances give edges, outline and shadow that are anti-aliased at any size. y points down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Disc."""
    return np.hypot(x, y) - 0.95


def square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Square with slightly rounded corners."""
    return _box(x, y, 0.76, 0.76) - 0.08


def star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five-pointed star."""
    angle, radius = np.arctan2(x, -y), np.hypot(x, y)
    slice_ = 2 * np.pi / 5
    angle = np.abs((angle + slice_ / 2) % slice_ - slice_ / 2)
    # The edge from a tip (1.1, 0) to a notch (0.46 at half a slice); distance to its line, positive outside.
    tip, notch = 1.1, 0.46
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    ex, ey = notch * np.cos(slice_ / 2) - tip, notch * np.sin(slice_ / 2)
    return ((px - tip) * ey - py * ex) / np.hypot(ex, ey)


def cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Plus sign."""
    return np.minimum(_box(x, y, 0.95, 0.30), _box(x, y, 0.30, 0.95)) - 0.03


def triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Equilateral triangle."""
    return np.maximum(0.866 * np.abs(x) - 0.5 * (y - 0.15), y - 0.15) - 0.52


def heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Heart: a square on its corner with a disc on each upper side."""
    half, down = 0.56, y - 0.12
    side = np.abs(x)
    corner = _box((side + down) / 2**0.5, (side - down) / 2**0.5, half, half)
    return np.minimum(corner, np.hypot(side - half / 2**0.5, down + half / 2**0.5) - half)


def moon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Crescent."""
    return np.maximum(np.hypot(x, y) - 0.95, 0.80 - np.hypot(x - 0.45, y))


def ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ring."""
    return np.abs(np.hypot(x, y) - 0.70) - 0.25


def _box(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    """Signed distance to a box of half sizes `width` and `height`."""
    across, along = np.abs(x) - width, np.abs(y) - height
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return outside + np.minimum(np.maximum(across, along), 0)


SHAPES: Mapping[str, Distance] = {
    shape.__name__: shape for shape in (circle, square, star, cross, triangle, heart, moon, ring)
}
