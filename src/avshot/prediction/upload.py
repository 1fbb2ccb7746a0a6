"""The content of a video, as a service gets it: bytes or an open file, put on disk while it is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

from avshot.errors import BadMedia, BadSetting, TooLarge
from avshot.prediction.video import one_clip
from avshot.types import Clip

Video: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Clip"
LARGEST = 1 << 30  # bytes of an upload, unless another bound is asked for
_AT_ONCE = 1 << 20  # bytes read from an open file at a time


def is_content(video: object) -> bool:
    """Whether it is the content of a file and not its name: bytes, or something that can be read from."""
    return isinstance(video, bytes | bytearray | memoryview) or callable(getattr(video, "read", None))


def name_of(video: object) -> str:
    """What to call a video: its path, the name of an open file, else `<bytes>` or `<open file>`."""
    if isinstance(video, Clip):
        return video.path
    if isinstance(video, bytes | bytearray | memoryview):
        return "<bytes>"
    if is_content(video):
        name = getattr(video, "name", None)
        return name if isinstance(name, str) and name else "<open file>"  # a number for unnamed temporary files
    return os.fspath(video) if isinstance(video, str | os.PathLike) else repr(video)[:200]


@contextmanager
def on_disk(video: Video, *, largest: int = LARGEST) -> Iterator[tuple[Clip, str]]:
    """A video as a clip that can be read while the block runs, and what to call it.

    Content goes to a file in a folder that only this user can enter; it is removed when the block ends, however it
    ends. An open file is read from where it stands, and is left open.

    Args:
        video: A path, a `file://` URL, a `Clip`, the bytes of a file, or a file opened for reading bytes.
        largest: Most bytes of content that are taken, at least 1; files that are named may have any size.

    Raises:
        TooLarge: There is more content than that; no more than `largest` bytes of it were written.
        BadMedia: Not one video, or an open file that cannot be read or gives text.
        OSError: The temporary file cannot be written.
    """
    if not isinstance(largest, int) or largest < 1:
        raise BadSetting(f"largest is {largest!r}; expected a number of bytes, at least 1.")
    name = name_of(video)
    if not is_content(video):
        clip = one_clip(video)
        yield clip, clip.path
        return
    folder = tempfile.mkdtemp(prefix="avshot-upload-")
    try:
        path = Path(folder) / "video"
        with open(path, "wb") as file:
            for part in _parts(video, name, largest):
                file.write(part)
        yield Clip(id=name, path=str(path)), name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parts(video: Any, name: str, largest: int) -> Iterator[Any]:
    """The content, piece by piece; ends with an error before a byte too many."""
    if isinstance(video, bytes | bytearray | memoryview):
        if memoryview(video).nbytes > largest:
            raise _too_large(name, largest)
        yield video
        return
    left = largest
    while part := _read(video, name, min(_AT_ONCE, left + 1)):
        left -= len(part)
        if left < 0:
            raise _too_large(name, largest)
        yield part


def _read(file: Any, name: str, count: int) -> bytes:
    try:
        part = file.read(count)
    except (OSError, ValueError, EOFError) as error:  # closed, opened for writing, a connection that broke
        raise BadMedia(f"The open file {name} cannot be read ({error}); pass one that is open for reading.") from error
    if not isinstance(part, bytes | bytearray | memoryview):
        hint = 'open it with mode "rb"' if isinstance(part, str) else "pass one that waits for its bytes"
        raise BadMedia(f"The open file {name} gives {type(part).__name__} and not bytes; {hint}.")
    return bytes(part)


def _too_large(name: str, largest: int) -> TooLarge:
    return TooLarge(f"{name} is larger than {largest} bytes; pass a smaller file, its path, or a higher bound.")
