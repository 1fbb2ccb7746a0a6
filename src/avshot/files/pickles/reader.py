"""A file read forward: what a length in it promises is compared with what is left, before memory is taken."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from avshot.files.pickles.arrays import Damaged


class ByteReader:
    """Reads a binary file from where it stands.

    Args:
        file: Open and seekable.

    Attributes:
        size: Bytes from there to the end.
        left: Those that have not been read.
    """

    def __init__(self, file: BinaryIO) -> None:
        start = file.tell()
        self.size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        self.left = self.size
        self._file = file

    def check(self, count: int) -> None:
        """Raise Damaged where fewer than `count` bytes are left."""
        if count > self.left:
            kept = f"{self.left} bytes are left where {count} should be" if self.size else "it is empty"
            raise Damaged(f"it ends too early: {kept}")

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises Damaged where the file has fewer."""
        self.check(count)
        data = self._file.read(count)
        while len(data) < count:  # an unbuffered file may give less than it has
            more = self._file.read(count - len(data))
            if not more:
                raise Damaged("it became shorter while it was read")
            data += more
        self.left -= count
        return data

    def fill(self, count: int) -> bytearray:
        """As `take`, in memory that may be written to."""
        self.check(count)
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            got = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not got:
                raise Damaged("it became shorter while it was read")
            done += got
        self.left -= count
        return data

    def skip(self, count: int) -> None:
        """Go behind the next `count` bytes. Raises Damaged where the file has fewer."""
        self.check(count)
        self._file.seek(count, os.SEEK_CUR)
        self.left -= count

    def number(self, count: int, *, signed: bool = False) -> int:
        """The next `count` bytes as an integer, the lowest byte first."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self) -> bytes:
        """Up to the next line feed, which is left out."""
        data = self._file.readline(self.left)
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise Damaged("it ends in the middle of a line")
        return data[:-1]


def check_regular(path: str | os.PathLike[str]) -> None:
    """See that `path` is a file: a pipe or a device would be waited for, or never end.

    Raises:
        ValueError: It is a folder, a pipe or a device.
        OSError: There is nothing, or it cannot be reached.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{os.fspath(path)} is a folder, a pipe or a device; expected a file.")
