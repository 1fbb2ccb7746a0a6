"""Scenes of simple things, as CLEVR has them: what there is, and in which words one speaks of it.

Source: Johnson et al., CLEVR, CVPR 2017, and its generator (values and colours from its file of properties). The names
of kinds and values are CLEVR's own, so that scene files need no translation; hence "color".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

KINDS: dict[str, tuple[str, ...]] = {
    "color": ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    "shape": ("cube", "sphere", "cylinder"),
    "material": ("rubber", "metal"),
    "size": ("large", "small"),
}
WORDS: tuple[str, ...] = tuple(value for values in KINDS.values() for value in values)  # 15
KIND_OF: dict[str, str] = {value: kind for kind, values in KINDS.items() for value in values}
RGB: dict[str, tuple[int, int, int]] = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
RADIUS: dict[str, float] = {"large": 0.7, "small": 0.35}  # of spheres and cylinders; half the side of cubes
FEWEST, MOST = 3, 10  # things in a scene


@dataclass(frozen=True)
class Thing:
    """One thing on the floor.

    Attributes:
        color: A value of `KINDS["color"]`; so for shape, material and size.
        shape: See color.
        material: See color.
        size: See color.
        x: Place on the floor, from -3 to 3.
        y: See x.
        rotation: Degrees around the vertical.
    """

    color: str
    shape: str
    material: str
    size: str
    x: float = 0.0
    y: float = 0.0
    rotation: float = 0.0

    @property
    def values(self) -> tuple[str, ...]:
        """Its four values, in the order of `KINDS`."""
        return (self.color, self.shape, self.material, self.size)

    @property
    def radius(self) -> float:
        """Half its height, which is also the height of its centre."""
        return RADIUS[self.size]


Scene = tuple[Thing, ...]


def values_of(things: Iterable[Thing]) -> set[str]:
    """All values that occur among some things."""
    return {value for thing in things for value in thing.values}


def telling(target: Sequence[Thing], other: Sequence[Thing], kinds: Iterable[str] = tuple(KINDS)) -> tuple[str, ...]:
    """Values that occur in the target and not in the other, in the order of `WORDS`; none where there is no such value.

    Args:
        target: Things of one scene.
        other: Things of the other.
        kinds: Only values of these kinds.
    """
    wanted = set(kinds)
    only = values_of(target) - values_of(other)
    return tuple(word for word in WORDS if word in only and KIND_OF[word] in wanted)


def uniform_things(rng: np.random.Generator, n: int) -> Scene:
    """Things at the origin whose four values are drawn uniformly and independently."""
    drawn = rng.integers([len(values) for values in KINDS.values()], size=(n, len(KINDS)))
    kinds = tuple(KINDS.values())
    return tuple(Thing(*(values[i] for values, i in zip(kinds, row, strict=True))) for row in drawn.tolist())


def uniform_scene(rng: np.random.Generator) -> Scene:
    """A scene without places: 3 to 10 things, uniform values."""
    return uniform_things(rng, int(rng.integers(FEWEST, MOST + 1)))
