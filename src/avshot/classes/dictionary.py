"""`.npy` dictionaries `{text: vector}`, as the released benchmarks have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadSetting
from avshot.files.pickles.arrays import as_numbers, shown


def read_class_vectors(path: str | Path) -> dict[str, np.ndarray]:
    """Read a dictionary `{text: float32 [dim]}`, as the released class vectors are.

    Raises:
        ValueError: The file holds something else, vectors of different lengths, or one without a direction: not
            finite, zero, or too long for float32. The message names file and class.
        OSError: There is no such file, or it cannot be read.
    """
    from avshot.files.unpickle import restricted_load

    content = restricted_load(path)
    if not isinstance(content, dict) or not content:
        raise BadSetting(f"{path} holds {_described(content)}; expected a dictionary of class name -> vector.")
    return checked_vectors(path, content)


def checked_vectors(path: str | Path, content: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """The entries of a dictionary as text and float32 `[dim]`.

    Args:
        path: Where they are from, for messages.
        content: At least one entry.

    Raises:
        ValueError: As `read_class_vectors`.
    """
    vectors = {_as_text(path, name): _vector(path, name, vector) for name, vector in content.items()}
    first = len(next(iter(vectors.values())))
    for name, vector in vectors.items():
        if len(vector) != first:
            raise BadSetting(f"{path} holds {len(vector)} numbers for {shown(name)!r} and {first} for the first class.")
    return vectors


def _described(content: Any) -> str:
    return "an empty dictionary" if isinstance(content, dict) else f"a {type(content).__name__}"


def _as_text(path: str | Path, name: Any) -> str:
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    if not isinstance(text, str):
        raise BadSetting(f"{path} holds a key of the type {type(name).__name__}; expected class names.")
    return str(text)


def _vector(path: str | Path, name: Any, value: Any) -> np.ndarray:
    """`value` as float32 `[dim]`; a row or a column will do. Its length must be a number above 0 in float32."""
    place = f"{path}, class {shown(str(name))!r}"
    try:
        found = as_numbers(value)
    except ValueError as error:
        raise BadSetting(f"{place}: {error}.") from None
    if found.size == 0 or found.ndim == 0 or max(found.shape) != found.size:
        raise BadSetting(f"{place}: an array of shape {found.shape}, expected one vector [dim].")
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(found))
    if length == 0:
        raise BadSetting(f"{place}: a vector of zeros, which has no direction; use another file.")
    if not length < np.inf:
        raise BadSetting(f"{place}: numbers that are not finite (nan, inf, or beyond 32 bits); use another file.")
    return found.reshape(-1)
