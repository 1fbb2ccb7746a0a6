"""The place a feature store lies in: a folder on disk or any fsspec location."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Sequence
from typing import Any


class Place:
    """A folder named by a local path or an fsspec URL. Local files are replaced atomically and mapped, not copied.

    Args:
        root: `features/ucf`, `s3://bucket/features`, `memory://x`, ...
    """

    def __init__(self, root: str) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.root = str(root)
        self._fs, path = fsspec.core.url_to_fs(self.root)
        self._path = path.rstrip("/")
        self.local = isinstance(self._fs, LocalFileSystem)
        self._parts: dict[str, int] = {}  # next part of each remote file, to spare requests

    def path(self, name: str) -> str:
        """Full path of a file, for messages and for mapping."""
        return f"{self._path}/{name}"

    def names(self, folder: str) -> list[str]:
        """Names (with folder) of the files in `folder`, sorted; empty when the folder does not exist."""
        self._fs.invalidate_cache()
        if not self._fs.isdir(self.path(folder)):
            return []
        found = self._fs.ls(self.path(folder), detail=False)
        return sorted(f"{folder}/{str(path).rsplit('/', 1)[-1]}" for path in found)

    def exists(self, name: str) -> bool:
        """True when the file is there now (no cached answer)."""
        self._fs.invalidate_cache()
        return bool(self._fs.isfile(self.path(name)))

    def size(self, name: str) -> int:
        """Bytes of a file. Raises FileNotFoundError."""
        return int(self._fs.size(self.path(name)))

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        return bytes(self._fs.cat_file(self.path(name)))

    def ranges(self, name: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """Byte ranges of one file, fetched concurrently where the file system can."""
        return list(self._fs.cat_ranges([self.path(name)] * len(starts), list(starts), list(ends), on_error="raise"))

    def claim(self, name: str) -> bool:
        """Reserve a file name; False when it is taken. Exclusive on a local disk, best effort elsewhere."""
        if not self.local:
            return not self.exists(name)
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        try:
            os.close(os.open(self.path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def publish(self, name: str, chunks: Iterable[Any], *, replace: bool = True) -> None:
        """Write a file so that no reader ever sees half of it under its name: temporary file, fsync, rename.

        Elsewhere than on a local disk one upload is made; object stores show an object only when it is complete.

        Args:
            name: File name below the root.
            chunks: Its bytes, in pieces.
            replace: False keeps a file of that name that another writer made meanwhile.
        """
        if not self.local:
            self._fs.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with self._fs.open(self.path(name), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            return
        target = self.path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"  # not the pid: hosts share file systems
        try:
            with open(temporary, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target) if replace else _link(temporary, target)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def append(self, name: str, data: bytes) -> None:
        """Add lines to a file in one write; a half-written last line of a killed writer is closed off first.

        Where files cannot grow (object stores) the lines become a new part beside it: `a.jsonl` -> `a.00000.jsonl`, ...
        """
        if not self.local:
            stem, ending = os.path.splitext(name)
            part = self._parts.get(name, 0)
            while self.exists(f"{stem}.{part:05d}{ending}"):
                part += 1
            self.publish(f"{stem}.{part:05d}{ending}", [data])
            self._parts[name] = part + 1
            return
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                data = data if file.read(1) == b"\n" else b"\n" + data
            written = file.write(data)
            if written != len(data):
                raise OSError(f"Only {written} of {len(data)} bytes went to {self.path(name)}; is the disk full?")
            os.fsync(file.fileno())


def _link(temporary: str, target: str) -> None:
    """Give a finished file its name unless that is taken: a hard link is the rename that never overwrites."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        os.replace(temporary, target)  # a file system without hard links
