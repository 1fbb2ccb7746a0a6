"""CLEVR's own files: `clevr:FOLDER` with `scenes/CLEVR_train_scenes.json` and `images/train/`; or what `render` wrote.

Splits (our choice): learning on the first nine tenths of CLEVR's train, the guard looks at the last tenth, figures are
made on CLEVR's val, whose test has no scene files.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadDataset, MissingFile
from avshot.games.item import Item, Picture
from avshot.games.rendering.camera import Camera
from avshot.games.rendering.render import boxes_of
from avshot.games.scene_files import from_clevr, read_scenes, scenes_path
from avshot.games.sources.source import Source


class Clevr(Source):
    """Pairs of scenes, and objects of one.

    CLEVR has neither boxes nor masks. Where `masks/` lies beside `images/`, as `render` writes it, they are exact; else
    a box is drawn around `pixel_coords` as wide as the thing appears at its depth, and the box is the mask.
    """

    def __init__(self, place: str = "", config: Any = None) -> None:
        super().__init__(place, config)
        self.folder = Path(place).expanduser()
        if not place or not (self.folder / "scenes").is_dir():
            raise MissingFile(f"clevr:{place} has no folder scenes; name the folder CLEVR_v1.0: clevr:FOLDER.")

    @cached_property
    def _train(self) -> list[Item]:
        return self._read("train")

    @cached_property
    def _val(self) -> list[Item]:
        return self._read("val")

    def _items(self, split: str) -> list[Item]:
        items = self._val if split == "test" else self._train
        cut = len(items) - max(2, len(items) // 10)
        items = {"train": items[:cut], "val": items[cut:], "test": items}[split]
        if len(items) < 2:
            raise BadDataset(f"clevr:{self.place} has {len(items)} scenes for {split}; two are needed at least.")
        return items

    def pair(self, rng: np.random.Generator, split: str) -> tuple[Item, Item]:
        """Two different scenes."""
        items = self._items(split)
        first, second = rng.choice(len(items), 2, replace=False)
        return items[first], items[second]

    def single(self, rng: np.random.Generator, split: str) -> tuple[Item, int]:
        """A scene and one of its things."""
        items = self._items(split)
        item = items[rng.integers(len(items))]
        return item, int(rng.integers(len(item.things)))

    def _read(self, split: str) -> list[Item]:
        path = scenes_path(self.folder, split)
        return [self._item(record, path, split) for record in read_scenes(path)]

    def _item(self, record: dict[str, Any], path: Path, split: str) -> Item:
        scene = from_clevr(record, path)
        name = record.get("image_filename")
        if not isinstance(name, str) or Path(name).name != name:
            raise BadDataset(f"{path}: a scene names no picture (image_filename is {name!r}).")
        return Item(id=name, scene=scene, load=partial(_picture, self.folder, split, name, record))


def _picture(folder: Path, split: str, name: str, record: dict[str, Any]) -> Picture:
    from PIL import Image

    path, masks = folder / "images" / split / name, folder / "masks" / split / name
    if not path.is_file():
        raise MissingFile(f"{path} is missing; the scenes name it.")
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    if masks.is_file():
        with Image.open(masks) as image:
            numbers = np.asarray(image)
        each = np.stack([numbers == i + 1 for i in range(len(record["objects"]))])
        return Picture(pixels, boxes_of(each), each)
    boxes = np.array([_box(each, pixels.shape) for each in record["objects"]])
    return Picture(pixels, boxes, _filled(boxes, pixels.shape[:2]))


def _box(thing: dict[str, Any], shape: tuple[int, ...]) -> list[float]:
    height, width = shape[:2]
    column, row, depth = thing["pixel_coords"]
    reach = Camera(width, height).focal * {"large": 0.7, "small": 0.35}[thing["size"]] / depth
    reach *= 1.2 if thing["shape"] == "cube" else 1.0
    left, top = max(0.0, column - reach), max(0.0, row - reach)
    return [left, top, min(float(width), column + reach), min(float(height), row + reach)]


def _filled(boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (left, top, right, bottom) in zip(masks, np.rint(boxes).astype(int), strict=True):
        mask[top:bottom, left:right] = True
    return masks
