"""A picture with what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avshot.errors import BadDataset
from avshot.games.scene import Scene

Pixels = NDArray[np.uint8]  # [height, width, 3], red, green, blue
Mask = NDArray[np.bool_]  # [height, width]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, and where the objects are in them.

    Attributes:
        pixels: `[height, width, 3]`.
        boxes: `[object, 4]`: left, top, right, bottom in pixels; right and bottom lie just outside.
        masks: `[object, height, width]`: the pixels of each object that can be seen.
    """

    pixels: Pixels
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    masks: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0, 0), bool))


@dataclass(frozen=True, eq=False)
class Item:
    """One picture of a source, which is made or read only when somebody looks.

    Attributes:
        id: The same picture has the same id.
        label: Its class; empty where the source has none.
        scene: What is in it, thing by thing, in the order of boxes and masks; None where nobody knows.
        sentences: What people said of each object; empty where nobody was asked.
        load: Makes or reads the picture; None where there is none (`symbolic`).
    """

    id: str
    label: str = ""
    scene: Scene | None = None
    sentences: tuple[tuple[str, ...], ...] = ()
    load: Callable[[], Picture] | None = None

    @property
    def picture(self) -> Picture:
        """The picture. Raises ValueError where the source has none."""
        if self.load is None:
            raise BadDataset(f"{self.id} has no picture; take a source that has: rendered, clevr, folder, refcoco.")
        return self.load()

    @property
    def things(self) -> Scene:
        """What is in it. Raises ValueError where nobody knows."""
        if self.scene is None:
            raise BadDataset(f"Nobody knows what is in {self.id}; take a source that does: symbolic, rendered, clevr.")
        return self.scene
