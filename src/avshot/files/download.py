"""A file from the web of which size and digest are known beforehand: whole and right, or not there at all."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from avshot.errors import BadSetting
from avshot.files.atomic import file_digest

_PIECE = 1 << 18  # bytes between two reports
_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 5  # connections in a row that bring nothing before it is given up
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int,
    what: str,
    progress: Callable[[int, int], None] | None = None,
    pause: float = 1.0,
) -> None:
    """Fetch `url` to `path`, through `path` + ".part", which a later call continues.

    A connection that breaks is taken up again where it broke off (HTTP ranges); where the server knows no ranges, from
    the beginning. More than `size` bytes are never taken. The caller holds a lock on the folder.

    Args:
        url: http or https.
        path: The file; its folder exists.
        sha256: Of the content, hexadecimal.
        size: Bytes of the content.
        what: What it is, as messages begin.
        progress: Called with bytes done and bytes in all.
        pause: Seconds before the second attempt, twice that before the third, and so on.

    Raises:
        ValueError: It cannot be fetched, or is not what it should be; then nothing of it is kept.
        OSError: The folder cannot be written to.
    """
    part = path.with_name(f"{path.name}.part")
    done, failed = _size(part), 0
    furthest = done
    while done < size:
        try:
            wrong = not _continue(url, part, done, size, what, progress)
            reason = "it ended too early"
        except _BROKEN as error:
            wrong, reason = False, _words(error)
        done = _size(part)
        if wrong:
            break
        failed = 0 if done > furthest else failed + 1
        furthest = max(done, furthest)
        if failed >= _ATTEMPTS:
            raise BadSetting(f"{what} cannot be fetched from {url} ({reason}); run it again when the network is there.")
        time.sleep(pause * failed)
    if done != size or file_digest(part) != sha256:
        part.unlink(missing_ok=True)
        raise BadSetting(
            f"{what}: what {url} gives is not the file that avshot knows (its sha256 differs), and was removed; "
            "do not use it, and fetch the file elsewhere."
        )
    os.replace(part, path)


def _continue(
    url: str, part: Path, done: int, size: int, what: str, progress: Callable[[int, int], None] | None
) -> bool:
    """Add to `part`, of `done` bytes, as long as the connection gives any. False: the file there has no such bytes."""
    request = urllib.request.Request(url, headers={"User-Agent": "avshot", "Accept-Encoding": "identity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            return False
        if error.code < 500 and error.code not in (408, 429):
            raise BadSetting(f"{what} cannot be fetched: {url} answers {error.code} {error.reason}.") from None
        raise
    with answer:
        goes_on = answer.status == 206 and str(answer.headers.get("Content-Range")).startswith(f"bytes {done}-")
        with open(part, "ab" if goes_on else "wb") as file:
            _copy(answer, file, done if goes_on else 0, size, progress)
    return True


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _copy(answer: Any, file: IO[bytes], done: int, size: int, progress: Callable[[int, int], None] | None) -> None:
    while done <= size and (piece := answer.read1(_PIECE)):
        file.write(piece[: size + 1 - done])  # one too many shows that it is another file
        done += len(piece)
        if progress is not None:
            progress(min(done, size), size)


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return next(iter(str(reason).splitlines()), "") or type(error).__name__
