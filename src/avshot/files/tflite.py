"""The constants of a `.tflite` model: a FlatBuffer, read by its offsets, each of which is checked.

Format: FlatBuffers' binary layout, and TensorFlow Lite's schema version 3 (tensorflow/lite/schema/schema.fbs). Only
tensors with content are read; operators are not.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.files.pickles.arrays import Damaged
from avshot.files.pickles.reader import check_regular

_IDENTIFIER = b"TFL3"
_LARGEST, _MOST_TENSORS, _GROWTH = 256 << 20, 10_000, 8  # bytes of a file; what constants take, in bytes of the file
_KINDS = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1"}  # TensorType


@dataclass(frozen=True)
class Constant:
    """A tensor of a model that has content.

    Attributes:
        name: As the model has it.
        stored: The numbers as they are stored.
        scale: `[]` where they mean themselves, else `[1]` or one for each index along `axis`.
        zero: Which stored number means 0; as many as `scale`.
        axis: Along which scales run.
    """

    name: str
    stored: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    axis: int

    def numbers(self) -> np.ndarray:
        """What the stored numbers mean, float32: `(stored - zero) * scale`."""
        if not len(self.scale):
            return self.stored.astype(np.float32)
        shape = [1] * self.stored.ndim
        if len(self.scale) > 1:
            shape[self.axis] = len(self.scale)
        shifted = self.stored.astype(np.float64) - self.zero.reshape(shape)
        return (shifted * self.scale.reshape(shape)).astype(np.float32)


def read_tflite(path: str | os.PathLike[str]) -> dict[str, Constant]:
    """The constants of a model's first graph, by name.

    Raises:
        ValueError: The file is no such model, or damaged; the message names it.
        OSError: There is no such file, or it cannot be read.
    """
    check_regular(path)
    with open(path, "rb") as file:
        data = file.read(_LARGEST + 1)
    try:
        if len(data) > _LARGEST or data[4:8] != _IDENTIFIER:
            raise Damaged("it does not begin as one")
        return _constants(data)
    except (Damaged, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a readable .tflite model ({error}); fetch it again.") from None


def _constants(data: bytes) -> dict[str, Constant]:
    model = _Table(data, _at(data, "<I", 0))
    graphs, buffers = list(model.tables(2)), list(model.tables(4))
    if not graphs:
        raise Damaged("it holds no graph")
    left, found = _GROWTH * len(data), dict[str, Constant]()
    for tensor in graphs[0].tables(0):
        place = tensor.scalar(2, "<I")
        if place >= len(buffers):
            raise Damaged("a tensor without a place")
        content = buffers[place].vector(0, "u1")
        if not len(content):
            continue
        left -= len(content)
        name = bytes(tensor.vector(3, "u1")).decode()
        if left < 0 or name in found:
            raise Damaged("the same numbers over and over")
        found[name] = _constant(tensor, name, content)
    return found


def _constant(tensor: _Table, name: str, content: np.ndarray) -> Constant:
    shape = tuple(int(size) for size in tensor.vector(0, "<i4"))
    kind = _KINDS.get(tensor.scalar(1, "<b"))
    if kind is None or any(size < 0 for size in shape) or len(shape) > 8:
        raise Damaged("a tensor of a type or shape that is not read")
    if math.prod(shape) * np.dtype(kind).itemsize != len(content):
        raise Damaged("a tensor of another size than its content")
    scale, zero, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if (quantised := tensor.table(4)) is not None:
        scale, zero = quantised.vector(2, "<f4"), quantised.vector(3, "<i8")
        axis = quantised.scalar(6, "<i")
    zero = zero if len(zero) else np.zeros(len(scale), np.int64)
    fits = len(scale) <= 1 or (0 <= axis < len(shape) and shape[axis] == len(scale))
    if not fits or len(zero) != len(scale):
        raise Damaged("scales that fit no axis")
    return Constant(name, content.view(kind).reshape(shape), scale, zero, axis)


class _Table:
    """A table of a FlatBuffer: fields by number, any of which may be missing."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _at(data, "<i", at)
        self._size = _at(data, "<H", self._fields)

    def _field(self, number: int) -> int | None:
        slot = 4 + 2 * number
        if slot + 2 > self._size:
            return None
        return self._at + offset if (offset := _at(self._data, "<H", self._fields + slot)) else None

    def scalar(self, number: int, kind: str) -> int:
        """A number; 0 where it is missing."""
        return 0 if (at := self._field(number)) is None else int(_at(self._data, kind, at))

    def table(self, number: int) -> _Table | None:
        """A table; None where it is missing."""
        return None if (at := self._field(number)) is None else _Table(self._data, at + _at(self._data, "<I", at))

    def vector(self, number: int, kind: str) -> np.ndarray:
        """Numbers or the bytes of a text, read-only; none where it is missing."""
        if (at := self._field(number)) is None:
            return np.zeros(0, kind)
        start = at + _at(self._data, "<I", at)
        count = _at(self._data, "<I", start)
        if start + 4 + count * np.dtype(kind).itemsize > len(self._data):
            raise Damaged("it ends too early")
        return np.frombuffer(self._data, kind, count, start + 4)

    def tables(self, number: int) -> Iterator[_Table]:
        """The tables of a vector."""
        if (at := self._field(number)) is None:
            return
        start = at + _at(self._data, "<I", at)
        if (count := _at(self._data, "<I", start)) > _MOST_TENSORS:
            raise Damaged("more parts than a model has")
        for place in range(start + 4, start + 4 + 4 * count, 4):
            yield _Table(self._data, place + _at(self._data, "<I", place))


def _at(data: bytes, kind: str, at: int) -> Any:
    if at < 0:  # struct would count from the end
        raise Damaged("a place before its beginning")
    return struct.unpack_from(kind, data, at)[0]
