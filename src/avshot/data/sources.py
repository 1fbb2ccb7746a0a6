"""Where features of clips come from: the `FeatureSource` protocol and features held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from avshot.errors import BadDataset
from avshot.types import MODALITIES, Clip, Features

_CHUNK = 256  # clips averaged at a time


@runtime_checkable
class FeatureSource(Protocol):
    """Anything that holds features of clips: `avshot.features.store.store.FeatureStore`, `MemoryFeatures`, ...

    A source may have `waits`, "disk" or "network": what gathering waits for (see `avshot.training.prefetch.pays`); and
    `content(ids=None) -> str`, a digest of ids, status, values, masks and times of the clips `ids` (or of more, where
    the others cannot change), by which results know what they were computed from. It may take a pass over the data.

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

    Raises:
        ValueError: Not one id per row, or numbers that are not finite; the message names the clip.
    """

    ids: Sequence[str]
    features: Features
    spec: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.features):
            raise BadDataset(f"{len(self.ids)} clip ids for features of {len(self.features)} clips; expected one each.")
        check_finite(self.ids, self.features)

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        return self.features.dims

    def content(self, ids: Iterable[str] | None = None) -> str:
        """Digest of ids and tensors, computed at each call (tensors may be written to): 0.6 s for a gigabyte.

        The order of the rows does not count: clips are joined by their ids.

        Args:
            ids: Clips that count, where they are here; None = all.
        """
        wanted = set(self.ids if ids is None else ids)
        order = sorted((i for i, id in enumerate(self.ids) if id in wanted), key=self.ids.__getitem__)
        parts = (self.gather(order[i : i + _CHUNK]) for i in range(0, len(order), _CHUNK))
        return digest_of([self.ids[i] for i in order], (tensor for part in parts for tensor in _tensors(part)))

    def gather(self, rows: ArrayLike) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        return self.features.take(torch.from_numpy(as_indices(rows)).to(self.features.audio.device))


def as_indices(rows: ArrayLike) -> np.ndarray:
    """Clip indices `[clip]` as int64; a bool mask is turned into indices. Raises ValueError for other types."""
    found = np.asarray(rows)
    if found.dtype == bool:
        found = np.flatnonzero(found)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise BadDataset(f"Clip indices have type {found.dtype}; expected integers.")
    return found.astype(np.int64).reshape(-1)


def once(clips: Iterable[Clip]) -> list[Clip]:
    """What is to be described: a clip for each key of features, under that id, whatever rows and labels share it."""
    found: dict[str, Clip] = {}
    for clip in clips:
        found.setdefault(clip.key, replace(clip, id=clip.key, stored_as=None) if clip.stored_as else clip)
    return list(found.values())


def first_few(items: Iterable[str], count: int = 5) -> str:
    """Join `items` for a message, at most `count` of them: "a, b, c, d, e, ..."."""
    found = list(items)
    if len(found) <= count:
        return ", ".join(found)
    return f"{', '.join(found[:count])}, ..."


def check_finite(ids: Sequence[str], features: Features) -> None:
    """See that all values and times are finite, also where the mask hides them: a sum would still meet them.

    Raises:
        ValueError: A number is NaN or infinite; the message names the first such clip.
    """
    for modality in MODALITIES:
        for name, what in ((modality, "features"), (f"{modality}_time", "times")):
            finite = torch.isfinite(getattr(features, name)).flatten(1)
            if not bool(finite.all()):
                row = int((~finite.all(dim=1)).nonzero()[0, 0])
                raise BadDataset(
                    f"The {modality} {what} of clip {ids[row]!r} hold {int((~finite[row]).sum())} numbers that are not "
                    "finite (nan or inf); extract or load them again, or leave this clip out."
                )


def digest_of(about: Any, numbers: Iterable[Tensor | np.ndarray]) -> str:
    """Hex digest of something json-able and of arrays: of their types, shapes and bytes."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for array in numbers:
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        if isinstance(array, Tensor):  # torch has types that numpy lacks
            array = array.detach().cpu().contiguous().view(torch.uint8).numpy()
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _tensors(features: Features) -> list[Tensor]:
    return [getattr(features, name) for m in MODALITIES for name in (m, f"{m}_mask", f"{m}_time")]


class AveragedFeatures:
    """The averages over time of another source, held in memory: all clips are read once, at the first use.

    For methods that look at averages only. Takes 4 bytes a number: 1.6 GB for 94,000 clips of 128 + 4096 numbers.

    Args:
        source: Where the sequences are.

    Raises:
        ValueError: At the first use, where an average is not finite; the message names the clip.
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

    def content(self, ids: Iterable[str] | None = None) -> str:
        """That of the source; of all averages where it has none."""
        own = getattr(self._source, "content", None)
        return own(ids) if own is not None else digest_of([list(self.ids), dict(self.status)], _tensors(self._kept))

    def gather(self, rows: ArrayLike) -> Features:
        """Averages of `rows` (integers `[clip]`), in that order: one time step, masked where a modality is missing."""
        return self._kept.take(torch.from_numpy(as_indices(rows)))

    @cached_property
    def _kept(self) -> Features:
        return Features.cat(list(averages_of(self._source)))


def averages_of(source: FeatureSource) -> Iterator[Features]:
    """The averages over time of all clips of `source` in its order, a few hundred clips at a time.

    Raises:
        ValueError: An average is not finite; the message names the clip.
    """
    for start in range(0, len(source.ids), _CHUNK):
        part = source.gather(np.arange(start, min(start + _CHUNK, len(source.ids))))
        means = Features.averaged(*part.pooled())
        check_finite(source.ids[start : start + _CHUNK], means)
        yield replace(means, audio_mask=part.has_audio[:, None], visual_mask=part.has_visual[:, None])
