"""`Dataset`: clips, their labels, named folds and the source of their features, joined by clip id.

`avshot.data.load.load_dataset` makes one from its description.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.data.pairs import Pairs
from avshot.data.shots import check_shots
from avshot.data.sources import AveragedFeatures, FeatureSource, MemoryFeatures, as_indices, first_few
from avshot.errors import BadDataset
from avshot.types import Clip, Features

__all__ = ["FOLDS", "Dataset", "FeatureSource", "MemoryFeatures"]

FOLDS = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")


@dataclass(frozen=True)
class Dataset:
    """Clips with class names, named folds and features.

    Clips whose features are missing or failed (status "error: ...") are taken out of every fold when the dataset is
    built; `missing` names them and `warnings` says so. Without features (`features=None`) no clip is taken out.

    Attributes:
        name: Name of the dataset.
        clips: All clips; ids are unique.
        names: All class names; every label is among them.
        folds: `{fold: [clip] indices into clips}`; `FOLDS` are the usual ones. Which folds may share clips or classes
            is for a task to say (`avshot.task.Task.stages`).
        features: Where the features are, joined to the clips by id; None when only the tables exist.
        phrases: Words to embed for a class; a class that is not in it is embedded under its own name.
        text: Precomputed class vectors `{encoder: [name, dim]}` in the order of `names` (released benchmarks).
        candidates: Class list of a fold where a list, not the clips, defines it (released benchmarks).
        pairs: Which action and adverb each class is, where classes are pairs; None where they are plain.
        shots: Clips of each novel class that a task with few shots trains on, where the task does not say; None where
            nobody has said.
        notes: What whoever built the dataset found worth saying; part of `warnings`, not of `fingerprint`.
        missing: `(clip id, reason)` of each clip that lost its fold for want of features. Filled in, not passed.
    """

    name: str
    clips: tuple[Clip, ...]
    names: tuple[str, ...]
    folds: Mapping[str, np.ndarray]
    features: FeatureSource | None = None
    phrases: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, Tensor] = field(default_factory=dict)
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: Pairs | None = None
    shots: int | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", tuple(self.clips))
        object.__setattr__(self, "names", tuple(self.names))
        check_shots(self.shots)
        folds = {fold: as_indices(rows) for fold, rows in self.folds.items()}
        _check_names(self)
        _check_folds(self, folds)
        if self.pairs is not None and tuple(self.pairs.actions) != self.names:
            raise BadDataset(f"The pairs of dataset {self.name!r} are not its classes, in their order.")
        if self.features is not None:
            reasons = _absent(self.clips, self.features)
            lost = sorted({int(i) for rows in folds.values() for i in rows if int(i) in reasons})
            gone = np.array(lost, dtype=np.int64)
            folds = {fold: rows[~np.isin(rows, gone)] for fold, rows in folds.items()}
            object.__setattr__(self, "missing", tuple((self.clips[i].id, reasons[i]) for i in lost))
        object.__setattr__(self, "folds", folds)

    def __len__(self) -> int:
        return len(self.clips)

    def fold(self, name: str) -> np.ndarray:
        """Indices `[clip]` of fold `name`; may be empty. Raises ValueError for an unknown fold, listing the folds."""
        if name not in self.folds:
            raise BadDataset(f"Fold {name!r} is not in dataset {self.name!r}; folds: {', '.join(self.folds)}.")
        return self.folds[name]

    def labels(self, indices: ArrayLike) -> Tensor:
        """Labels `[clip]` (long, index into `names`) of clips `indices`. Raises ValueError for an unlabelled one."""
        rows = as_indices(indices)
        found = self._label_of[rows]
        if (found < 0).any():
            clip = self.clips[int(rows[found < 0][0])]
            raise BadDataset(f"Clip {clip.id!r} has no label; it cannot be used for training or measuring.")
        return torch.from_numpy(found)

    def gather(self, indices: ArrayLike) -> Features:
        """Features of the clips `indices`, in that order, joined by clip id.

        Raises:
            ValueError: The dataset has no features, or none for one of these clips.
        """
        if self.features is None:
            raise BadDataset(f"Dataset {self.name!r} has no features; make them with `avshot extract`.")
        rows = self._row_of[as_indices(indices)]
        if (rows < 0).any():
            clip = self.clips[int(as_indices(indices)[rows < 0][0])]
            raise BadDataset(f"Clip {clip.id!r} has no features in dataset {self.name!r}; run `avshot extract` again.")
        return self.features.gather(rows)

    @cached_property
    def averaged(self) -> Dataset:
        """The same dataset with features averaged over time, read once and held in memory."""
        if self.features is None or getattr(self.features, "averages", False):
            return self
        return self.with_features(AveragedFeatures(self.features))

    def with_features(self, source: FeatureSource) -> Dataset:
        """The same dataset with the same features in another place or form: the clips that lack them stay known."""
        other = replace(self, features=source)
        object.__setattr__(other, "missing", self.missing)
        return other

    def classes_of(self, fold: str) -> tuple[str, ...]:
        """Classes of `fold` in the order of `names`: its class list where there is one, else those with clips."""
        rows = self.fold(fold)
        if fold in self.candidates:
            listed = set(self.candidates[fold])
            return tuple(name for name in self.names if name in listed)
        present = set(self._label_of[rows].tolist())
        return tuple(name for i, name in enumerate(self.names) if i in present)

    def text_of(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The dataset's own class vectors of some of its classes: `{encoder: [name, dim]}`; empty where it has none."""
        rows = torch.tensor([self.number_of[name] for name in names], dtype=torch.long)
        return {encoder: vectors[rows] for encoder, vectors in self.text.items()}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that results on this dataset depend on, by name, json-able; `fingerprint` is its digest.

        `values` is what the source of the features says of those of the clips (`content` of a `FeatureSource`); None
        where it says nothing.
        """
        ids = [clip.id for clip in self.clips]
        content = None if self.features is None else getattr(self.features, "content", None)
        return {
            "clips": sorted((clip.id, clip.label, *([clip.stored_as] * bool(clip.stored_as))) for clip in self.clips),
            "names": self.names,
            "phrases": dict(sorted(self.phrases.items())),
            "folds": {fold: sorted(ids[i] for i in rows) for fold, rows in sorted(self.folds.items())},
            "candidates": {fold: sorted(names) for fold, names in sorted(self.candidates.items())},
            "text": {encoder: _digest(vectors) for encoder, vectors in sorted(self.text.items())},
            "features": None if self.features is None else dict(self.features.spec),
            "values": None if content is None else content(list(dict.fromkeys(clip.key for clip in self.clips))),
            **({} if self.shots is None else {"shots": self.shots}),
            **({} if self.pairs is None else {"pairs": _told(self.pairs)}),
        }

    def fingerprint(self, *, values: bool = True) -> str:
        """Sixteen hex digits of `identity`; without the `values` of the features they are those of avshot 0.1."""
        counts = {key: part for key, part in self.identity.items() if key != "values" or (values and part is not None)}
        return hashlib.sha256(json.dumps(counts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def straddling(self) -> tuple[str, ...]:
        """Groups (`Clip.group`) with clips both among train and validation and among the test folds, sorted."""
        learnt = self._groups("train", "val_seen", "val_unseen", "unlabelled")
        return tuple(sorted(learnt & self._groups("test_seen", "test_unseen")))

    def warnings(self) -> tuple[str, ...]:
        """What a reader of results on this dataset should know; empty when nothing is unusual."""
        found = list(self.notes)
        if self.missing:
            lost = first_few(f"{id} ({why})" for id, why in self.missing)
            found.append(f"{len(self.missing)} clips are left out because they have no features: {lost}.")
        groups = self.straddling()
        if groups:
            found.append(f"{len(groups)} sources have clips both in training and in test folds: {first_few(groups)}.")
        found += [f"Fold {fold} is empty." for fold, rows in self.folds.items() if len(rows) == 0]
        return tuple(found)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """`{class name: its place in names}`."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _label_of(self) -> np.ndarray:
        index = self.number_of
        return np.array([-1 if clip.label is None else index[clip.label] for clip in self.clips], dtype=np.int64)

    @cached_property
    def _row_of(self) -> np.ndarray:
        ids = () if self.features is None else self.features.ids
        index = {id: i for i, id in enumerate(ids)}
        return np.array([index.get(clip.key, -1) for clip in self.clips], dtype=np.int64)

    def _groups(self, *folds: str) -> set[str]:
        rows = (i for fold in folds for i in self.folds.get(fold, ()))
        return {group for i in rows if (group := self.clips[i].group) is not None}


def _told(pairs: Pairs) -> dict[str, Any]:
    """What results depend on of pairs, by name, json-able."""
    text = {encoder: {k: _digest(v) for k, v in sorted(parts.items())} for encoder, parts in sorted(pairs.text.items())}
    return {"actions": dict(pairs.actions), "antonyms": dict(sorted(pairs.antonyms.items())), "text": text}


def _digest(vectors: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors.detach().cpu().numpy()).tobytes()).hexdigest()[:16]


def _absent(clips: Sequence[Clip], source: FeatureSource) -> dict[int, str]:
    """Reason for each clip (by index) that has no usable features."""
    known = set(source.ids)
    status: Mapping[str, str] = getattr(source, "status", {})
    reasons = {}
    for i, clip in enumerate(clips):
        state = status.get(clip.key, "ok")
        if state.startswith("error"):
            reasons[i] = state
        elif clip.key not in known:
            reasons[i] = "not extracted"
    return reasons


def _check_names(dataset: Dataset) -> None:
    if len(set(dataset.names)) != len(dataset.names):
        raise BadDataset(f"Dataset {dataset.name!r} names a class twice: {', '.join(_repeated(dataset.names))}.")
    ids = [clip.id for clip in dataset.clips]
    if len(set(ids)) != len(ids):
        raise BadDataset(f"Clip ids must be unique in dataset {dataset.name!r}; repeated: {first_few(_repeated(ids))}.")
    unknown = {clip.label for clip in dataset.clips if clip.label is not None} - set(dataset.names)
    if unknown:
        raise BadDataset(f"Labels that are not class names of dataset {dataset.name!r}: {', '.join(sorted(unknown))}.")
    for encoder, vectors in dataset.text.items():
        if vectors.ndim != 2 or len(vectors) != len(dataset.names):
            raise BadDataset(
                f"Class vectors {encoder!r} have shape {tuple(vectors.shape)}; expected [{len(dataset.names)}, dim], "
                "one row per class name."
            )


def _check_folds(dataset: Dataset, folds: Mapping[str, np.ndarray]) -> None:
    for fold, rows in folds.items():
        if len(rows) and (rows.min() < 0 or rows.max() >= len(dataset.clips)):
            raise BadDataset(f"Fold {fold!r} points outside the {len(dataset.clips)} clips of {dataset.name!r}.")


def _repeated(values: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({value for value in values if value in seen or seen.add(value)})  # type: ignore[func-returns-value]
