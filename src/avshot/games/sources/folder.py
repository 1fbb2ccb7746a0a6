"""Photos by class: `folder:PLACE`, laid out as ImageNet or as CUB-200-2011, for `rei` over two classes.

ImageNet: `train/CLASS/*` and `val/CLASS/*`; learning on train, figures on val. A folder with `CLASS/*` alone is cut:
every second picture of a class, in the order of their names, is for figures. CUB: `images.txt`, `classes.txt`,
`image_class_labels.txt`, `train_test_split.txt` and `images/`; figures on its test pictures. Of what there is for
learning the guard looks at every tenth picture of a class, or the last where there are fewer (our choice).
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadDataset, MissingFile
from avshot.files.text import read_lines
from avshot.games.item import Item, Picture
from avshot.games.sources.source import Source

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_Split = dict[str, list[tuple[str, Path]]]


class Folder(Source):
    """Pairs of pictures of two different classes, classes being drawn uniformly."""

    def __init__(self, place: str = "", config: Any = None) -> None:
        super().__init__(place, config)
        self.root = Path(place).expanduser()
        if not place or not self.root.is_dir():
            raise MissingFile(f"folder:{place} is no folder; name one with pictures by class: folder:PLACE.")

    @cached_property
    def _classes(self) -> dict[str, dict[str, list[Path]]]:
        found = _cub(self.root) if (self.root / "images.txt").is_file() else _by_class(self.root)
        return {split: _grouped(rows) for split, rows in found.items()}

    def pair(self, rng: np.random.Generator, split: str) -> tuple[Item, Item]:
        """Two pictures of different classes."""
        classes = self._classes[split]
        if len(classes) < 2:
            raise BadDataset(f"folder:{self.place} has {len(classes)} classes for {split}; two are needed at least.")
        names = sorted(classes)
        first, second = (names[i] for i in rng.choice(len(names), 2, replace=False))
        return self._item(first, split, rng), self._item(second, split, rng)

    def _item(self, name: str, split: str, rng: np.random.Generator) -> Item:
        paths = self._classes[split][name]
        path = paths[rng.integers(len(paths))]
        return Item(id=path.relative_to(self.root).as_posix(), label=name, load=partial(_picture, path))


def _grouped(rows: list[tuple[str, Path]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name, path in rows:
        found.setdefault(name, []).append(path)
    return found


def _pictures_in(folder: Path) -> list[tuple[str, Path]]:
    return [
        (each.name, path)
        for each in sorted(folder.iterdir())
        if each.is_dir()
        for path in sorted(each.iterdir())
        if path.suffix.lower() in _ENDINGS
    ]


def _tenths(rows: list[tuple[str, Path]]) -> _Split:
    """What is there for learning, cut into learning and guard within each class."""
    found: _Split = {"train": [], "val": []}
    for name, paths in _grouped(rows).items():
        for i, path in enumerate(paths):
            found["val" if i % 10 == 9 or (len(paths) < 10 and i == len(paths) - 1) else "train"].append((name, path))
    return found


def _by_class(root: Path) -> _Split:
    if (root / "train").is_dir() and (root / "val").is_dir():
        return _tenths(_pictures_in(root / "train")) | {"test": _pictures_in(root / "val")}
    rest: list[tuple[str, Path]] = []
    test: list[tuple[str, Path]] = []
    for name, paths in _grouped(_pictures_in(root)).items():
        for i, path in enumerate(paths):
            (test if i % 2 else rest).append((name, path))
    return _tenths(rest) | {"test": test}


def _cub(root: Path) -> _Split:
    def column(file: str) -> dict[str, str]:
        path = root / file
        if not path.is_file():
            raise MissingFile(f"{path} is missing; a folder with images.txt is read as CUB-200-2011, which has it.")
        return {row[0]: row[1] for _, text in read_lines(path) if len(row := text.split(maxsplit=1)) == 2}

    images, labels = column("images.txt"), column("image_class_labels.txt")
    names, is_train = column("classes.txt"), column("train_test_split.txt")
    lacking = sorted(set(images) - set(labels) | set(images) - set(is_train))
    if lacking:
        raise BadDataset(f"{root}: image {lacking[0]} of images.txt has no class or no split in the other files.")
    rows = [(names.get(labels[i], labels[i]), root / "images" / file, is_train[i]) for i, file in images.items()]
    train = [(name, path) for name, path, kind in rows if kind == "1"]
    return _tenths(train) | {"test": [(name, path) for name, path, kind in rows if kind != "1"]}


def _picture(path: Path) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return Picture(np.asarray(image.convert("RGB")))
    except (OSError, UnidentifiedImageError) as error:
        raise BadDataset(f"{path} cannot be read as a picture ({error}); mend or remove it.") from None
