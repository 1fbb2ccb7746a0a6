"""Where a result is to go, checked before it is computed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from avshot.errors import BadSetting


def output_file(path: Path, suffixes: Collection[str], what: str) -> Path:
    """Check where a result is to go, before it is computed; its folder is made.

    Args:
        path: The file to write.
        suffixes: Endings that it may have, in small letters, with the dot.
        what: What it is, for the message: "picture".

    Raises:
        ValueError: Another ending, or `path` is a folder, or lies in what is none.
    """
    if path.is_dir():
        raise BadSetting(f"The {what} is to be written to {path}, which is a folder; name a file in it.")
    if path.suffix.lower() not in suffixes:
        raise BadSetting(f"The {what} is to be written to {path}; expected a path that ends in {_one_of(suffixes)}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSetting(f"The {what} cannot be written to {path}: {error}.") from None
    return path


def _one_of(suffixes: Collection[str]) -> str:
    *most, last = sorted(suffixes)
    return f"{', '.join(most)} or {last}" if most else last
