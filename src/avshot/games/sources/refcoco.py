"""RefCOCO: `refcoco:FOLDER` with `refs(unc).p`, `instances.json` and the pictures of COCO in `images/`.

Learning on its val, the guard looks at the last tenth of it, figures are made on testA and testB together (our choice;
the thesis names no split).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadDataset, MissingFile
from avshot.files.atomic import load_json
from avshot.files.unpickle import restricted_load
from avshot.games.item import Item, Mask, Picture
from avshot.games.sources.source import Source


class Refcoco(Source):
    """One object of a photo, with what people called it. The pickle of the references is read as data, never run."""

    @dataclass(frozen=True)
    class Config:
        """Which files."""

        refs: str = "refs(unc).p"  # of RefCOCO and RefCOCO+; RefCOCOg has refs(umd).p
        images: str = "images"  # folder of the pictures (COCO's train2014), inside the place or absolute

    def __init__(self, place: str = "", config: Any = None) -> None:
        super().__init__(place, config)
        self.folder = Path(place).expanduser()
        for name in (self.config.refs, "instances.json"):
            if not place or not (self.folder / name).is_file():
                raise MissingFile(f"refcoco:{place} has no file {name}; name the folder that has: refcoco:FOLDER.")

    @cached_property
    def _items(self) -> dict[str, list[Item]]:
        content = load_json(self.folder / "instances.json")
        try:
            annotations = {each["id"]: each for each in content["annotations"]}
            images = {each["id"]: each for each in content["images"]}
            refs = restricted_load(self.folder / self.config.refs)
            found = [(ref["split"], self._item(ref, annotations, images)) for ref in refs]
        except (KeyError, TypeError) as error:
            raise BadDataset(f"refcoco:{self.place} is not as RefCOCO's files are ({error!r} lacks).") from None
        learning = [item for split, item in found if split == "val"]
        cut = len(learning) - max(1, len(learning) // 10)
        tests = [item for split, item in found if split in ("testA", "testB", "test")]
        return {"train": learning[:cut], "val": learning[cut:], "test": tests}

    def _item(self, ref: dict[str, Any], annotations: dict[int, Any], images: dict[int, Any]) -> Item:
        annotation, image = annotations[ref["ann_id"]], images[ref["image_id"]]
        path = self.folder / self.config.images / Path(image["file_name"]).name
        said = tuple(sentence["sent"] for sentence in ref["sentences"])
        load = partial(_picture, path, annotation, (int(image["height"]), int(image["width"])))
        return Item(id=f"ref {ref['ref_id']}", sentences=(said,), load=load)

    def single(self, rng: np.random.Generator, split: str) -> tuple[Item, int]:
        """An object; the item holds that one alone."""
        items = self._items[split]
        if not items:
            raise BadDataset(f"refcoco:{self.place} has no objects for {split}.")
        return items[rng.integers(len(items))], 0


def _picture(path: Path, annotation: dict[str, Any], size: tuple[int, int]) -> Picture:
    from PIL import Image

    if not path.is_file():
        raise MissingFile(f"{path} is missing; put COCO's pictures there, or name their folder: ?images=FOLDER.")
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    left, top, width, height = annotation["bbox"]
    box = np.array([[left, top, left + width, top + height]], float)
    return Picture(pixels, box, mask_of(annotation["segmentation"], size)[None])


def mask_of(segmentation: Any, size: tuple[int, int]) -> Mask:
    """A mask `[height, width]` of COCO's polygons `[[x, y, x, y, ...], ...]` or run lengths `{"counts": [...]}`.

    Runs go down the columns and begin with what is outside. Polygons are filled by Pillow, whose borders differ from
    those of COCO's own tool by less than a pixel.

    Raises:
        ValueError: Compressed run lengths, which RefCOCO does not have, or runs of another length than the picture.
    """
    from PIL import Image, ImageDraw

    height, width = size
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if not isinstance(counts, list) or sum(counts) != height * width:
            raise BadDataset("A mask of RefCOCO is neither polygons nor plain run lengths of its picture's size.")
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(width, height).T
    image = Image.new("1", (width, height))
    for polygon in segmentation:
        ImageDraw.Draw(image).polygon([float(each) for each in polygon], fill=1, outline=1)
    return np.asarray(image)
