"""Where rays meet a cube, a sphere, a cylinder, and which way the surface looks there.

All stand on the floor: a thing of radius r is 2r high. CLEVR's generator means to shrink cubes by the square root of
two but compares another name, so that its cubes have half a side of r, as ours.
"""

from __future__ import annotations

import numpy as np

from avshot.games.rendering.camera import Floats
from avshot.games.scene import Thing

_NEVER = np.float32(np.inf)
_BEVEL = 0.06  # of the radius
_NEAR = 1e-4  # a surface casts no shadow on the point that it is asked from


def dots(first: Floats, second: Floats) -> Floats:
    """Dot products `[row]` of two arrays `[row, axis]`."""
    found: Floats = np.einsum("ij,ij->i", first, second)
    return found


def _local(thing: Thing, origins: Floats, directions: Floats) -> tuple[Floats, Floats]:
    """Rays as seen from the thing's centre, turned with it."""
    centre = np.array([thing.x, thing.y, thing.radius], np.float32)
    away = (origins - centre).astype(np.float32)
    if thing.shape != "cube":
        return away, directions
    turn = _turn(thing)
    return away @ turn, directions @ turn


def _turn(thing: Thing) -> Floats:
    """Columns are the cube's axes."""
    c, s = np.cos(np.radians(thing.rotation)), np.sin(np.radians(thing.rotation))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


def distance(thing: Thing, origins: Floats, directions: Floats) -> Floats:
    """How far along each ray the thing is met first; infinite where it is not.

    Args:
        thing: What may be met.
        origins: `[ray, 3]`, or `[3]` for all.
        directions: `[ray, 3]`; distances are in their lengths.
    """
    o, d = _local(thing, np.atleast_2d(origins), directions)
    o = np.broadcast_to(o, d.shape)
    meet = {"cube": _box, "sphere": _sphere, "cylinder": _cylinder}[thing.shape]
    with np.errstate(divide="ignore", invalid="ignore"):
        return meet(o, d, np.float32(thing.radius))


def _first(near: Floats, far: Floats) -> Floats:
    """The first meeting in front of the origin of a ray that is inside between two distances."""
    met = (near <= far) & (far > _NEAR)
    return np.where(met, np.where(near > _NEAR, near, far), _NEVER)


def _sphere(o: Floats, d: Floats, r: np.float32) -> Floats:
    near, far = _roots(dots(d, d), dots(o, d), dots(o, o) - r * r)
    return _first(near, far)


def _roots(a: Floats, half_b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Roots of a t^2 + 2 half_b t + c; an empty interval where there are none."""
    under = half_b * half_b - a * c
    root = np.sqrt(np.maximum(under, 0))
    real = under > 0
    return np.where(real, (-half_b - root) / a, _NEVER), np.where(real, (-half_b + root) / a, -_NEVER)


def _slab(o: Floats, d: Floats, r: np.float32) -> tuple[Floats, Floats]:
    """Where rays are between -r and r along one axis."""
    first, second = (-r - o) / d, (r - o) / d
    return np.fmin(first, second), np.fmax(first, second)


def _box(o: Floats, d: Floats, r: np.float32) -> Floats:
    near, far = _slab(o, d, r)
    last_in = np.maximum(np.maximum(near[:, 0], near[:, 1]), near[:, 2])
    first_out = np.minimum(np.minimum(far[:, 0], far[:, 1]), far[:, 2])
    return _first(last_in, first_out)


def _cylinder(o: Floats, d: Floats, r: np.float32) -> Floats:
    level_o, level_d = o[:, :2], d[:, :2]
    a = np.maximum(dots(level_d, level_d), 1e-12)
    round_near, round_far = _roots(a, dots(level_o, level_d), dots(level_o, level_o) - r * r)
    low, high = _slab(o[:, 2], d[:, 2], r)
    return _first(np.maximum(round_near, low), np.minimum(round_far, high))


def normals(thing: Thing, points: Floats) -> Floats:
    """Unit vectors `[point, 3]` that look away from the surface at points on it."""
    away, _ = _local(thing, points, np.zeros((1, 3), np.float32))
    if thing.shape == "sphere":
        return away / np.linalg.norm(away, axis=1, keepdims=True)
    if thing.shape == "cube":
        axis = np.abs(away).argmax(1)
        found = np.zeros_like(away)
        found[np.arange(len(away)), axis] = np.sign(away[np.arange(len(away)), axis])
        return found @ _turn(thing).T
    on_cap = np.abs(away[:, 2]) >= thing.radius * (1 - 1e-3)
    side = away * np.array([1, 1, 0], np.float32)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    cap = np.zeros_like(away)
    cap[:, 2] = np.sign(away[:, 2])
    return np.where(on_cap[:, None], cap, side)


def edges(thing: Thing, points: Floats) -> Floats:
    """1 close to an edge of the thing, where bevelled metal glints, else 0; a sphere has none."""
    away, _ = _local(thing, points, np.zeros((1, 3), np.float32))
    if thing.shape == "sphere":
        return np.zeros(len(points), np.float32)
    across = np.abs(away) if thing.shape == "cube" else np.stack([np.hypot(away[:, 0], away[:, 1]), abs(away[:, 2])], 1)
    second = np.sort(across, axis=1)[:, -2]
    return (second > thing.radius * (1 - _BEVEL)).astype(np.float32)
