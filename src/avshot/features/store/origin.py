"""What the features of a clip were made from: which span of which file; and whether that is still what is asked for."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from avshot.errors import BadDataset
from avshot.files.atomic import file_digest
from avshot.files.url import local_path

if TYPE_CHECKING:
    from avshot.types import Clip

Span = tuple[float, float | None]
CHANGED = "the file changed since"
APPEARED = "the file was not there before"
OTHER_SPAN = "its features are of another span of the file"


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells at a glance that a file is the one seen before, and what tells for sure.

    Attributes:
        size: Bytes.
        mtime_ns: When its content was written.
        ctime_ns: When anything about it changed, its name and rights included.
        sha256: Of its content; None where it could not be read, or was not.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str | None = None

    def matches(self, other: FileState) -> bool:
        """No sign of a change, the content aside."""
        return (self.size, self.mtime_ns, self.ctime_ns) == (other.size, other.mtime_ns, other.ctime_ns)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where features come from.

    Attributes:
        span: First second, and last second or None for the end of the file.
        file: State of the file when it was read; None where there was none.
    """

    span: Span
    file: FileState | None


def origin_of(clip: Clip, *, digest: bool = True) -> Origin:
    """Span and file of a clip as they are now; `digest=False` does not read the file."""
    file = _look(clip.path)
    if file is not None and digest:
        file = FileState(file.size, file.mtime_ns, file.ctime_ns, _digest(_local(clip.path), file))
    return Origin(span_of(clip), file)


def span_of(clip: Clip) -> Span:
    """Seconds of a clip's span; no start is 0.

    Raises:
        ValueError: Something else than finite numbers; names the clip.
    """
    try:
        start = 0.0 if clip.start is None else float(clip.start)
        end = None if clip.end is None else float(clip.end)
    except (TypeError, ValueError):
        start, end = math.nan, None
    if not math.isfinite(start) or (end is not None and not math.isfinite(end)):
        raise BadDataset(f"Clip {clip.id!r} has the span {clip.start!r} to {clip.end!r}; expected seconds, or None.")
    return start, end


def compare(stored: Origin, source: str, clip: Clip, *, certain: bool) -> tuple[str, FileState | None]:
    """Whether what is stored is what `clip` asks for today.

    The content is read where the size is the same but the time or the name of the file is not, so that a copied or
    touched file counts as the same and a replaced one does not. A file that is gone cannot be compared: features may
    outlive videos.

    Args:
        stored: Where the stored features, or the stored failure, come from.
        source: Path of the file they come from.
        clip: What is asked for.
        certain: Also read the content where only `ctime_ns` tells of a change (renamed, other rights, or another file
            of the same size and time put in its place).

    Returns:
        Why they differ, "" where they do not; and the file's new state, where its content is the same as before but it
        looks different at a glance.

    Raises:
        ValueError: The clip's span is no span.
    """
    if stored.span != span_of(clip):
        return OTHER_SPAN, None
    now = _look(clip.path)
    if now is None:
        return "", None
    before = stored.file
    if before is None:
        return APPEARED, None
    if before.size != now.size:
        return CHANGED, None
    name = os.path.basename(source) == os.path.basename(clip.path)
    if name and before.mtime_ns == now.mtime_ns and (not certain or before.ctime_ns == now.ctime_ns):
        return "", None
    digest = _digest(_local(clip.path), now)
    if digest is None or digest != before.sha256:
        return CHANGED, None
    return "", FileState(now.size, now.mtime_ns, now.ctime_ns, digest)


def changed_meanwhile(origin: Origin, clip: Clip) -> bool:
    """The file is not what it was when `origin` was taken, before it was read."""
    now = _look(clip.path)
    return origin.file is not None and (now is None or not origin.file.matches(now))


def to_json(origin: Origin | None) -> dict[str, Any]:
    """`span` and `file` of a manifest line; both null where nothing is stated, `file` empty where there was none."""
    if origin is None:
        return {"span": None, "file": None}
    file = origin.file
    state = [] if file is None else [file.size, file.mtime_ns, file.ctime_ns, file.sha256]
    return {"span": list(origin.span), "file": state}


def from_json(span: Any, file: Any) -> Origin | None:
    """Undo `to_json`. Raises ValueError or TypeError for something else."""
    if span is None and file is None:
        return None
    start, end = span
    state = FileState(*file) if file else None
    if type(start) is not float or not (end is None or type(end) is float) or not isinstance(file, list):
        raise BadDataset(f"span {span!r}, file {file!r}")
    if state is not None and not (
        type(state.size) is int
        and type(state.mtime_ns) is int
        and type(state.ctime_ns) is int
        and (state.sha256 is None or type(state.sha256) is str)
    ):
        raise BadDataset(f"file {file!r}")
    return Origin((start, end), state)


def _local(path: str) -> str:
    try:
        return local_path(path)
    except ValueError:  # a URL: there is no such file here, which is what reading it says, too
        return ""


def _look(path: str) -> FileState | None:
    try:
        found = os.stat(_local(path))
    except (OSError, ValueError):  # not there, a loop of links, a folder without access; a zero byte in the name
        return None
    size = found.st_size if stat.S_ISREG(found.st_mode) else -1  # a folder, or a pipe, which is never opened
    return FileState(size, found.st_mtime_ns, found.st_ctime_ns)


def _digest(path: str, file: FileState) -> str | None:
    return None if file.size < 0 else _content(path, file.size, file.mtime_ns, file.ctime_ns)


@lru_cache(maxsize=1 << 16)
def _content(path: str, size: int, mtime_ns: int, ctime_ns: int) -> str | None:
    """Digest of a file; kept, because many clips may be spans of one large file."""
    try:
        return file_digest(path)
    except OSError:
        return None
