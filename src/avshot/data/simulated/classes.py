"""Classes of a simulated dataset: made up at the counts of a released benchmark, or read from its released lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from avshot.data.official.class_vectors import join_by_name, join_by_position
from avshot.data.official.tables import STAGES, Tables, read_tables
from avshot.errors import BadDataset

TEXT_DIM = 300
# Classes that get a wrong vector when released vectors are joined by position, and classes in all (lists, counted).
SHIFTED = {"ucf": (79, 101), "activitynet": (8, 200), "vggsound": (205, 309)}
_NEW_CLASSES = ("train", "val_unseen", "test_unseen")  # the folds that bring classes of their own, in this order
RELEASED = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}


@dataclass(frozen=True)
class Size:
    """Clips and classes of a released benchmark (its lists, counted).

    Attributes:
        clips: Clips in each of the five folds.
        classes: Classes of `train`, of `val_unseen` and of `test_unseen`; `test_seen` has those of the first two.
        seconds: Shortest, median and longest clip.
    """

    clips: tuple[int, int, int, int, int]
    classes: tuple[int, int, int]
    seconds: tuple[float, float, float]


@dataclass(frozen=True)
class SimulatedClasses:
    """The classes of a simulated dataset.

    Attributes:
        names: Class names.
        vectors: `[class, dim]` unit class vectors that the features are made from.
        told: `[class, dim]` class vectors that methods get; other than `vectors` only where they are shifted.
        folds: `{fold: [class] numbers of its classes}`.
        counts: `{fold: [class] clips of each}` for the folds where lists tell; the others are to be drawn.
        phrases: Spelled-out names, from the lists.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    told: np.ndarray
    folds: Mapping[str, np.ndarray]
    counts: Mapping[str, np.ndarray] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)

    @property
    def domains(self) -> np.ndarray:
        """`[class]`: 0 for classes of training, 1 for those of `val_unseen`, 2 for those of `test_unseen`."""
        found = np.zeros(len(self.names), np.int64)
        found[self.folds["val_unseen"]] = 1
        found[self.folds["test_unseen"]] = 2
        return found


def made_up_classes(
    benchmark: str, size: Size, vectors: Mapping[str, ArrayLike] | None, rng: np.random.Generator, *, shifted: bool
) -> SimulatedClasses:
    """As many classes as the benchmark has: the first ones of `vectors`, or random vectors.

    `shifted` gives as many classes as in the release (UCF 79 of 101, ...), drawn at random, the vector of another.

    Raises:
        ValueError: Too few or unfit vectors.
    """
    count = sum(size.classes)
    if vectors is None:
        names, table = tuple(f"class {i:03d}" for i in range(count)), rng.standard_normal((count, TEXT_DIM))
    else:
        if len(vectors) < count:
            raise BadDataset(f"Got vectors of {len(vectors)} classes; this benchmark has {count}. Pass that many.")
        names = tuple(vectors)[:count]
        table = _table({name: vectors[name] for name in names})
    true = told = _unit(table)
    if shifted:
        wrong, of = SHIFTED[benchmark]
        # A stream of its own, so that the clips are those of the dataset that is not shifted.
        moved = np.sort(rng.spawn(1)[0].permutation(count)[: max(2, round(count * wrong / of))])
        told = true.copy()
        told[moved] = true[np.roll(moved, -1)]
    train, val, test = np.split(np.arange(count), np.cumsum(size.classes)[:2])
    both = np.concatenate([train, val])
    folds = {"train": train, "val_seen": train, "val_unseen": val, "test_seen": both, "test_unseen": test}
    return SimulatedClasses(names, true, told, folds)


def released_classes(
    folder: str | Path,
    benchmark: str,
    split: str,
    vectors: Mapping[str, ArrayLike] | None,
    rng: np.random.Generator,
    *,
    shifted: bool,
) -> SimulatedClasses:
    """The classes of the released lists in `folder`, fold by fold, and the clips of each where their tables are there.

    `vectors` are keyed by spelled-out names, as released; None draws them. `shifted` joins them by position, as the
    released programs do (`avshot.data.official.class_vectors`).

    Raises:
        ValueError: The folder has no such lists, or a class has no vector.
    """
    tables = read_tables(folder, RELEASED[benchmark])
    if split not in tables.lists:
        raise BadDataset(f"{folder} has no lists of the {split} split; it has {', '.join(tables.lists)}.")
    lists = {fold: tables.lists[split][stage] for fold, stage in STAGES.items()}
    names = tuple(dict.fromkeys(name for fold in (*_NEW_CLASSES, *lists) for name in lists[fold]))
    keys = [tables.phrases.get(name, name) for name in tables.names]
    given = _table(vectors) if vectors is not None else rng.standard_normal((len(keys), TEXT_DIM))
    keyed = dict(zip(keys if vectors is None else vectors, _unit(given), strict=True))
    rows = [tables.names.index(name) for name in names]
    true = join_by_name(keyed, tables).numpy()[rows]
    number = {name: i for i, name in enumerate(names)}
    return SimulatedClasses(
        names,
        true,
        join_by_position(keyed, tables).numpy()[rows] if shifted else true,
        {fold: np.array([number[name] for name in listed]) for fold, listed in lists.items()},
        _counts(tables, split, lists),
        {name: tables.phrases[name] for name in names if name in tables.phrases},
    )


def _counts(tables: Tables, split: str, lists: Mapping[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    """Clips of each listed class, for the folds whose table is there."""
    found = {}
    for fold, stage in STAGES.items():
        clips = tables.listed(split, stage)
        if clips is not None:
            labels = [clip.label for clip in clips]
            found[fold] = np.array([labels.count(name) for name in lists[fold]])
    return found


def _table(vectors: Mapping[str, ArrayLike]) -> np.ndarray:
    rows = [np.asarray(vector, dtype=np.float64) for vector in vectors.values()]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
        raise BadDataset(f"Class vectors have shapes {sorted({row.shape for row in rows})}; expected one [dim].")
    return np.stack(rows)


def _unit(table: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(table, axis=1, keepdims=True)
    if not (length > 0).all():
        raise BadDataset("A class vector is zero (or not a number); expected vectors with a direction.")
    return (table / length).astype(np.float32)
