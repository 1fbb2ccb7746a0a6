"""How bright surfaces are: a lamp with a soft shadow, a fill light, highlights, and what metal mirrors.

Colours are multiplied as they are shown (sRGB), not as light adds up, so that a matte thing in full light has about the
colour of its name and the grey of CLEVR's colours stays alike: that is what makes a colour-blind listener blind.
Blender, in which CLEVR was made, takes the same numbers for linear light, and its pictures are paler.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avshot.games.rendering.camera import DIRECTIONS, Floats
from avshot.games.rendering.solids import distance, dots, edges, normals
from avshot.games.scene import RGB, Thing

_LEFT, _FRONT = np.array(DIRECTIONS["left"]), np.array(DIRECTIONS["front"])
_KEY = 0.75 * _LEFT + 0.45 * _FRONT + 1.25 * np.array([0, 0, 1.0])
_FILL = -0.8 * _LEFT + 0.5 * _FRONT + 0.8 * np.array([0, 0, 1.0])
_SPREAD = 0.10  # of the lamp, against its distance: how soft shadows are
FLOOR = np.array([132.0, 132.0, 134.0], np.float32)


def _unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


# Four points of the lamp, one for each ray of a pixel: the mean over a pixel is a soft shadow.
LAMPS = _unit(
    np.stack([_KEY + _SPREAD * (a * _LEFT + b * _FRONT) for a, b in ((-0.6, -1), (1, -0.6), (-1, 0.6), (0.6, 1))])
)
KEY, FILL = _unit(_KEY), _unit(_FILL)


def lit(things: Sequence[Thing], points: Floats, surfaces: Floats, lamps: Floats) -> Floats:
    """Whether the lamp reaches each point: 1 or 0.

    Args:
        things: What may stand in between.
        points: `[point, 3]`.
        surfaces: Their normals; points that look away from the lamp are dark whatever stands in between.
        lamps: `[point, 3]`, towards the lamp.
    """
    seen = (dots(surfaces, lamps) > 0).astype(np.float32)
    raised = points + 2e-3 * surfaces
    across = np.stack([_LEFT, np.cross(KEY, _LEFT)]).astype(np.float32)  # coordinates on a plane across the light
    flat = raised @ across.T
    for thing in things:
        centre = np.array([thing.x, thing.y, thing.radius], np.float32)
        reach = 1.75 * thing.radius + 0.45  # half a cube's diagonal, and what the lamp's size adds
        away = flat - across @ centre
        near = np.flatnonzero(dots(away, away) < reach**2)
        met = distance(thing, raised[near], lamps[near])
        seen[near[np.isfinite(met)]] = 0
    return seen


def nearness(things: Sequence[Thing], points: Floats) -> Floats:
    """How much light from all around reaches the floor beside things: 1 far from all of them."""
    light = np.ones(len(points), np.float32)
    for thing in things:
        gap = np.hypot(points[:, 0] - thing.x, points[:, 1] - thing.y) / thing.radius
        light *= 1 - 0.4 * np.exp(-((gap / 1.25) ** 4))
    return light


def floor_colour(points: Floats, reached: Floats, around: Floats) -> Floats:
    """Colours `[point, 3]` of the floor."""
    fade = 0.62 + 0.38 * np.exp(-(points[:, 0] ** 2 + points[:, 1] ** 2) / 11**2)
    bright = around * (0.62 + 0.43 * reached) * fade
    return FLOOR * bright[:, None]


def matte(thing: Thing, surfaces: Floats, lamps: Floats, reached: Floats) -> Floats:
    """Colours `[point, 3]` of a thing without shine: of rubber, and of what metal mirrors.

    Args:
        thing: The thing.
        surfaces: Normals at the points.
        lamps: Towards the lamp, `[point, 3]`.
        reached: Whether the lamp reaches each.
    """
    key = np.maximum(dots(surfaces, lamps), 0) * reached
    fill = np.maximum(surfaces @ FILL, 0)
    return np.array(RGB[thing.color], np.float32) * (0.50 + 0.52 * key + 0.16 * fill)[:, None]


def rubber(thing: Thing, surfaces: Floats, views: Floats, lamps: Floats, reached: Floats) -> Floats:
    """Colours of a rubber thing; `views` are unit vectors towards the camera."""
    shine = np.maximum(dots(surfaces, _unit(lamps + views)), 0)
    return matte(thing, surfaces, lamps, reached) + 22 * (shine**12 * reached)[:, None]


def metal(thing: Thing, things: Sequence[Thing], points: Floats, surfaces: Floats, **light: Floats) -> Floats:
    """Colours of a metal thing: less of its own, and a tinted mirror of floor, things and surroundings.

    Args:
        thing: The thing.
        things: All things, for the mirror.
        points: Where on it.
        surfaces: Normals there.
        light: `views`, `lamps`, `reached` as of `rubber`.
    """
    views, lamps, reached = light["views"], light["lamps"], light["reached"]
    base = np.array(RGB[thing.color], np.float32)
    mirrored = 2 * dots(surfaces, views)[:, None] * surfaces - views
    tint = 0.10 + 0.90 * base / 255  # so that metal and rubber of a colour are about as bright: the glints tell
    shine = np.maximum(dots(surfaces, _unit(lamps + views)), 0)
    glow = 235 * shine**90 * reached + (0.25 + 0.75 * reached) * 110 * edges(thing, points)
    own = 0.52 * matte(thing, surfaces, lamps, reached)
    return own + 0.85 * tint * _mirror(things, points + 2e-3 * surfaces, mirrored) + glow[:, None]


def _mirror(things: Sequence[Thing], points: Floats, directions: Floats) -> Floats:
    """What is seen from points in directions, after one reflection: matte things, the floor, or what is around."""
    with np.errstate(divide="ignore"):
        nearest = np.where(directions[:, 2] < 0, -points[:, 2] / directions[:, 2], np.float32(np.inf))
    on_floor = points + np.where(np.isfinite(nearest), nearest, 0)[:, None] * directions
    ones = np.ones(len(points), np.float32)
    floor = floor_colour(on_floor, ones, nearness(things, on_floor))
    colours = np.where((directions[:, 2] < 0)[:, None], floor, _surroundings(directions)[:, None])
    for thing in things:
        met = distance(thing, points, directions)
        closer = np.flatnonzero(met < nearest)
        there = points[closer] + met[closer, None] * directions[closer]
        colours[closer] = matte(thing, normals(thing, there), np.broadcast_to(KEY, there.shape), ones[closer])
        nearest[closer] = met[closer]
    return colours


def _surroundings(directions: Floats) -> Floats:
    """Brightness above the floor: a bright horizon, dark above, and a bright window where the lamp is."""
    height = np.clip(directions[:, 2], 0, 1)
    stripes = 22 * np.sin(9 * np.arctan2(directions[:, 1], directions[:, 0]))
    window = np.clip((directions @ KEY - 0.90) / 0.04, 0, 1)
    return (205 - 150 * height + stripes * (1 - height) + 120 * window).astype(np.float32)
