"""Paths that tables state: plain ones, and `file://` URLs."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

# Two letters at least: C:/videos is a drive. One slash is enough: `pathlib` makes file:/a of file:///a.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def local_path(path: str) -> str:
    """The local path that `path` names: itself, or what a `file://` URL says, percent signs decoded.

    URLs that were put together by hand often hold spaces, `#`, `?` or `%` as they are; they mean the file of that name
    where there is one.

    Raises:
        ValueError: A URL of another kind, which is never fetched, or of another machine.

    Example:
        >>> local_path("file:///videos/a%20dog.mp4")
        '/videos/a dog.mp4'
    """
    scheme = _SCHEME.match(path)
    if scheme is None or os.path.lexists(path):
        return path
    if scheme[1].lower() != "file":
        raise ValueError(f"{path} is not on this machine; download it first, and name the file")
    parts = urlsplit(re.sub(r"^[A-Za-z]+:/+(?=.)", "file:///", path) if "://" not in path else path)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{path} names a file of the machine {parts.netloc!r}; write file:///folder/file, or a path")
    plain = path[len(scheme[1]) + 1 :].removeprefix("//").removeprefix("localhost")
    decoded = unquote(parts.path)
    return plain if not os.path.lexists(decoded) and os.path.lexists(plain) else decoded
