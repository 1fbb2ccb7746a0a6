"""The feature store: one folder of safetensors shards and an append-only manifest, on disk or on any fsspec location.

    <root>/store.json                       what made the features: spec, fingerprint, dims, dtype, format version
    <root>/shards/<worker>-<n>.safetensors  the data (see `avshot.features.store.shard`)
    <root>/manifest/<worker>.jsonl          one line per clip, written after its shard has its final name

A clip exists when its manifest line is complete; whatever a killed writer leaves behind besides that is never read.
Any number of writers (`avshot.features.store.writer`) work at once because each has its own files. Opening reads the
manifest only; the features of a clip are compared with the digest in its line when they are read first.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from avshot.errors import BadDataset
from avshot.features.store.manifest import Row, read_about, read_manifest, refuse_damage
from avshot.features.store.place import Place
from avshot.features.store.shard import Shard, compact, digest, flat_index, shard_file
from avshot.features.store.writer import StoreWriter
from avshot.types import MODALITIES, Features

__all__ = ["FeatureStore", "StoreWriter"]

_CHECKED = 256  # clips compared with their digests at a time


class FeatureStore:
    """A store opened for reading; sees what was complete at that moment. Safe in forked and spawned workers.

    Args:
        root: Folder or fsspec URL.
        open_shards: Shards kept mapped at once (least recently used go first).

    Attributes:
        ids: Clips that have features, sorted, so that the order does not depend on who wrote them.
        spec: What made the features.
        fingerprint: Of `spec`.
        dims: Width of audio and visual features; 0 for a modality that no clip has.
        status: Status of every clip, also of those without features.
        lines: The manifest line of every clip (not in copies that travelled to another process).
        version: Of the format; a store of version 1 knows neither spans, files nor digests of clips.
        waits: "disk" or "network": what gathering waits for.

    Raises:
        ValueError: No store there, a store of a newer format, or a damaged one: which file, and what to do.
    """

    def __init__(self, root: str, *, open_shards: int = 32) -> None:
        self.root = str(root)
        self._place = Place(root)
        self.waits = "disk" if self._place.local else "network"
        about = read_about(self._place)
        if about is None:
            raise BadDataset(f"{root} is not a feature store (no store.json); make one with avshot extract.")
        self.spec: dict[str, Any] = about["spec"]
        self.fingerprint: str = about["fingerprint"]
        self.dtype: str = about["dtype"]
        self.version: int = about["version"]
        self._open_shards, self._shards, self._process = open_shards, OrderedDict[int, Shard](), os.getpid()
        self.lines = refuse_damage(self._place, read_manifest(self._place, self.version))
        self.status = {id: row.status for id, row in self.lines.items()}
        self._sources = {id: row.source for id, row in self.lines.items() if row.shard is None}
        self._read_rows([self.lines[id] for id in sorted(self.lines) if self.lines[id].shard is not None])
        self.dims: tuple[int, int] = self._widths(about["dims"])

    def _read_rows(self, rows: Sequence[Row]) -> None:
        self.ids: list[str] = [row.id for row in rows]
        self._row_of = {id: i for i, id in enumerate(self.ids)}
        self._names = sorted({str(row.shard) for row in rows})
        number = {name: i for i, name in enumerate(self._names)}
        self._shard = np.array([number[str(row.shard)] for row in rows], dtype=np.int64)
        places = {m: np.array([getattr(row, m) for row in rows], dtype=np.int64).reshape(-1, 3) for m in MODALITIES}
        self._start = {m: places[m][:, 0].copy() for m in MODALITIES}
        self._length = {m: places[m][:, 1].copy() for m in MODALITIES}
        self._width = {m: places[m][:, 2].copy() for m in MODALITIES}
        # Lines of version 1 have no digest; the checksum of their whole shard stands in for it.
        self._digests = {
            m: [None if row.digests is None else row.digests[i] for row in rows] for i, m in enumerate(MODALITIES)
        }
        self._unread = {m: self._length[m] > 0 for m in MODALITIES}  # not yet compared with their digests
        self._verified: set[int] = set()  # shards compared with their checksums

    def _widths(self, stated: Sequence[int | None]) -> tuple[int, int]:
        found = []
        for modality, known in zip(MODALITIES, stated, strict=True):
            has = self._length[modality] > 0
            widths = np.unique(self._width[modality][has])
            wrong = widths[widths != (known if known is not None else widths.max(initial=0))]
            if len(wrong):
                raise BadDataset(
                    f"Store {self.root} has {modality} features of width {int(wrong[0])} and of width "
                    f"{int(widths.max()) if known is None else known}; two writers disagreed on the width: extract "
                    "into a new folder."
                )
            found.append(int(widths.max(initial=0)) if known is None else known)
        return found[0], found[1]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Row numbers of clips, for `gather`: `[clip]` int64.

        Raises:
            ValueError: A clip without features; the message says whether it failed or was never extracted.
        """
        wanted = list(ids)
        for id in wanted:
            if id not in self._row_of:
                why = f"failed ({self.status[id]})" if id in self.status else "was never extracted"
                raise BadDataset(f"Clip {id!r} has no features in {self.root}: it {why}; leave it out or extract it.")
        return np.array([self._row_of[id] for id in wanted], dtype=np.int64)

    def gather(self, rows: np.ndarray | Sequence[int]) -> Features:
        """A padded batch of the clips in these rows, in this order; a row may repeat.

        Reads only the steps of these clips. The loop goes over the shards they lie in, not over clips or frames; where
        a clip is read for the first time, its features are compared with the digest in its manifest line.

        Args:
            rows: `[clip]` integers as `rows` returns them.

        Returns:
            Float32 features on the CPU; padding is zero and its mask False.

        Raises:
            ValueError: A row outside the store, or a damaged shard, or features that are not what was written.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (int(wanted.min()) < 0 or int(wanted.max()) >= len(self)):
            raise BadDataset(f"Rows {wanted.min()}..{wanted.max()} asked of a store with {len(self)} clips.")
        audio, visual = (
            self._gather(modality, wanted, dim) for modality, dim in zip(MODALITIES, self.dims, strict=True)
        )
        return Features(audio[0], visual[0], audio[1], visual[1], audio[2], visual[2])

    def content(self, ids: Iterable[str] | None = None) -> str:
        """Sixteen hexadecimal digits that change with any value, mask, time or status of the clips; reads no features.

        It does not depend on the order in which clips were added, by whom, or to which shard; but for clips of a store
        of version 1, whose lines hold no digest: the checksum of their shard and their place in it count there.

        Args:
            ids: Clips that count; None = all. Those that the store does not know count as that.

        Raises:
            ValueError: A shard of version 1 is damaged.
        """
        found = hashlib.sha256()
        for id in sorted(self.status if ids is None else set(ids)):
            row = self._row_of.get(id)
            digests: list[Any] = [] if row is None else [self._digests[m][row] for m in MODALITIES]
            if row is not None and None in digests:
                shard = self._open(int(self._shard[row]))
                places = [[int(part[m][row]) for part in (self._start, self._length)] for m in MODALITIES]
                digests = [shard.metadata.get("crc32"), *places]
            found.update(f"{id!r} {self.status.get(id)!r} {digests}\n".encode())
        return found.hexdigest()[:16]

    def without(self, reasons: Mapping[str, str]) -> FeatureStore:
        """The same store, in which some clips have no features.

        Args:
            reasons: `{clip id: why}`; their status becomes "error: " and that.
        """
        if not reasons:
            return self
        other = copy.copy(self)
        other._shards = OrderedDict()
        other.status = self.status | {id: f"error: {why}" for id, why in reasons.items()}
        other._sources = self._sources | {id: self.lines[id].source for id in reasons if id in self.lines}
        other._read_rows([self.lines[id] for id in self.ids if id not in reasons])
        return other

    def failures(self) -> list[tuple[str, str, str]]:
        """Clips without features: `(id, source, status)`, sorted by id."""
        return [(id, self._sources[id], self.status[id]) for id in sorted(self._sources)]

    def damaged(self, *, deep: bool = False) -> dict[str, list[str]]:
        """Shards that cannot be read: `{message: ids of the clips in it}`; reads headers, or every byte if `deep`."""
        self._reconnect()
        found: dict[str, list[str]] = {}
        for number, name in enumerate(self._names):
            try:
                shard = Shard(self._place, shard_file(name))
                if deep:
                    shard.verify()
            except ValueError as error:
                found[str(error)] = [self.ids[i] for i in np.flatnonzero(self._shard == number)]
        return found

    def broken(self, ids: Iterable[str], *, deep: bool = True) -> dict[str, str]:
        """Clips whose features are not what was written, or cannot be read: `{id: message}`.

        Args:
            ids: Clips to look at; those without features are passed over.
            deep: Compare every byte of their features with their digests; otherwise headers of shards alone are read.
        """
        rows = np.array(sorted(self._row_of[id] for id in set(ids) if id in self._row_of), dtype=np.int64)
        found: dict[str, str] = {}
        for number in np.unique(self._shard[rows]):
            here = rows[self._shard[rows] == number]
            try:
                shard = self._open(int(number))
                for modality, dim in zip(MODALITIES, self.dims, strict=True):
                    shard.kind(modality, dim) if (self._length[modality][here] > 0).any() else None
                    for start in range(0, len(here) if deep else 0, _CHECKED):
                        part = here[start : start + _CHECKED]
                        _, _, bad = self._read(modality, int(number), part[self._length[modality][part] > 0])
                        found |= {self.ids[i]: str(self._mismatch(int(number), modality, i)) for i in bad}
            except ValueError as error:
                found |= {self.ids[i]: str(error) for i in here.tolist()}
        return found

    def _gather(self, modality: str, rows: np.ndarray, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        length, shard = self._length[modality][rows], self._shard[rows]
        longest = max(int(length.max(initial=0)), 1)
        sources = [int(number) for number in np.unique(shard[length > 0])]
        kinds = [self._open(number).kind(modality, dim) for number in sources]
        value = np.zeros((len(rows) * longest, dim), np.result_type(*kinds) if kinds else np.float32)
        stamp = np.zeros(len(rows) * longest, np.float32)
        for number in sources:
            here = np.flatnonzero((shard == number) & (length > 0))
            order = np.argsort(self._start[modality][rows[here]], kind="stable")
            here = here[order]  # in the order of the file, for disks that like it
            target = flat_index(here * longest, length[here])
            value[target], stamp[target], bad = self._read(modality, number, rows[here])
            if bad:
                raise self._mismatch(number, modality, bad[0])
        shape, mask = (len(rows), longest), np.arange(longest) < length[:, None]
        padded = torch.from_numpy(value).float().reshape(*shape, dim)  # torch widens float16 much faster than numpy
        return padded, torch.from_numpy(mask), torch.from_numpy(stamp).reshape(shape)

    def _read(self, modality: str, number: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Values and times of `rows` of one shard, one after the other; and the rows that are not as written."""
        start, length, source = self._start[modality][rows], self._length[modality][rows], self._open(number)
        value = source.read(modality, start, length)
        stamp = source.read(f"{modality}_time", start, length)
        bad: list[int] = []
        ends = np.cumsum(length)
        for k in np.flatnonzero(self._unread[modality][rows]):
            row, part = int(rows[k]), slice(int(ends[k] - length[k]), int(ends[k]))
            if self._as_written(modality, number, row, value[part], stamp[part]):
                self._unread[modality][row] = False
            elif row not in bad:
                bad.append(row)
        return value, stamp, bad

    def _as_written(self, modality: str, number: int, row: int, value: np.ndarray, stamp: np.ndarray) -> bool:
        wanted = self._digests[modality][row]
        if wanted is not None:
            return digest(compact(value, self.dtype), stamp) == wanted
        if number not in self._verified and self._place.local:  # elsewhere the whole shard would have to be fetched
            self._open(number).verify()
            self._verified.add(number)
        return bool(np.isfinite(value).all() and np.isfinite(stamp).all())

    def _mismatch(self, number: int, modality: str, row: int) -> ValueError:
        return self._open(number).damage(f"is damaged (the {modality} features of clip {self.ids[row]!r} were changed)")

    def _open(self, number: int) -> Shard:
        self._reconnect()
        if number not in self._shards:
            self._shards[number] = Shard(self._place, shard_file(self._names[number]))
            if len(self._shards) > self._open_shards:
                self._shards.popitem(last=False)
        self._shards.move_to_end(number)
        return self._shards[number]

    def _reconnect(self) -> None:
        """In another process than before: a forked worker must not share connections with its parent."""
        if self._process != os.getpid():
            self._place, self._shards, self._process = Place(self.root), OrderedDict(), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": OrderedDict(), "_place": None, "_process": -1, "lines": {}}
