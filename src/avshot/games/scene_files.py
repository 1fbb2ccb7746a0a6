"""Scenes in CLEVR's own file format, so that tools made for CLEVR read ours, and ours read CLEVR's.

One file for each split, `{"info": ..., "scenes": [...]}`; a scene has `image_filename`, `objects` (`shape`, `size`,
`color`, `material`, `3d_coords`, `rotation`, `pixel_coords`), `relationships` and `directions`. We add `box` to each
object (left, top, right, bottom in pixels), which CLEVR's files do not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadDataset
from avshot.files.atomic import load_json
from avshot.games.item import Picture
from avshot.games.rendering.camera import DIRECTIONS, Camera
from avshot.games.scene import KINDS, Scene, Thing

_BEYOND = 0.2  # one thing is left of another from this difference on, as in CLEVR's generator
RELATIONS = ("left", "right", "front", "behind")


def relationships(scene: Sequence[Thing]) -> dict[str, list[list[int]]]:
    """`{relation: [things that are so, for each thing]}`: `["left"][i]` are those left of thing i."""
    places = np.array([[thing.x, thing.y, thing.radius] for thing in scene]).reshape(-1, 3)
    found = {}
    for name in RELATIONS:
        along = places @ np.array(DIRECTIONS[name])
        found[name] = [
            [j for j in range(len(scene)) if j != i and along[j] - along[i] > _BEYOND] for i in range(len(scene))
        ]
    return found


def to_clevr(scene: Sequence[Thing], picture: Picture, camera: Camera, *, index: int, split: str) -> dict[str, Any]:
    """One scene as CLEVR's files have it."""
    objects = []
    for thing, box in zip(scene, picture.boxes.tolist(), strict=True):
        place = [thing.x, thing.y, thing.radius]
        column, row, depth = camera.project(np.array([place]))[0].tolist()
        objects.append(
            {
                "shape": thing.shape,
                "size": thing.size,
                "color": thing.color,
                "material": thing.material,
                "3d_coords": place,
                "rotation": thing.rotation,
                "pixel_coords": [round(column), round(row), depth],
                "box": box,
            }
        )
    return {
        "split": split,
        "image_index": index,
        "image_filename": image_name(split, index),
        "objects": objects,
        "relationships": relationships(scene),
        "directions": {name: list(direction) for name, direction in DIRECTIONS.items()},
    }


def image_name(split: str, index: int) -> str:
    """Name of a picture's file, as CLEVR has them."""
    return f"CLEVR_{split}_{index:06d}.png"


def scenes_path(folder: Path, split: str) -> Path:
    """Where the scenes of a split lie in CLEVR's folder."""
    return folder / "scenes" / f"CLEVR_{split}_scenes.json"


def read_scenes(path: Path) -> list[dict[str, Any]]:
    """The scenes of a file, as they stand there. Raises ValueError for another file."""
    content = load_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("scenes"), list):
        raise BadDataset(f"{path} is no file of CLEVR's scenes: it has no list `scenes`.")
    return list(content["scenes"])


def from_clevr(record: Mapping[str, Any], path: Path) -> Scene:
    """The things of one scene. Raises ValueError, naming the file, where something lacks or has no value of CLEVR's."""
    try:
        return tuple(_thing(each) for each in record["objects"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        name = record.get("image_filename", "a scene") if isinstance(record, Mapping) else "a scene"
        raise BadDataset(f"{path}: {name} is not as CLEVR's scenes are ({type(error).__name__}: {error}).") from None


def _thing(record: Mapping[str, Any]) -> Thing:
    values = {kind: record[kind] for kind in KINDS}
    wrong = [f"{kind} {value!r}" for kind, value in values.items() if value not in KINDS[kind]]
    if wrong:
        raise ValueError(f"there is no {wrong[0]}")
    x, y, _ = record["3d_coords"]
    return Thing(**values, x=float(x), y=float(y), rotation=float(record["rotation"]))
