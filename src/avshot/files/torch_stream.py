"""What `torch.save` wrote before torch 1.6: pickles one behind the other, then the numbers of all tensors.

Order of the file: a magic number, a version, facts on the machine, the object, the keys of the numbers, and for each
key how many numbers there are and the numbers themselves. The object says what kind of numbers a key has; where they
lie is known only behind it. So it is read twice, first to learn the kinds, then with the numbers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused, plain_dtype
from avshot.files.pickles.bounds import Bounds
from avshot.files.pickles.machine import run
from avshot.files.pickles.reader import ByteReader
from avshot.files.pickles.tensors import KINDS, Storage, Tensors

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # a pickle of one number
_VERSION = 1001
_FOLDER = "stream"


def load_stream(file: BinaryIO) -> Any:
    """The object of a file that is open behind its magic number.

    Raises:
        Refused: It asks for something that is not data, or its numbers have the highest byte first.
        Damaged: It is not a whole file of this form.
    """
    reader = ByteReader(file)
    version, machine = run(reader), run(reader)
    if version != _VERSION or type(machine) is not dict:
        raise Damaged("another version of the older form of torch.save")
    if machine.get("little_endian") is not True:
        raise Refused("numbers whose highest byte comes first")
    start, survey = file.tell(), _Survey(reader.left)
    run(reader, survey)
    end = file.tell()
    numbers = _Numbers(file, _places(file, reader, survey.kinds))
    file.seek(start)
    # A copy of the pickle, because numbers are sought in the same file while it is read.
    return run(ByteReader(io.BytesIO(file.read(end - start))), Tensors(numbers, _FOLDER, survey.size))


class _Survey(Tensors):
    """Notes which kind of numbers each key has; every tensor is empty."""

    def __init__(self, size: int) -> None:
        super().__init__(_Numbers(io.BytesIO(), {}), _FOLDER, size)
        self.kinds: dict[str, np.dtype[Any]] = {}
        self.calls["tensor"] = lambda arguments, bounds: np.empty(0, np.float32)

    def storage(self, key: Any, bounds: Bounds) -> Storage:
        """Note the kind that `key` states; nothing is read."""
        if type(key) is not tuple or len(key) < 3 or type(key[2]) is not str:
            raise Damaged("a tensor without a place")
        kind = getattr(key[1], "meaning", None)
        if kind not in KINDS:
            raise Damaged("a tensor without a place")
        self.kinds[key[2]] = plain_dtype(KINDS[kind], "<")
        return Storage(np.empty(0, np.float32))


@dataclass(frozen=True)
class _Place:
    """Where the numbers of a key begin, and their bytes."""

    start: int
    file_size: int


class _Numbers:
    """The part of the file behind its pickles, as if each key were a file of its own."""

    def __init__(self, file: BinaryIO, places: Mapping[str, _Place]) -> None:
        self._file, self._places = file, places

    def getinfo(self, name: str) -> _Place:
        """Where the numbers lie. Raises KeyError."""
        return self._places[name]

    def read(self, name: _Place) -> bytes:
        """The numbers."""
        self._file.seek(name.start)
        return self._file.read(name.file_size)


def _places(file: BinaryIO, reader: ByteReader, kinds: Mapping[str, np.dtype[Any]]) -> dict[str, _Place]:
    keys = run(reader)
    if type(keys) is not list or not all(type(key) is str and key in kinds for key in keys):
        raise Damaged("numbers that no tensor asks for")
    found = {}
    for key in keys:
        count = reader.number(8) * kinds[key].itemsize
        found[f"{_FOLDER}/data/{key}"] = _Place(file.tell(), count)
        reader.skip(count)
    return found
