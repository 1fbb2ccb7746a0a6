"""Arrays that somebody saved: `.npy`, `.npz` and `.h5`, opened without running or trusting anything in them.

A `.npy` file is mapped, a table of an `.h5` file is read slice by slice; an array of an `.npz` file is read whole. Text
and numbers alone are read: arrays of objects need unpickling, and are refused.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avshot.errors import BadDataset
from avshot.files.hdf5 import open_h5
from avshot.files.pickles.arrays import Damaged, Refused, array_of
from avshot.files.pickles.reader import ByteReader, check_regular
from avshot.files.unpickle import npy_header

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5")
_FREE_BYTES, _GROWTH = 64 << 20, 100  # of a compressed array, unpacked


class Array(Protocol):
    """Numbers or text in a file, read when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """Some of them, as an array."""
        ...


@contextmanager
def open_arrays(path: str | Path) -> Iterator[Mapping[str, Array]]:
    """Yield the arrays of a file by name, to be read while the block runs; that of a `.npy` file is "features".

    Raises:
        ValueError: Another kind of file, or one that is damaged, cut off or holds Python objects; the message names it.
            Some of it is found only when an array is asked for.
        OSError: There is no such file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadDataset(f"{path} is no file of arrays; expected {', '.join(SUFFIXES)}.")
    check_regular(path)
    if suffix == ".npy":
        yield {"features": map_npy(path)}
    elif suffix == ".npz":
        with _opened_zip(path) as archive:
            yield _Npz(path, archive)
    else:
        with open_h5(path) as tables:
            yield tables


def map_npy(path: str | Path) -> np.ndarray:
    """The array of a `.npy` file, mapped read-only: its numbers are read where they are used.

    Raises:
        ValueError: No such file, one that is cut off, or one of Python objects.
        OSError: It cannot be opened.
    """
    check_regular(path)
    with open(path, "rb") as file, _told(path):
        reader = ByteReader(file)
        dtype, fortran, shape = npy_header(reader)
        if dtype.hasobject:
            raise Refused("Python objects")
        reader.check(size := math.prod(shape) * dtype.itemsize)
        if size == 0:
            return np.empty(shape, dtype)
        mapped = np.memmap(path, dtype, mode="r", offset=file.tell(), shape=shape, order="F" if fortran else "C")
        return np.asarray(mapped)


def is_plain_npy(path: str | Path) -> bool:
    """Whether a `.npy` file holds an array of numbers or text, and no Python objects. Raises as `map_npy`."""
    with open(path, "rb") as file:
        try:
            return not npy_header(ByteReader(file))[0].hasobject
        except (Refused, Damaged):
            return False  # whoever reads it says what it is


def texts_of(path: str | Path, name: str, array: Array) -> list[str]:
    """Text of an array `[n]`: of text, bytes of UTF-8, or whole numbers.

    Raises:
        ValueError: Anything else; the message names the file and the array.
    """
    if len(array.shape) != 1:
        raise BadDataset(f"{path}: {name} has shape {array.shape}; expected one text for each row.")
    values = array[...].tolist() if array.dtype.kind in "SUiuO" else [None]
    try:
        found = [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise BadDataset(f"{path}: {name} holds bytes that are not UTF-8 text; save it as text.") from None
    if not all(isinstance(value, str | int) for value in found):
        raise BadDataset(f"{path}: {name} has values of the type {array.dtype}; save it as text: {name}.astype(str).")
    return [str(value) for value in found]


class _Npz(Mapping[str, np.ndarray]):
    """The arrays of a zip file by name, each read when it is asked for; whoever asks keeps it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._members = {
            info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
        }

    def __getitem__(self, name: str) -> np.ndarray:
        info = self._members[name]
        if info.file_size > _FREE_BYTES + _GROWTH * info.compress_size:
            raise BadDataset(
                f"{self._path}: {name} unpacks to more than {_GROWTH} times its size; save it with np.savez."
            )
        with _told(self._path, f"{name} is "), self._archive.open(info) as file:
            reader = ByteReader(file)  # type: ignore[arg-type]
            dtype, fortran, shape = npy_header(reader)
            if dtype.hasobject:
                raise Refused("Python objects")
            return array_of(reader.fill(math.prod(shape) * dtype.itemsize), dtype, shape, fortran=fortran)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise BadDataset(f"{path} is not an .npz file ({error}); save it again with np.savez.") from None
    with archive:
        yield archive


@contextmanager
def _told(path: str | os.PathLike[str], what: str = "") -> Iterator[None]:
    """What is wrong with an array, as a sentence that names its file."""
    import zlib

    try:
        yield
    except Refused as error:
        raise BadDataset(
            f"{path}: {what}made of {error}, which are not read; save plain numbers or text, for example "
            "np.asarray(array, dtype=np.float32)."
        ) from None
    except (Damaged, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadDataset(f"{path}: {what}damaged ({error}); save it again.") from None
