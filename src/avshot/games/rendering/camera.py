"""From where scenes are seen: places on the floor to pixels, pixels to rays.

The position is that of Blender's default camera, which CLEVR's base scene has; it gives the directions ("left",
"behind", ...) that stand in CLEVR's released scene files, to the digits in which we compared them. CLEVR shakes its
camera and lamps for every picture and does not store by how much; ours stand still, so that a scene file is enough to
make its picture again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

POSITION = np.array([7.48113, -6.50764, 5.34367])
_LOOKS_AT = np.array([0.0, 0.0, 0.35])
_LENS = 35 / 32  # focal length over width of the sensor, both in mm


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)


FORWARD = _unit(_LOOKS_AT - POSITION)
RIGHT = _unit(np.cross(FORWARD, [0.0, 0.0, 1.0]))
UP = np.cross(RIGHT, FORWARD)
_AWAY = _unit(np.array([FORWARD[0], FORWARD[1], 0.0]))
DIRECTIONS: dict[str, tuple[float, float, float]] = {  # on the floor, as seen from here
    "right": tuple(RIGHT.tolist()),
    "behind": tuple(_AWAY.tolist()),
    "above": (0.0, 0.0, 1.0),
    "below": (0.0, 0.0, -1.0),
    "left": tuple((-RIGHT).tolist()),
    "front": tuple((-_AWAY).tolist()),
}


@dataclass(frozen=True)
class Camera:
    """A picture's size in pixels."""

    width: int = 320
    height: int = 240

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return _LENS * self.width

    def project(self, points: Floats) -> Floats:
        """Points `[point, 3]` as `[point, 3]`: column and row in pixels, from the left upper corner, and depth."""
        away = np.asarray(points, float) - POSITION
        depth = away @ FORWARD
        column = self.width / 2 + self.focal * (away @ RIGHT) / depth
        row = self.height / 2 - self.focal * (away @ UP) / depth
        return np.stack([column, row, depth], axis=-1)

    def rays(self, samples: int) -> Floats:
        """Directions `[height * samples, width * samples, 3]` of `samples` x `samples` rays a pixel.

        Along the viewing direction all have length 1, so that distance in lengths of a ray is depth.
        """
        return _rays(self, samples)


@lru_cache(maxsize=4)
def _rays(camera: Camera, samples: int) -> Floats:
    columns = (np.arange(camera.width * samples, dtype=np.float32) + 0.5) / samples
    rows = (np.arange(camera.height * samples, dtype=np.float32) + 0.5) / samples
    x = ((columns - camera.width / 2) / camera.focal)[None, :, None]
    y = ((camera.height / 2 - rows) / camera.focal)[:, None, None]
    found: Floats = (FORWARD + x * RIGHT + y * UP).astype(np.float32)
    found.flags.writeable = False  # shared by all pictures of this size
    return found
