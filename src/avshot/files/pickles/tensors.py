"""Tensors that `torch.save` wrote, as numpy arrays: the numbers lie beside or behind the pickle, which names them.

The pickle says of a tensor which numbers it takes, from where and with which steps. All of that is checked here, and no
class of torch is used. Numbers that numpy does not have (bfloat16) are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused, array_of, checked_shape, plain_dtype, shown
from avshot.files.pickles.bounds import Bounds, check_key
from avshot.files.pickles.names import Name

KINDS = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
_NAMES = {
    ("torch._utils", "_rebuild_tensor"): Name("tensor"),  # before torch 0.4
    ("torch._utils", "_rebuild_tensor_v2"): Name("tensor"),
    ("argparse", "Namespace"): Name("settings"),  # how a training was started, which many programs keep in checkpoints
    ("torch._utils", "_rebuild_parameter"): Name("parameter"),
    ("collections", "OrderedDict"): Name("ordered"),
    **{("torch", kind): Name(kind) for kind in KINDS},
}


class Archive(Protocol):
    """Where numbers lie: a zip file, or what is like one."""

    def getinfo(self, name: str, /) -> Any:
        """What is called `name`, with its `file_size` in bytes. Raises KeyError where there is no such thing."""
        ...

    def read(self, name: Any, /) -> bytes:
        """The bytes of what `getinfo` gave."""
        ...


class Storage:
    """Numbers of one or several tensors, `[number]`; never part of a result."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers


class Tensors:
    """The numbers in an archive, and what the names of torch in its pickle mean.

    Args:
        archive: Open for reading.
        folder: The name in it that holds `data.pkl`.
        size: Bytes of the whole file.

    Attributes:
        calls: What a call of each name gives.
    """

    def __init__(self, archive: Archive, folder: str, size: int) -> None:
        self._archive, self._folder, self.size = archive, folder, size
        self._read: dict[str, Storage] = {}
        self.calls: dict[str, Callable[[tuple[Any, ...], Bounds], Any]] = {
            "tensor": _tensor,
            "parameter": _parameter,
            "ordered": _ordered,
            "settings": _settings,
        }

    def named(self, module: Any, name: Any) -> Name | None:
        """The entry for a name of torch; None for any other."""
        return _NAMES.get((module, name)) if type(module) is str and type(name) is str else None

    def storage(self, key: Any, bounds: Bounds) -> Storage:
        """The numbers that `("storage", kind, key, device, count)` names. Raises Refused or Damaged."""
        if type(key) is tuple and len(key) == 6 and key[5] is None:  # torch before 1.6 added whose part it is
            key = key[:5]
        if type(key) is not tuple or len(key) != 5 or key[0] != "storage" or type(key[1]) is not Name:
            raise Damaged("a tensor without a place")
        _, kind, place, _, count = key
        if kind.meaning not in KINDS or type(place) is not str or type(count) is not int:
            raise Damaged("a tensor without a place")
        if place not in self._read:
            self._read[place] = Storage(self._numbers(place, kind.meaning, bounds))
        found = self._read[place]
        if len(found.numbers) < count or found.numbers.dtype != plain_dtype(KINDS[kind.meaning]):
            raise Damaged(f"{len(found.numbers)} numbers where there should be {count}")
        return found

    def _numbers(self, place: str, kind: str, bounds: Bounds) -> np.ndarray:
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


def _tensor(arguments: tuple[Any, ...], bounds: Bounds) -> np.ndarray:
    """Numbers from a storage: where the first one lies, the shape, and how far apart neighbours are along each axis."""
    if len(arguments) not in (4, 6, 7) or type(arguments[0]) is not Storage:
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


def _settings(arguments: tuple[Any, ...], bounds: Bounds) -> dict[Any, Any]:
    """The settings of a program; nothing here reads them, so that they stay empty."""
    if arguments:
        raise Refused("settings that are made by a call")
    return {}
