"""The feature store: one folder of safetensors shards and an append-only manifest, on disk or on any fsspec location.

    <root>/store.json                       what made the features: spec, fingerprint, dims, dtype, format version
    <root>/shards/<worker>-<n>.safetensors  the data (see `avshot.features.shard`)
    <root>/manifest/<worker>.jsonl          one line per clip, written after its shard has its final name

A clip exists when its manifest line is complete; whatever a killed writer leaves behind besides that is never read.
Any number of writers work at once without locks because each has its own files. Opening reads the manifest only.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from avshot.features.manifest import join_store, newest_rows, read_about
from avshot.features.place import Place
from avshot.features.shard import Shard, checked, encode, flat_index
from avshot.types import MODALITIES, Features


class StoreWriter:
    """Adds clips to a store; several writers may fill one store at once, each under its own `worker` name.

    Clips gather in memory and become a shard at `shard_bytes`, at `flush()` and on leaving the `with` block; a clip
    that was added but not flushed is lost when the process is killed, and nothing else is.

    Args:
        root: Folder or fsspec URL; made when it does not exist.
        spec: What makes the features, as plain JSON: every setting that changes them.
        worker: Name of this writer: letters, digits, `.`, `_`, `-`.
        dtype: "float32" or "float16" on disk; a shard whose values exceed float16 is written as float32.
        shard_bytes: Size at which a shard is written.
        dims: Width of audio and visual features, where known beforehand; otherwise the first clip fixes each.

    Raises:
        ValueError: The store holds features of another specification (the message names the keys) or type.

    Example:
        >>> import numpy as np
        >>> with StoreWriter("memory://doctest", spec={"audio": "logmel"}) as writer:
        ...     writer.add("a", audio=np.ones((3, 4)), audio_time=np.arange(3))
        >>> store = FeatureStore("memory://doctest")
        >>> store.gather(store.rows(["a"])).audio.shape
        torch.Size([1, 3, 4])
    """

    def __init__(
        self,
        root: str,
        *,
        spec: Mapping[str, Any],
        worker: str = "0",
        dtype: str = "float32",
        shard_bytes: int = 256 << 20,
        dims: tuple[int | None, int | None] = (None, None),
    ) -> None:
        if not re.fullmatch(r"[\w.-]+", worker):
            raise ValueError(f"Worker name is {worker!r}; expected letters, digits, '.', '_' and '-'.")
        if dtype not in ("float32", "float16"):
            raise ValueError(f'dtype is {dtype!r}; expected "float32" or "float16".')
        self._place, self._worker, self._dtype, self._shard_bytes = Place(root), worker, dtype, shard_bytes
        self._dims = dict(zip(MODALITIES, join_store(self._place, spec, dtype, dims), strict=True))
        self._next = 0
        self._clear()

    def add(
        self,
        id: str,
        *,
        audio: Any = None,
        audio_time: Any = None,
        visual: Any = None,
        visual_time: Any = None,
        status: str = "ok",
        source: str = "",
    ) -> None:
        """Add one clip. Without any data only its status is kept, so that it is not tried again.

        Args:
            id: Name of the clip. Added again, the last one with data counts.
            audio: `[time, dim]` tensor or array, or None (or time 0) when the clip has no sound.
            audio_time: Seconds `[time]`, needed with audio.
            visual: `[time, dim]` tensor or array, or None (or time 0) when the clip has no picture.
            visual_time: Seconds `[time]`, needed with visual.
            status: "ok", "no_audio", "no_visual", "silent", "black", "truncated" or "error: why".
            source: Where the clip came from; shown in the table of failures.

        Raises:
            ValueError: Empty id, wrong shapes, NaN or infinity, naming the clip; the store stays as it was.
        """
        if not isinstance(id, str) or not id:
            raise ValueError(f"Clip id is {id!r}; expected a non-empty string.")
        given = {"audio": (audio, audio_time), "visual": (visual, visual_time)}
        arrays = {m: checked(id, m, *given[m], dim=self._dims[m]) for m in MODALITIES}
        row: dict[str, Any] = {"id": id, "status": status, "source": source}
        for modality, (value, stamp) in arrays.items():
            if len(value):
                self._dims[modality] = value.shape[1]
            row[modality] = [self._steps[modality], *value.shape]  # first step, steps, width
            self._steps[modality] += len(value)
            self._values[modality].append(value)
            self._times[modality].append(stamp)
            self._bytes += value.nbytes + stamp.nbytes
        self._rows.append(row)
        if self._bytes >= self._shard_bytes:
            self.flush()

    @property
    def pending(self) -> int:
        """Clips added but not yet safe in the store."""
        return len(self._rows)

    def flush(self) -> None:
        """Make the pending clips permanent: the shard first, its manifest lines after it has its final name."""
        if not self._rows:
            return
        shard = self._write_shard() if any(self._steps.values()) else None
        now = time.time()
        for row in self._rows:
            row.update(shard=shard if row["audio"][1] + row["visual"][1] else None, time=now)
        lines = "".join(json.dumps(row) + "\n" for row in self._rows)
        self._place.append(f"manifest/{self._worker}.jsonl", lines.encode())
        self._clear()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _write_shard(self) -> str:
        while not self._place.claim(_shard_file(name := f"{self._worker}-{self._next:05d}")):
            self._next += 1
        ids, dims = [row["id"] for row in self._rows], {m: self._dims[m] or 0 for m in MODALITIES}
        chunks = encode(ids, self._values, self._times, dims=dims, dtype=self._dtype)
        self._place.publish(_shard_file(name), chunks)
        self._next += 1
        return name

    def _clear(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._values: dict[str, list[np.ndarray]] = {m: [] for m in MODALITIES}
        self._times: dict[str, list[np.ndarray]] = {m: [] for m in MODALITIES}
        self._steps = dict.fromkeys(MODALITIES, 0)
        self._bytes = 0


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
        waits: "disk" or "network": what gathering waits for.

    Raises:
        ValueError: No store there, or a store of a newer format.
    """

    def __init__(self, root: str, *, open_shards: int = 32) -> None:
        self.root = str(root)
        self._place = Place(root)
        self.waits = "disk" if self._place.local else "network"
        about = read_about(self._place)
        if about is None:
            raise ValueError(f"{root} is not a feature store (no store.json); make one with avshot extract.")
        self.spec: dict[str, Any] = about["spec"]
        self.fingerprint: str = about["fingerprint"]
        self.dtype: str = about["dtype"]
        self._open_shards, self._shards, self._process = open_shards, OrderedDict[int, Shard](), os.getpid()
        newest = newest_rows(self._place)
        self.status = {id: str(row["status"]) for id, row in newest.items()}
        self._sources = {id: str(row["source"]) for id, row in newest.items() if row["shard"] is None}
        kept = [newest[id] for id in sorted(newest) if newest[id]["shard"] is not None]
        self.ids: list[str] = [row["id"] for row in kept]
        self._row_of = {id: i for i, id in enumerate(self.ids)}
        self._names = sorted({row["shard"] for row in kept})
        number = {name: i for i, name in enumerate(self._names)}
        self._shard = np.array([number[row["shard"]] for row in kept], dtype=np.int64)
        spans = {m: np.array([row[m] for row in kept], dtype=np.int64).reshape(-1, 3) for m in MODALITIES}
        self._start = {m: spans[m][:, 0].copy() for m in MODALITIES}
        self._length = {m: spans[m][:, 1].copy() for m in MODALITIES}
        widths = [int(spans[m][:, 2].max(initial=0)) for m in MODALITIES]
        known = about["dims"]
        self.dims: tuple[int, int] = (
            widths[0] if known[0] is None else known[0],
            widths[1] if known[1] is None else known[1],
        )

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
                raise ValueError(f"Clip {id!r} has no features in {self.root}: it {why}; leave it out or extract it.")
        return np.array([self._row_of[id] for id in wanted], dtype=np.int64)

    def gather(self, rows: np.ndarray | Sequence[int]) -> Features:
        """A padded batch of the clips in these rows, in this order; a row may repeat.

        Reads only the steps of these clips. The loop goes over the shards they lie in, not over clips or frames.

        Args:
            rows: `[clip]` integers as `rows` returns them.

        Returns:
            Float32 features on the CPU; padding is zero and its mask False.

        Raises:
            ValueError: A row outside the store, or a damaged shard.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (int(wanted.min()) < 0 or int(wanted.max()) >= len(self)):
            raise ValueError(f"Rows {wanted.min()}..{wanted.max()} asked of a store with {len(self)} clips.")
        audio, visual = (
            self._gather(modality, wanted, dim) for modality, dim in zip(MODALITIES, self.dims, strict=True)
        )
        return Features(audio[0], visual[0], audio[1], visual[1], audio[2], visual[2])

    def failures(self) -> list[tuple[str, str, str]]:
        """Clips without features: `(id, source, status)`, sorted by id."""
        return [(id, self._sources[id], self.status[id]) for id in sorted(self._sources)]

    def damaged(self, *, deep: bool = False) -> dict[str, list[str]]:
        """Shards that cannot be read: `{message: ids of the clips in it}`; reads headers, or every byte if `deep`."""
        self._reconnect()
        found: dict[str, list[str]] = {}
        for number, name in enumerate(self._names):
            try:
                shard = Shard(self._place, _shard_file(name))
                if deep:
                    shard.verify()
            except ValueError as error:
                found[str(error)] = [self.ids[i] for i in np.flatnonzero(self._shard == number)]
        return found

    def _gather(self, modality: str, rows: np.ndarray, dim: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        start, length, shard = self._start[modality][rows], self._length[modality][rows], self._shard[rows]
        longest = max(int(length.max(initial=0)), 1)
        sources = {int(number): self._open(int(number)) for number in np.unique(shard[length > 0])}
        kinds = [source.kind(modality, dim) for source in sources.values()]
        value = np.zeros((len(rows) * longest, dim), np.result_type(*kinds) if kinds else np.float32)
        stamp = np.zeros(len(rows) * longest, np.float32)
        for number, source in sources.items():
            here = np.flatnonzero((shard == number) & (length > 0))
            here = here[np.argsort(start[here], kind="stable")]  # in the order of the file, for disks that like it
            target = flat_index(here * longest, length[here])
            value[target] = source.read(modality, start[here], length[here])
            stamp[target] = source.read(f"{modality}_time", start[here], length[here])
        shape, mask = (len(rows), longest), np.arange(longest) < length[:, None]
        padded = torch.from_numpy(value).float().reshape(*shape, dim)  # torch widens float16 much faster than numpy
        return padded, torch.from_numpy(mask), torch.from_numpy(stamp).reshape(shape)

    def _open(self, number: int) -> Shard:
        self._reconnect()
        if number not in self._shards:
            self._shards[number] = Shard(self._place, _shard_file(self._names[number]))
            if len(self._shards) > self._open_shards:
                self._shards.popitem(last=False)
        self._shards.move_to_end(number)
        return self._shards[number]

    def _reconnect(self) -> None:
        """In another process than before: a forked worker must not share connections with its parent."""
        if self._process != os.getpid():
            self._place, self._shards, self._process = Place(self.root), OrderedDict(), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": OrderedDict(), "_place": None, "_process": -1}


def _shard_file(name: str) -> str:
    return f"shards/{name}.safetensors"
