"""Tensors that `torch.save` wrote, as numpy arrays: the numbers lie beside or behind the pickle, which names them.

The pickle says of a tensor which numbers it takes, from where and with which steps. All of that is checked here, and no
class of torch is used. Numbers that numpy does not have (bfloat16) are refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused, array_of, checked_shape, plain_dtype, shown
from avshot.files.pickles.bounds import Bounds, check_key
from avshot.files.pickles.names import Name

KINDS = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
_NAMES = {
    ("torch._utils", "_rebuild_tensor_v2"): Name("tensor"),
    ("torch._utils", "_rebuild_parameter"): Name("parameter"),
    ("collections", "OrderedDict"): Name("ordered"),
    **{("torch", kind): Name(kind) for kind in KINDS},
}


class Storage:
    """Numbers of one or several tensors, `[number]`; never part of a result."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers


class Tensors:
    """What the names of torch in a pickle mean, and the numbers that it asks for, which lie outside it.

    Args:
        size: Bytes of the whole file.

    Attributes:
        calls: What a call of each name gives.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._read: dict[str, Storage] = {}
        self.calls: dict[str, Callable[[tuple[Any, ...], Bounds], Any]] = {
            "tensor": _tensor,
            "parameter": _parameter,
            "ordered": _ordered,
        }

    def named(self, module: Any, name: Any) -> Name | None:
        """The entry for a name of torch; None for any other."""
        return _NAMES.get((module, name)) if type(module) is str and type(name) is str else None

    def storage(self, key: Any, bounds: Bounds) -> Storage:
        """The numbers that a key names. Raises Refused or Damaged."""
        kind, place, count = storage_key(key)
        return self.kept(place, kind, count, bounds)

    def kept(self, place: str, kind: str, count: int, bounds: Bounds) -> Storage:
        """The numbers at a place, read once; at least `count` of this kind, or Damaged."""
        if place not in self._read:
            self._read[place] = Storage(self.numbers(place, kind, bounds))
        found = self._read[place]
        if len(found.numbers) < count or found.numbers.dtype != plain_dtype(KINDS[kind]):
            raise Damaged(f"{len(found.numbers)} numbers where there should be {count}")
        return found

    def numbers(self, place: str, kind: str, bounds: Bounds) -> np.ndarray:
        """Read the numbers at a place: `[number]`."""
        raise NotImplementedError


class Archived(Tensors):
    """The numbers in an archive, each storage a file of it.

    Args:
        archive: Open for reading.
        folder: The one in it that holds `data.pkl`.
        size: Bytes of the whole file.
    """

    def __init__(self, archive: zipfile.ZipFile, folder: str, size: int) -> None:
        super().__init__(size)
        self._archive, self._folder = archive, folder

    def numbers(self, place: str, kind: str, bounds: Bounds) -> np.ndarray:
        """See `Tensors.numbers`."""
        dtype = plain_dtype(KINDS[kind], "<")
        try:
            entry = self._archive.getinfo(f"{self._folder}/data/{place}")
        except KeyError:
            raise Damaged(f"the numbers {shown(place)} are not in it") from None
        if entry.file_size % dtype.itemsize:
            raise Damaged(f"the numbers {shown(place)} are cut")
        bounds.copy(entry.file_size)
        found = array_of(self._archive.read(entry), dtype, (entry.file_size // dtype.itemsize,))
        return found.astype(dtype.newbyteorder("="), copy=False)


def storage_key(key: Any) -> tuple[str, str, int]:
    """`("storage", kind, place, device, count)` as kind, place and count. Raises Damaged where it is none."""
    if type(key) is not tuple or len(key) != 5 or key[0] != "storage" or type(key[1]) is not Name:
        raise Damaged("a tensor without a place")
    _, kind, place, _, count = key
    if kind.meaning not in KINDS or type(place) is not str or type(count) is not int:
        raise Damaged("a tensor without a place")
    return kind.meaning, place, count


def _tensor(arguments: tuple[Any, ...], bounds: Bounds) -> np.ndarray:
    """Numbers from a storage: where the first one lies, the shape, and how far apart neighbours are along each axis."""
    if len(arguments) not in (6, 7) or type(arguments[0]) is not Storage:
        raise Damaged("a tensor without numbers")
    numbers, first, shape, steps = arguments[0].numbers, arguments[1], checked_shape(arguments[2]), arguments[3]
    steps = checked_shape(steps)
    if type(first) is not int or first < 0 or len(steps) != len(shape):
        raise Damaged("a tensor without an order")
    last = first + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    count = 1
    for size in shape:
        count *= size
    if count and last >= len(numbers):
        raise Damaged(f"a tensor that ends at number {last} of {len(numbers)}")
    bounds.copy(count * numbers.itemsize)
    if not count:
        return np.empty(shape, numbers.dtype)
    width = tuple(step * numbers.itemsize for step in steps)
    return np.lib.stride_tricks.as_strided(numbers[first:], shape, width, writeable=False).copy()


def _parameter(arguments: tuple[Any, ...], bounds: Bounds) -> np.ndarray:
    if not arguments or type(arguments[0]) is not np.ndarray:
        raise Damaged("a parameter without numbers")
    return arguments[0]


def _ordered(arguments: tuple[Any, ...], bounds: Bounds) -> dict[Any, Any]:
    pairs = arguments[0] if arguments else []
    whole = type(pairs) is list and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs)
    if len(arguments) > 1 or not whole:
        raise Refused("an OrderedDict of something that is no list of pairs")
    bounds.copy(128 * len(pairs))
    return {check_key(key): value for key, value in pairs}
