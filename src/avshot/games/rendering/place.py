"""Things set on the floor as CLEVR's generator does it: apart, beside each other in no doubtful way, and seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import hypot

import numpy as np

from avshot.games.rendering.camera import DIRECTIONS, Camera
from avshot.games.rendering.render import FLOOR, first_met
from avshot.games.scene import FEWEST, MOST, Scene, Thing, uniform_things

REACH = 3.0  # places are uniform in this square, from the middle
GAP = 0.25  # between the circles of two things at least
MARGIN = 0.4  # along left, right, front, behind: no two things may be almost level
TRIES = 50  # for one thing, before the scene is begun again
SEEN = 200  # pixels of each thing that must be seen, of 320 x 240 (the generator's default; its page says 100)
_SMALL = Camera(160, 120)
_AXES = tuple(DIRECTIONS[name][:2] for name in ("right", "behind"))


def placed_scene(rng: np.random.Generator) -> Scene:
    """A scene of 3 to 10 things (uniform); values are drawn again with the places when a scene is begun again.

    So where many things must find room small ones are slightly more frequent than large ones, as in CLEVR.
    """
    n = int(rng.integers(FEWEST, MOST + 1))
    while True:
        scene = _tried(uniform_things(rng, n), rng)
        if scene is not None and fewest_seen(scene) >= SEEN:
            return scene


def _tried(things: Scene, rng: np.random.Generator) -> Scene | None:
    placed: list[Thing] = []
    for thing in things:
        for _ in range(TRIES):
            x, y = rng.uniform(-REACH, REACH, 2).tolist()
            there = replace(thing, x=x, y=y)
            if all(_apart(there, other) for other in placed):
                placed.append(replace(there, rotation=float(rng.uniform(0, 360))))
                break
        else:
            return None
    return tuple(placed)


def _apart(first: Thing, second: Thing) -> bool:
    dx, dy = first.x - second.x, first.y - second.y
    if hypot(dx, dy) - first.radius - second.radius < GAP:
        return False
    return all(abs(dx * along + dy * across) >= MARGIN for along, across in _AXES)


def is_apart(scene: Scene) -> bool:
    """Whether all things of a scene keep gap and margin."""
    return all(_apart(first, second) for first, second in combinations(scene, 2))


def fewest_seen(scene: Scene) -> float:
    """Pixels of the thing of which least is seen, in a picture of 320 x 240, counted at half that size."""
    ids, _ = first_met(scene, _SMALL, _SMALL.rays(1), 1)
    return 4.0 * float(np.bincount(ids.ravel() - FLOOR, minlength=len(scene) + 1)[1:].min())
