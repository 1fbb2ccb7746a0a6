"""Tensors of a file that torch before 1.6 saved: a row of pickles, and all numbers behind them.

The numbers lie behind the pickle that names them, each under its key with their count but not their kind. So that
pickle is gone through twice: once to see which kinds there are, and once with the numbers at hand.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused, array_of, plain_dtype, shown
from avshot.files.pickles.bounds import Bounds
from avshot.files.pickles.machine import run
from avshot.files.pickles.reader import ByteReader
from avshot.files.pickles.tensors import KINDS, Storage, Tensors, storage_key

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickled number, with which such a file begins
_VERSION = 1001


def read_old(file: BinaryIO) -> Any:
    """The object in a file of torch before 1.6, open at its beginning.

    Raises:
        Refused: It asks for something that is not data.
        Damaged: It is no such file, or cut off.
    """
    size = ByteReader(file).size
    file.seek(len(MAGIC))
    version, system = run(ByteReader(file)), run(ByteReader(file))
    if version != _VERSION or not isinstance(system, dict):
        raise Damaged("no file of torch, whatever it begins with")
    if system.get("little_endian") is not True:
        raise Refused("numbers whose highest byte comes first")
    start = file.tell()
    survey = _Survey(size)
    run(ByteReader(file), survey)
    behind = _Behind(file, survey, size)
    file.seek(start)
    return run(ByteReader(file), behind)


class _Survey(Tensors):
    """Which numbers the pickle asks for, and of which kind; gives tensors without any."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.kinds: dict[str, str] = {}
        self.calls["tensor"] = lambda arguments, bounds: np.empty(0)

    def storage(self, key: Any, bounds: Bounds) -> Storage:
        kind, place, _ = _old_key(key)
        if self.kinds.setdefault(place, kind) != kind:
            raise Damaged(f"the numbers {shown(place)} are of two kinds")
        return Storage(np.empty(0, plain_dtype(KINDS[kind])))


class _Behind(Tensors):
    """The numbers behind the pickle, at which `file` stands."""

    def __init__(self, file: BinaryIO, survey: _Survey, size: int) -> None:
        super().__init__(size)
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}  # where the numbers begin, and how many there are
        keys = run(ByteReader(file))
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(survey.kinds):
            raise Damaged("other numbers behind it than it names")
        for key in keys:
            count = ByteReader(file).number(8)
            ByteReader(file).check(length := count * plain_dtype(KINDS[survey.kinds[key]]).itemsize)
            self._places[key] = (file.tell(), count)
            file.seek(length, 1)

    def storage(self, key: Any, bounds: Bounds) -> Storage:
        kind, place, count = _old_key(key)
        return self.kept(place, kind, count, bounds)

    def numbers(self, place: str, kind: str, bounds: Bounds) -> np.ndarray:
        start, count = self._places[place]
        dtype = plain_dtype(KINDS[kind], "<")
        bounds.copy(count * dtype.itemsize)
        back = self._file.tell()
        self._file.seek(start)
        data = ByteReader(self._file).fill(count * dtype.itemsize)
        self._file.seek(back)
        return array_of(data, dtype, (count,)).astype(dtype.newbyteorder("="), copy=False)


def _old_key(key: Any) -> tuple[str, str, int]:
    """`("storage", kind, key, device, count, view)` as kind, key and count; views of storages are torch 0.1's."""
    if type(key) is not tuple or len(key) != 6 or key[5] is not None:
        raise Damaged("a tensor without a place")
    return storage_key(key[:5])
