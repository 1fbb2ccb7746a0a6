"""Where features of clips come from: the `FeatureSource` protocol and features held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike

from avshot.types import Features

_CHUNK = 256  # clips averaged at a time


@runtime_checkable
class FeatureSource(Protocol):
    """Anything that holds features of clips: `avshot.features.store.FeatureStore`, `MemoryFeatures`, ...

    A source may have `waits`, "disk" or "network": what gathering waits for (see `avshot.data.ahead.pays`).

    Attributes:
        ids: Clip id of each row, unique.
        spec: What made the features (json-able); part of `Dataset.fingerprint`.
        dims: Width of the audio and of the visual features.
    """

    @property
    def ids(self) -> Sequence[str]:
        """Clip id of each row."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """What made the features."""
        ...

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        ...

    def gather(self, rows: np.ndarray) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        ...


@dataclass(frozen=True)
class MemoryFeatures:
    """Features held in memory, one row per id.

    Attributes:
        ids: Clip id of each row, unique.
        features: `[clip, time, dim]` features; row i belongs to `ids[i]`.
        spec: What made the features (json-able).
    """

    ids: Sequence[str]
    features: Features
    spec: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.features):
            raise ValueError(f"{len(self.ids)} clip ids for features of {len(self.features)} clips; expected one each.")

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        return self.features.dims

    def gather(self, rows: ArrayLike) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        return self.features.take(torch.from_numpy(as_indices(rows)).to(self.features.audio.device))


def as_indices(rows: ArrayLike) -> np.ndarray:
    """Clip indices `[clip]` as int64; a bool mask is turned into indices. Raises ValueError for other types."""
    found = np.asarray(rows)
    if found.dtype == bool:
        found = np.flatnonzero(found)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"Clip indices have type {found.dtype}; expected integers.")
    return found.astype(np.int64).reshape(-1)


def first_few(items: Iterable[str], count: int = 5) -> str:
    """Join `items` for a message, at most `count` of them: "a, b, c, d, e, ..."."""
    found = list(items)
    if len(found) <= count:
        return ", ".join(found)
    return f"{', '.join(found[:count])}, ..."


class AveragedFeatures:
    """The averages over time of another source, held in memory: all clips are read once, at the first use.

    For methods that look at averages only. Takes 4 bytes a number: 1.6 GB for 94,000 clips of 128 + 4096 numbers.

    Args:
        source: Where the sequences are.
    """

    averages = True  # see `Dataset.averaged`

    def __init__(self, source: FeatureSource) -> None:
        self._source = source
        self.ids, self.spec = source.ids, source.spec
        self.status: Mapping[str, str] = getattr(source, "status", {})

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        return self._source.dims

    def gather(self, rows: ArrayLike) -> Features:
        """Averages of `rows` (integers `[clip]`), in that order: one time step, masked where a modality is missing."""
        return self._kept.take(torch.from_numpy(as_indices(rows)))

    @cached_property
    def _kept(self) -> Features:
        return Features.cat(list(averages_of(self._source)))


def averages_of(source: FeatureSource) -> Iterator[Features]:
    """The averages over time of all clips of `source` in its order, a few hundred clips at a time."""
    for start in range(0, len(source.ids), _CHUNK):
        part = source.gather(np.arange(start, min(start + _CHUNK, len(source.ids))))
        means = Features.averaged(*part.pooled())
        yield replace(means, audio_mask=part.has_audio[:, None], visual_mask=part.has_visual[:, None])
