"""The place a feature store lies in: a folder on disk or any fsspec location."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from avshot.errors import BadDataset
from avshot.files.url import local_path

CUT_OFF = b" <cut off>"  # ends a line that a killed writer left half written, once another one has gone on after it
_ABANDONED = 3600.0  # seconds after which a name that is reserved but not filled is nobody's


class Place:
    """A folder named by a local path or an fsspec URL. Local files are replaced atomically and mapped, not copied.

    Args:
        root: `features/ucf`, `s3://bucket/features`, `memory://x`, ...

    Raises:
        ValueError: A URL of a kind that fsspec does not know, or for which a library lacks.
    """

    def __init__(self, root: str) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.root = str(root)
        try:
            named = local_path(self.root) if self.root.startswith("file:") else self.root
            self._fs, path = fsspec.core.url_to_fs(named)
        except (ImportError, ValueError) as error:
            raise BadDataset(f"Store {self.root} cannot be reached: {error}") from None
        self._path = path.rstrip("/")
        self.local = isinstance(self._fs, LocalFileSystem)
        self._parts: dict[str, int] = {}  # next part of each remote file, to spare requests

    def path(self, name: str) -> str:
        """Full path of a file, for messages and for mapping; of the folder itself for ""."""
        return f"{self._path}/{name}" if name else self._path

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

    def make(self) -> None:
        """Make the folder of a local place. Raises ValueError when it cannot be made, or is a file."""
        if not self.local:
            return
        try:
            os.makedirs(self._path, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadDataset(
                f"Store {self.root} cannot be a folder: a file is in the way; choose another one."
            ) from None
        except OSError as error:
            raise BadDataset(f"Store {self.root} cannot be made ({error.strerror}); choose another folder.") from None

    def publish(self, name: str, chunks: Iterable[Any], *, replace: bool = True) -> None:
        """Write a file so that no reader ever sees half of it under its name: temporary file, fsync, rename.

        Elsewhere than on a local disk one upload is made; object stores show an object only when it is complete.

        Args:
            name: File name below the root.
            chunks: Its bytes, in pieces.
            replace: False keeps a file of that name that another writer made meanwhile.

        Raises:
            OSError: It cannot be written; the message names the file.
        """
        if not self.local:
            self._upload(name, chunks)
            return
        with self._temporary(name, chunks) as temporary, self._told(name):
            os.replace(temporary, self.path(name)) if replace else _link(temporary, self.path(name))

    @contextmanager
    def publish_new(self, names: Iterator[str], chunks: Iterable[Any]) -> Iterator[str]:
        """`publish` under the first of `names` that is free, which is yielded.

        While the block runs the file is held, so that `tidy` leaves it alone before it is mentioned anywhere. Exclusive
        on a local disk, best effort elsewhere.

        Raises:
            OSError: As `publish`.
        """
        if not self.local:
            name = next(name for name in names if not self.exists(name))
            self._upload(name, chunks)
            yield name
            return
        name = next(names)
        with self._temporary(name, chunks) as temporary:
            with self._told(name):
                while not _link(temporary, self.path(name)):
                    name = next(names)
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            yield name

    def append(self, name: str, data: bytes) -> None:
        """Add lines to a file in one write; a half-written last line of a killed writer is closed off first.

        Where files cannot grow (object stores) the lines become a new part beside it: `a.jsonl` -> `a.00000.jsonl`, ...

        Raises:
            OSError: They cannot be written; the message names the file.
        """
        if not self.local:
            stem, ending = os.path.splitext(name)
            part = self._parts.get(name, 0)
            while self.exists(f"{stem}.{part:05d}{ending}"):
                part += 1
            self._upload(f"{stem}.{part:05d}{ending}", [data])
            self._parts[name] = part + 1
            return
        with self._told(name):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with open(self.path(name), "a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END) > 0:
                    file.seek(-1, os.SEEK_END)
                    data = data if file.read(1) == b"\n" else CUT_OFF + b"\n" + data
                written = file.write(data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes went there")
                os.fsync(file.fileno())

    def tidy(self, mentioned: set[str], look_again: Callable[[], set[str]]) -> int:
        """Remove what killed writers left in a local place: temporary files, and shards that nothing mentions.

        What a writer on this or another machine holds is left alone, and everything where the file system knows no
        locks.

        Args:
            mentioned: Files (below the root) that the manifest mentions.
            look_again: Gives them anew: a writer may have mentioned its file, and let go of it, after the first look.

        Returns:
            Files removed.
        """
        if not self.local:
            return 0
        files = [name for folder in ("", "manifest", "shards") for name in self._files(folder)]
        loose = [n for n in files if n.endswith(".tmp") or (n.startswith("shards/") and n not in mentioned)]
        free = [name for name in loose if _is_free(self.path(name))]
        gone = set(free) - (look_again() if free else set())
        for name in gone:
            os.unlink(self.path(name))
        return len(gone)

    def _files(self, folder: str) -> list[str]:
        if not os.path.isdir(self.path(folder)):
            return []
        with os.scandir(self.path(folder)) as entries:
            found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        return [f"{folder}/{name}" if folder else name for name in found]

    @contextmanager
    def _temporary(self, name: str, chunks: Iterable[Any]) -> Iterator[str]:
        """A complete file beside `name`, which is held, and removed when the block ends unless it was renamed."""
        target = self.path(name)
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"  # not the pid: hosts share file systems
        file: IO[bytes] | None = None
        try:
            with self._told(name):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                file = open(temporary, "wb")  # noqa: SIM115 - held until the block of the caller ends
                _hold(file)
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            with suppress(OSError):  # on a full disk closing fails as writing did
                if file is not None:
                    file.close()
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _upload(self, name: str, chunks: Iterable[Any]) -> None:
        with self._told(name):
            self._fs.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with self._fs.open(self.path(name), "wb") as file:
                for chunk in chunks:
                    file.write(chunk)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(
                f"{self.path(name)} cannot be written ({error.strerror or error}); what was complete is kept: mend "
                "that, and run the same command again."
            ) from error


def _link(temporary: str, target: str) -> bool:
    """Give a finished file its name unless that is taken: a hard link is the rename that never overwrites."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        try:  # a file system without hard links: reserve the name first
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        os.replace(temporary, target)
    return True


def _hold(file: IO[bytes]) -> bool:
    """Lock an open file for as long as it is open; False where another process holds it or nobody can."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_free(path: str) -> bool:
    """Nobody writes to a file any more."""
    try:
        with open(path, "rb") as file:
            about = os.fstat(file.fileno())
            reserved = about.st_size == 0 and not path.endswith(
                ".tmp"
            )  # on file systems without hard links, see `_link`
            return _hold(file) and not (reserved and time.time() - about.st_mtime < _ABANDONED)
    except OSError:
        return False
