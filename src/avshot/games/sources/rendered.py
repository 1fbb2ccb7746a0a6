"""Scenes and pictures that are made here, as many as are asked for: no files, nothing to download."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.errors import BadSetting
from avshot.games.item import Item, Picture
from avshot.games.rendering.camera import Camera
from avshot.games.rendering.place import placed_scene
from avshot.games.rendering.render import render
from avshot.games.scene import Scene
from avshot.games.sources.source import Source

_KEPT = 64  # pictures in memory


class Rendered(Source):
    """Two independent scenes, or one with an object of it; places and values as CLEVR draws them.

    A picture is rendered when somebody looks at it. Every split draws from the same distribution, with other random
    numbers.
    """

    @dataclass(frozen=True)
    class Config:
        """Size of the pictures in pixels."""

        width: int = 320  # CLEVR's, half of it in each direction is four times as fast
        height: int = 240

    def __init__(self, place: str = "", config: Any = None) -> None:
        super().__init__(place, config)
        if min(self.config.width, self.config.height) < 16:
            raise BadSetting(f"rendered: {self.config.width} x {self.config.height} is too small; take 16 or more.")
        self._pictures: OrderedDict[Scene, Picture] = OrderedDict()

    def pair(self, rng: np.random.Generator, split: str) -> tuple[Item, Item]:
        """Two independent scenes."""
        return self._item(rng), self._item(rng)

    def single(self, rng: np.random.Generator, split: str) -> tuple[Item, int]:
        """A scene and one of its things, each as likely as the others."""
        item = self._item(rng)
        return item, int(rng.integers(len(item.things)))

    def _item(self, rng: np.random.Generator) -> Item:
        scene = placed_scene(rng)
        name = " ".join(f"{'-'.join(t.values)}@{t.x:.3f},{t.y:.3f}" for t in scene)
        return Item(id=name, scene=scene, load=lambda: self._rendered(scene))

    def _rendered(self, scene: Scene) -> Picture:
        if scene not in self._pictures:
            self._pictures[scene] = render(scene, Camera(self.config.width, self.config.height))
            while len(self._pictures) > _KEPT:
                self._pictures.popitem(last=False)
        return self._pictures[scene]
