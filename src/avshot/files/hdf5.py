"""HDF5 files of others: tables that lie in the file itself and are no larger than it can hold."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadDataset
from avshot.files.pickles.arrays import shown

_FREE_BYTES, _GROWTH = 64 << 20, 100  # compressed features take a tenth to a half of their size
_OPEN_TABLES = 4
_CACHE_BYTES = 64 << 20  # of unpacked chunks: rows are asked for one by one


def own_table(file: Any, key: str, path: str | Path) -> Any:
    """A table that lies in this file: no link to another, no piece of another, no more than its bytes can hold.

    Args:
        file: An open `h5py.File`.
        key: Name of the table.
        path: Of the file.

    Raises:
        ValueError: There is none; the message says what there is in its place, and does not name the file.
    """
    import h5py

    if key not in file and file.get(key, getlink=True) is None:
        raise BadDataset(f"it has no {key}")
    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        raise BadDataset(f"{key} is a link to somewhere else")
    found = file[key]
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise BadDataset(f"{key} is no table of values")
    if found.is_virtual or found.external:
        raise BadDataset(f"{key} lies in other files")
    if found.size * found.dtype.itemsize > _FREE_BYTES + _GROWTH * os.path.getsize(path):
        raise BadDataset(f"{key} has the shape {found.shape}, which a file of this size cannot hold")
    return found


def check_written(table: Any, key: str) -> None:
    """Raise ValueError where numbers of a table were never written: they would be read as zeros."""
    written, filters = table.id.get_storage_size(), table.id.get_create_plist().get_nfilters()
    if written < (table.size * table.dtype.itemsize if filters == 0 else min(table.size, 1)):
        raise BadDataset(f"{key} was never written, or in part only")


def reason_of(error: Exception) -> str:
    """What h5py says of a file, in one printable line; damaged files make it raise every class there is."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else None
    return shown(said or str(error.args[0] if error.args else error).split("\n")[0], 150)


class _File:
    """An open file, and a few tables of it that are kept open: each has unpacked chunks, which reading again loses."""

    def __init__(self, file: Any) -> None:
        self._file, self._kept = file, OrderedDict[str, Any]()

    def table(self, name: str) -> Any:
        if name not in self._kept:
            self._kept[name] = self._file[name]
            if len(self._kept) > _OPEN_TABLES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]


@dataclass(frozen=True)
class H5Table:
    """A table of an open file, whose values are read when it is indexed.

    Attributes:
        path: Of the file.
        name: Of the table.
        shape: Sizes.
        dtype: Type of the values.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _file: _File = field(repr=False, compare=False)

    def __getitem__(self, index: Any) -> Any:
        """The values there. Raises ValueError where they cannot be read, naming file and table."""
        try:
            return self._file.table(self.name)[index]
        except Exception as error:
            raise _damaged(self.path, error, self.name) from None


@contextmanager
def open_h5(path: str | Path) -> Iterator[Mapping[str, H5Table]]:
    """Yield all tables of a file by name (`group/name` in groups), to be read while the block runs.

    Raises:
        ValueError: It is no such file, is damaged, or a table lies elsewhere or was not written; the message names it.
    """
    import h5py

    try:
        file = h5py.File(path, "r", rdcc_nbytes=_CACHE_BYTES)
    except Exception as error:
        raise _damaged(path, error) from None
    with file:
        try:
            found = _tables(file, str(path))
        except Exception as error:
            raise _damaged(path, error) from None
        yield found


def _tables(file: Any, path: str) -> dict[str, H5Table]:
    import h5py

    names: list[str] = []
    file.visit_links(names.append)  # also what leads elsewhere, which is refused
    found, opened = {}, _File(file)
    for name in sorted(names):
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.HardLink) and isinstance(file[name], h5py.Group):
            continue
        table = own_table(file, name, path)
        if table.dtype.kind in "biuf":
            check_written(table, name)
        found[name] = H5Table(path, name, table.shape, table.dtype, opened)
    return found


def _damaged(path: str | Path, error: Exception, name: str = "") -> ValueError:
    what = f"{name} in it cannot be read" if name else "no HDF5 file that can be read"
    return ValueError(f"{path}: {what} ({reason_of(error)}); save it again.")
