"""A scene to its picture, with the exact boxes and masks of what can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avshot.games.item import Picture
from avshot.games.rendering.camera import POSITION, Camera, Floats
from avshot.games.rendering.light import LAMPS, floor_colour, lit, metal, nearness, rubber
from avshot.games.rendering.solids import distance, normals
from avshot.games.scene import Thing

FLOOR = -1  # in place of a thing's index


def render(things: Sequence[Thing], camera: Camera | None = None, samples: int = 2) -> Picture:
    """The picture of a scene.

    Args:
        things: What stands on the floor; none gives an empty floor.
        camera: Size of the picture; 320 x 240, as in CLEVR, by default.
        samples: Rays a pixel along each side.

    Returns:
        Pixels, boxes and masks in the order of `things`. A thing's mask is where at least half of the rays of a pixel
        meet it first; the box is that of the mask, all zero where nothing is seen of it.
    """
    camera = camera or Camera()
    rays = camera.rays(samples)
    ids, depth = first_met(things, camera, rays, samples)
    colours = _colours(things, rays.reshape(-1, 3), ids.ravel(), depth.ravel(), _lamps(ids.shape))
    shape = (camera.height, samples, camera.width, samples, 3)
    pixels = np.clip(np.rint(colours.reshape(shape).mean(axis=(1, 3))), 0, 255).astype(np.uint8)
    masks = _masks(ids, len(things), samples)
    return Picture(pixels, boxes_of(masks), masks)


def first_met(things: Sequence[Thing], camera: Camera, rays: Floats, samples: int) -> tuple[NDArray[np.int8], Floats]:
    """Which thing each ray meets first (`FLOOR` for none of them), and at what depth; `[row, column]` of the rays."""
    with np.errstate(divide="ignore"):
        depth = np.where(rays[..., 2] < 0, -np.float32(POSITION[2]) / rays[..., 2], np.float32(np.inf))
    ids = np.full(depth.shape, FLOOR, np.int8)
    for i, thing in enumerate(things):
        part = _around(thing, camera, samples)
        inside = rays[part]
        met = distance(thing, POSITION.astype(np.float32), inside.reshape(-1, 3)).reshape(inside.shape[:2])
        first = met < depth[part]
        depth[part][first] = met[first]
        ids[part][first] = i
    return ids, depth


def _around(thing: Thing, camera: Camera, samples: int) -> tuple[slice, slice]:
    """The rays that may meet a thing: those around the corners of a box that holds it."""
    reach = 1.415 * thing.radius if thing.shape == "cube" else thing.radius
    corners = [
        (thing.x + a * reach, thing.y + b * reach, z) for a in (-1, 1) for b in (-1, 1) for z in (0, 2 * thing.radius)
    ]
    places = camera.project(np.array(corners))[:, :2] * samples
    (left, top), (right, bottom) = np.floor(places.min(0)).astype(int), np.ceil(places.max(0)).astype(int)
    return slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))


def _lamps(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Which point of the lamp each ray asks: another for each ray of a pixel, where there are two by two."""
    rows, columns = np.indices(shape)
    return ((rows % 2) * 2 + columns % 2).ravel()


def _colours(things: Sequence[Thing], rays: Floats, ids: NDArray[np.int8], depth: Floats, lamp: NDArray) -> Floats:
    colours = np.empty((len(rays), 3), np.float32)
    depth = np.minimum(depth, 1e4)  # above the horizon, which no picture of ours shows, the floor goes on
    points = (POSITION + depth[:, None] * rays).astype(np.float32)
    surfaces = np.zeros_like(points)
    surfaces[ids == FLOOR, 2] = 1
    where = [np.flatnonzero(ids == i) for i in range(len(things))]
    for thing, own in zip(things, where, strict=True):
        surfaces[own] = normals(thing, points[own])
    lamps = LAMPS[lamp]
    reached = lit(things, points, surfaces, lamps)
    floor = np.flatnonzero(ids == FLOOR)
    colours[floor] = floor_colour(points[floor], reached[floor], nearness(things, points[floor]))
    for thing, own in zip(things, where, strict=True):
        views = -rays[own] / np.linalg.norm(rays[own], axis=1, keepdims=True)
        light = {"views": views, "lamps": lamps[own], "reached": reached[own]}
        if thing.material == "rubber":
            colours[own] = rubber(thing, surfaces[own], **light)
        else:
            colours[own] = metal(thing, things, points[own], surfaces[own], **light)
    return np.clip(colours, 0, 255)


def _masks(ids: NDArray[np.int8], n: int, samples: int) -> NDArray[np.bool_]:
    height, width = ids.shape[0] // samples, ids.shape[1] // samples
    blocks = ids.reshape(height, samples, width, samples)
    counts = [(blocks == i).sum(axis=(1, 3)) for i in range(n)]
    masks = np.zeros((n, height, width), bool)
    taken = np.zeros((height, width), bool)
    for i, count in enumerate(counts):  # where two things have half a pixel each, it is the first one's
        masks[i] = (2 * count >= samples**2) & ~taken
        taken |= masks[i]
    return masks


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`[object, 4]`: left, top, right, bottom of masks `[object, height, width]`; zeros where a mask is empty."""
    boxes = np.zeros((len(masks), 4))
    for i, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            boxes[i] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
