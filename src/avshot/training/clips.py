"""Clips of a dataset as batches: what a training draws from, what is scored, what `adapt` passes through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.types import MODALITIES, Batch, Classes, Features

_LOOK = 32  # clips read at a time to see which modalities there are


class ClipSource:
    """Clips of a dataset as batches of one stage: features, labels among `classes`, and the chosen modality.

    Args:
        dataset: Where the features come from.
        clips: `[clip]` indices into the dataset's clips; all their labels must be in `classes`.
        classes: The classes that labels refer to.
        modality: "both", "audio" or "visual": what the method gets to see.
        pools: `{name: [clip] positions among the clips}` that a turn of a training may draw from alone.
        aside: `{name: further clips}` that are drawn only by a turn that asks for them (`avshot.task.Stage.aside`).
    """

    def __init__(
        self,
        dataset: Dataset,
        clips: np.ndarray,
        classes: Classes,
        modality: str = "both",
        pools: Mapping[str, Tensor] | None = None,
        aside: Mapping[str, ClipSource] | None = None,
    ) -> None:
        self.dataset, self.clips, self.classes, self.modality = dataset, clips, classes, modality
        names = [dataset.names[i] for i in dataset.labels(clips).tolist()]
        self.labels = torch.tensor([classes.index(name) for name in names], dtype=torch.long)
        self.pools: Mapping[str, Tensor] = pools or {}
        self.aside: Mapping[str, ClipSource] = aside or {}

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the clips, in order."""
        return [self.dataset.clips[clip].id for clip in self.clips.tolist()]

    def only(self, positions: np.ndarray) -> ClipSource:
        """The clips at some positions alone."""
        return ClipSource(self.dataset, self.clips[positions], self.classes, self.modality)

    @property
    def waits(self) -> str:
        """What gathering waits for (see `avshot.training.prefetch.pays`)."""
        return str(getattr(self.dataset.features, "waits", ""))

    def features(self, positions: Tensor | slice) -> Features:
        """Features of the clips at `positions` (not of the whole dataset)."""
        index = positions.numpy() if isinstance(positions, Tensor) else positions
        return self.dataset.gather(self.clips[index]).only(self.modality)

    def parts(self, size: int = 256) -> Iterator[tuple[list[str], Features]]:
        """All clips in order, `size` at a time: their ids, and their features with the chosen modality."""
        for i in range(0, len(self), size):
            yield self.ids[i : i + size], self.features(slice(i, i + size))

    def batch(self, positions: Tensor) -> Batch:
        """The clips at `positions` as a batch without negatives."""
        return Batch(self.features(positions), self.labels[positions], self.classes)

    def once(self, device: torch.device) -> Passes:
        """All clips in order, as batches on `device`; can be passed through several times."""
        return Passes(self, device)


def clips_of_each(dataset: Dataset, clips: np.ndarray, classes: Classes) -> Tensor:
    """How many of the clips (indices `[clip]`) each class has: `[class]` long."""
    rows, number = torch.bincount(dataset.labels(clips), minlength=len(dataset.names)), dataset.number_of
    return torch.tensor([int(rows[number[name]]) for name in classes.names], dtype=torch.long)


def modalities_of(dataset: Dataset, clips: np.ndarray) -> tuple[str, ...]:
    """Those of "audio" and "visual" that any of the clips (indices `[clip]` into the dataset's) has.

    Reads clips until both are found: where all is well, one small batch.
    """
    found: set[str] = set()
    for i in range(0, len(clips), _LOOK):
        part = dataset.gather(clips[i : i + _LOOK])
        found |= {name for name in MODALITIES if bool(getattr(part, f"has_{name}").any())}
        if len(found) == len(MODALITIES):
            break
    return tuple(name for name in MODALITIES if name in found)


_AT_ONCE = 256  # clips of a batch


class Passes:
    """All clips of a source in order, as batches without negatives: what `Method.adapt` learns from."""

    def __init__(self, source: ClipSource, device: torch.device) -> None:
        self.source, self.device = source, device

    def __iter__(self) -> Iterator[Batch]:
        for i in range(0, len(self.source), _AT_ONCE):
            yield self.source.batch(torch.arange(i, min(i + _AT_ONCE, len(self.source)))).to(self.device)
