"""Scenes without pictures: what CLEVR would hold, were things placed nowhere. For symbolic players, and quick.

Two scenes are drawn independently, each with 3 to 10 things (uniform) of uniform values; what can be reached on them at
best is known exactly (`avshot.games.limits`).
"""

from __future__ import annotations

import numpy as np

from avshot.games.item import Item
from avshot.games.scene import uniform_scene
from avshot.games.sources.source import Source


class Symbolic(Source):
    """Every split draws from the same distribution, with other random numbers."""

    def pair(self, rng: np.random.Generator, split: str) -> tuple[Item, Item]:
        """Two independent scenes."""
        return _item(rng), _item(rng)


def _item(rng: np.random.Generator) -> Item:
    scene = uniform_scene(rng)
    return Item(id=" ".join("-".join(thing.values) for thing in scene), scene=scene)
