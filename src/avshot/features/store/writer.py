"""Adding clips to a feature store."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from avshot.errors import BadDataset
from avshot.features.store.manifest import Row, append_rows, join_store
from avshot.features.store.origin import Origin
from avshot.features.store.place import Place
from avshot.features.store.shard import checked, compact, digest, encode, shard_file
from avshot.types import MODALITIES


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
        after: Lines are dated later than this (seconds since 1970), so that they count whatever the clocks say.

    Raises:
        ValueError: The store holds features of another specification (the message names the keys) or type, or is
            damaged.
        OSError: It cannot be written.

    Example:
        >>> import numpy as np
        >>> with StoreWriter("memory://doctest", spec={"audio": "logmel"}) as writer:
        ...     writer.add("a", audio=np.ones((3, 4)), audio_time=np.arange(3))
        >>> from avshot.features.store.store import FeatureStore
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
        after: float = 0.0,
    ) -> None:
        if not re.fullmatch(r"[\w.-]+", worker):
            raise BadDataset(f"Worker name is {worker!r}; expected letters, digits, '.', '_' and '-'.")
        if dtype not in ("float32", "float16"):
            raise BadDataset(f'dtype is {dtype!r}; expected "float32" or "float16".')
        self._place, self._worker, self._dtype, self._shard_bytes = Place(root), worker, dtype, shard_bytes
        self._dims = dict(zip(MODALITIES, join_store(self._place, spec, dtype, dims), strict=True))
        self._next, self._after = 0, after
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
        origin: Origin | None = None,
    ) -> None:
        """Add one clip. Without any data only its status is kept, so that it is not tried again.

        Args:
            id: Name of the clip. Added again, the last one counts.
            audio: `[time, dim]` tensor or array, or None (or time 0) when the clip has no sound.
            audio_time: Seconds `[time]`, needed with audio.
            visual: `[time, dim]` tensor or array, or None (or time 0) when the clip has no picture.
            visual_time: Seconds `[time]`, needed with visual.
            status: "ok", "no_audio", "no_visual", "truncated" or "error: why".
            source: Where the clip came from; shown in the table of failures.
            origin: The span and the file that were read. Without it, nothing can notice that either is another one
                today.

        Raises:
            ValueError: Empty id, wrong shapes, NaN or infinity, naming the clip; the store stays as it was.
            OSError: The store cannot be written.
        """
        for name, text in (("Clip id", id), ("status", status)):
            if not isinstance(text, str) or not text:
                raise BadDataset(f"{name} is {text!r}; expected a non-empty string.")
        given = {"audio": (audio, audio_time), "visual": (visual, visual_time)}
        arrays = {m: checked(id, m, *given[m], dim=self._dims[m]) for m in MODALITIES}
        places, digests = [], []
        for modality, (full, stamp) in arrays.items():
            value = compact(full, self._dtype)
            if len(value):
                self._dims[modality] = value.shape[1]
            places.append((self._steps[modality], len(value), value.shape[1]))
            digests.append(digest(value, stamp))
            self._steps[modality] += len(value)
            self._values[modality].append(value)
            self._times[modality].append(stamp)
            self._bytes += value.nbytes + stamp.nbytes
        shard = "" if places[0][1] + places[1][1] else None  # its name is known when it is written
        self._rows.append(
            Row(id, status, str(source), shard, places[0], places[1], (digests[0], digests[1]), origin, 0.0)
        )
        if self._bytes >= self._shard_bytes:
            self.flush()

    def confirm(self, rows: Sequence[Row]) -> None:
        """Write lines for features that are in the store: the same content, now in a file of another time or name."""
        if rows:
            append_rows(self._place, self._worker, [replace(row, time=self._now()) for row in rows])

    @property
    def pending(self) -> int:
        """Clips added but not yet safe in the store."""
        return len(self._rows)

    def flush(self) -> None:
        """Make the pending clips permanent: the shard first, its manifest lines after it has its final name."""
        if not self._rows:
            return
        with ExitStack() as held:
            name = ""
            if any(self._steps.values()):
                dims = {m: self._dims[m] or 0 for m in MODALITIES}
                chunks = encode([row.id for row in self._rows], self._values, self._times, dims=dims, dtype=self._dtype)
                free = (shard_file(self._shard_name(n)) for n in itertools.count(self._next))
                file = held.enter_context(self._place.publish_new(free, chunks))
                name = file.removeprefix("shards/").removesuffix(".safetensors")
                self._next = int(name.rpartition("-")[2]) + 1
            now = self._now()
            rows = [replace(row, shard=None if row.shard is None else name, time=now) for row in self._rows]
            append_rows(self._place, self._worker, rows)
        self._clear()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _shard_name(self, number: int) -> str:
        return f"{self._worker}-{number:05d}"

    def _now(self) -> float:
        return max(time.time(), math.nextafter(self._after, math.inf))

    def _clear(self) -> None:
        self._rows: list[Row] = []
        self._values: dict[str, list[np.ndarray]] = {m: [] for m in MODALITIES}
        self._times: dict[str, list[np.ndarray]] = {m: [] for m in MODALITIES}
        self._steps = dict.fromkeys(MODALITIES, 0)
        self._bytes = 0
