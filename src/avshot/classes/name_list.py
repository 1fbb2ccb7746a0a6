"""Class names in a text file, one per line."""

from __future__ import annotations

from pathlib import Path

from avshot.classes.names import refuse_alike, tidy
from avshot.errors import BadClassName
from avshot.files.text import read_lines


def read_name_list(path: str | Path) -> list[str]:
    """Class names of a text file, one per line; empty lines do not count.

    Raises:
        ValueError: Not text, no names, one line with commas, a name that is none, or two names for one class; the
            message names file and line.
        OSError: There is no such file.
    """
    found = []
    for line, text in read_lines(path):
        try:
            found.append(tidy(text))
        except ValueError as error:
            raise BadClassName(f"{path} line {line}: {error}") from None
    if not found:
        raise BadClassName(f"{path} holds no class names; expected one per line.")
    if len(found) == 1 and "," in found[0]:
        raise BadClassName(f"{path} holds a single line, {found[0]!r}; expected one class name per line.")
    refuse_alike(found, f"{path}: ")
    return found
