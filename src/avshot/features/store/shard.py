"""One shard of a feature store: a safetensors file.

A shard is a plain safetensors file (any safetensors reader opens it) with six tensors: for each modality one flat
`[sum_time, dim]` block, the offsets of its clips `[clip + 1]` and the time of every step `[sum_time]` in seconds. The
header is written and parsed here so that a shard streams to disk without a second copy in memory, and so that a batch
is gathered from a memory map (local) or by range requests (remote) without reading the rest.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from avshot.errors import BadDataset
from avshot.features.store.place import Place
from avshot.types import MODALITIES

_TYPES: dict[str, np.dtype[Any]] = {"I64": np.dtype("<i8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_LARGEST_HEADER = 100 << 20  # the limit of the safetensors library
HALF_MAX = 65504.0  # largest finite float16
_FORMAT = "avshot-features-2"
_SEAL = "header"  # where the header keeps the digest of the rest of it


def encode(
    ids: Sequence[str],
    values: Mapping[str, Sequence[np.ndarray]],
    times: Mapping[str, Sequence[np.ndarray]],
    *,
    dims: Mapping[str, int],
    dtype: str,
) -> Iterator[Any]:
    """The bytes of a shard, in pieces.

    Args:
        ids: Clip ids, for readers that have no manifest.
        values: Per modality one `[time, dim]` array per clip (time 0 = missing).
        times: Per modality one float32 `[time]` array of seconds per clip.
        dims: Width per modality.
        dtype: "float32" or "float16". A modality whose largest absolute value exceeds float16 (65504) is written as
            float32 in this shard: nothing is clipped and nothing becomes infinite.

    Values are as `compact` makes them, so that what is read back does not depend on the other clips of the shard.
    """
    blocks: list[tuple[str, np.dtype[Any], tuple[int, ...], list[np.ndarray]]] = []
    for modality in MODALITIES:
        lengths = [len(value) for value in values[modality]]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
        total, kind = int(offsets[-1]), _kind(values[modality], dtype)
        parts = [np.ascontiguousarray(value, dtype=kind) for value in values[modality]]
        stamps = [np.ascontiguousarray(time, dtype="<f4") for time in times[modality]]
        blocks.append((f"{modality}_offsets", offsets.dtype, offsets.shape, [offsets]))
        blocks.append((f"{modality}_time", _TYPES["F32"], (total,), stamps))
        blocks.append((modality, kind, (total, dims[modality]), parts))
    blocks.sort(key=lambda block: -block[1].itemsize)  # wide types first keeps every block aligned
    header: dict[str, Any] = {}
    begin = checksum = 0
    for name, kind, shape, parts in blocks:
        end = begin + math.prod(shape) * kind.itemsize
        header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
        for part in parts:
            checksum = zlib.crc32(_bytes(part), checksum)
    about = {"format": _FORMAT, "ids": json.dumps(list(ids)), "crc32": str(checksum)}
    header["__metadata__"] = about
    header["__metadata__"] = about | {_SEAL: _header_digest(header)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for *_, parts in blocks:
        yield from map(_bytes, parts)


class Shard:
    """A shard opened for reading: its header is checked, its data is not read.

    Raises:
        ValueError: The file is missing, truncated or not a shard; the message names it and says what to do.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place, self.name = place, name
        try:
            self._size = place.size(name)
            self.tensors, self.metadata = self._parse()
            self._map = np.memmap(place.path(name), mode="r") if place.local else None
        except FileNotFoundError:
            raise self.damage("is missing") from None
        except OSError as error:
            raise self.damage(f"cannot be read ({error.strerror or error})") from None

    def kind(self, modality: str, dim: int) -> np.dtype[Any]:
        """Type of the values of a modality. Raises ValueError when they are not `dim` wide, unlike other shards."""
        kind, (_, width), _ = self.tensors[modality]
        if width != dim:
            raise BadDataset(
                f"{self.name} of {self._place.root} has {modality} features of width {width}, not {dim}; two writers "
                "disagreed on the width: extract into a new folder."
            )
        return kind

    def read(self, tensor: str, start: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Rows `start[i] : start[i] + length[i]` of a tensor for every i, one after the other: `[sum(length), ...]`."""
        kind, shape, begin = self.tensors[tensor]
        if len(start) and (int((start + length).max()) > shape[0] or int(start.min()) < 0):
            raise self.damage(f"holds {shape[0]} steps of {tensor}, fewer than its manifest says")
        if self._map is not None:
            end = begin + math.prod(shape) * kind.itemsize
            block = np.asarray(self._map)[begin:end].view(kind).reshape(shape)
            return block.take(flat_index(start, length), axis=0)
        width = math.prod(shape[1:]) * kind.itemsize
        first = begin + start * width
        parts = self._place.ranges(self.name, first.tolist(), (first + length * width).tolist())
        found = np.frombuffer(b"".join(parts), kind)
        if found.size != int(length.sum()) * math.prod(shape[1:]):
            raise self.damage(f"gives {found.nbytes} bytes of {tensor}, fewer than asked for")
        return found.reshape(-1, *shape[1:])

    def verify(self) -> None:
        """Read everything and compare it with the stored checksum. Raises ValueError when a byte has changed."""
        data = memoryview(self._place.read(self.name)) if self._map is None else np.asarray(self._map).data
        (length,) = struct.unpack("<Q", data[:8])
        if str(zlib.crc32(data[8 + length :])) != self.metadata.get("crc32"):
            raise self.damage("is damaged (its checksum is wrong)")

    def damage(self, what: str) -> BadDataset:
        """The error to raise for this shard; `what` follows its name."""
        return BadDataset(
            f"Feature shard {self._place.path(self.name)} {what}; run the same extraction again, it redoes only what "
            "is damaged."
        )

    def _parse(self) -> tuple[dict[str, tuple[np.dtype[Any], tuple[int, ...], int]], dict[str, str]]:
        if self._size < 8:
            raise self.damage(f"is truncated ({self._size} bytes)")
        (length,) = struct.unpack("<Q", self._place.ranges(self.name, [0], [8])[0])
        if length > _LARGEST_HEADER:
            raise self.damage("is damaged (not a safetensors file)")
        if 8 + length > self._size:
            raise self.damage(f"is truncated ({self._size} bytes, its header alone has {8 + length})")
        try:
            header = json.loads(self._place.ranges(self.name, [8], [8 + length])[0])
            metadata = _metadata(header)
            tensors, end = _tensors(header, 8 + length)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self.damage(f"is damaged (its header cannot be read: {error})") from None
        if 8 + length + end != self._size:
            raise self.damage(f"is truncated ({self._size} of {8 + length + end} bytes)")
        return tensors, metadata


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    """Take the metadata out of a header and check the digest in them, which shards of version 1 do not have."""
    about = header.get("__metadata__", {})
    if about.get("format") == _FORMAT:
        rest = {key: value for key, value in about.items() if key != _SEAL}
        if about.get(_SEAL) != _header_digest({**header, "__metadata__": rest}):
            raise BadDataset("it was changed after it was written")
    header.pop("__metadata__", None)
    return {str(key): str(value) for key, value in about.items()}


def _tensors(header: dict[str, Any], base: int) -> tuple[dict[str, tuple[np.dtype[Any], tuple[int, ...], int]], int]:
    """`{name: (type, shape, where its bytes begin in the file)}`, and where the last of them end after the header."""
    found, last = {}, 0
    for modality in MODALITIES:
        for part, allowed, axes in (("", ("F32", "F16"), 2), ("_time", ("F32",), 1), ("_offsets", ("I64",), 1)):
            entry = header[name := f"{modality}{part}"]
            kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            if kind not in allowed or len(shape) != axes or not all(type(n) is int and n >= 0 for n in (*shape, begin)):
                raise BadDataset(f"{name} is {kind} of shape {shape} at {begin}")
            if end - begin != math.prod(shape) * _TYPES[kind].itemsize:
                raise BadDataset(f"{name} has shape {shape} in {end - begin} bytes")
            found[name], last = (_TYPES[kind], shape, base + begin), max(last, end)
    return found, last


def _header_digest(header: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:32]


def compact(value: np.ndarray, dtype: str) -> np.ndarray:
    """Values `[time, dim]` as a store of `dtype` keeps them: float16 where that is it and none exceeds its range."""
    if value.dtype == _TYPES["F16"]:  # as it was read
        return np.ascontiguousarray(value)
    half = dtype == "float16" and float(np.abs(value).max(initial=0.0)) <= HALF_MAX
    return np.ascontiguousarray(value, _TYPES["F16" if half else "F32"])


def digest(value: np.ndarray, stamp: np.ndarray) -> str:
    """32 hexadecimal digits over one modality of a clip: every bit of its values `[time, dim]` and seconds `[time]`.

    Args:
        value: As `compact` makes it.
        stamp: float32.
    """
    found = hashlib.sha256(f"{value.dtype.str} {value.shape[0]} {value.shape[1] if len(value) else 0}".encode())
    found.update(_bytes(value))
    found.update(_bytes(stamp))
    return found.hexdigest()[:32]


def shard_file(name: str) -> str:
    """Where the shard of a manifest line lies, below the root of its store."""
    return f"shards/{name}.safetensors"


def flat_index(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Indices `start[0], start[0] + 1, ..., start[1], ...` of concatenated ranges: `[sum(length)]`, no Python loop."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(int(length.sum()))


def _kind(values: Sequence[np.ndarray], dtype: str) -> np.dtype[Any]:
    wide = dtype == "float32" or any(value.dtype.itemsize > 2 for value in values if len(value))
    return _TYPES["F32" if wide else "F16"]


def _bytes(part: np.ndarray) -> memoryview:
    return part.reshape(-1).view(np.uint8).data


def checked(id: str, modality: str, value: Any, stamp: Any, *, dim: int | None) -> tuple[np.ndarray, np.ndarray]:
    """One modality of a clip as float32 `[time, dim]` and seconds `[time]`; time 0 when it is missing.

    Raises:
        ValueError: Wrong shapes, NaN or infinity, naming the clip.
    """
    if value is None or len(value) == 0:
        return np.zeros((0, dim or 0), np.float32), np.zeros(0, np.float32)
    array = _array(value)
    if array.ndim != 2 or (dim is not None and array.shape[1] != dim):
        raise BadDataset(f"Clip {id!r}: {modality} has shape {array.shape}; expected [time, {dim or 'dim'}].")
    seconds = np.zeros((0,), np.float32) if stamp is None else _array(stamp)
    if seconds.shape != array.shape[:1]:
        raise BadDataset(f"Clip {id!r}: {modality}_time has shape {seconds.shape}; expected [{len(array)}] seconds.")
    if not np.isfinite(array).all() or not np.isfinite(seconds).all():
        raise BadDataset(f"Clip {id!r}: {modality} features or times hold NaN or infinity; mark the clip as failed.")
    return array, seconds


def _array(value: Any) -> np.ndarray:
    raw = value.detach().cpu().float().numpy() if isinstance(value, torch.Tensor) else value
    return np.array(raw, dtype=np.float32, order="C")
