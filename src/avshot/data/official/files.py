"""One file of released features: read, bounded by its own size, and looked through for numbers that are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from avshot.errors import BadDataset
from avshot.files.hdf5 import check_written, own_table, reason_of
from avshot.files.pickles.arrays import as_numbers
from avshot.files.pickles.reader import check_regular

_NAMES_AT_ONCE = 64  # a text of a file may be referred to many times; so many copies are in memory at most
_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".wav")

T = TypeVar("T")


def read_names(path: Path) -> tuple[tuple[str, ...], int]:
    """Clip ids of a `.h5` file, cleaned, and the number of its features; the features are not read.

    Raises:
        ValueError: It is no such file, or has not as many ids as features.
    """
    return _h5(path, lambda file: _checked_names(path, file, _table(file, path).shape[0]))


def read_features(path: Path) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Clip ids, cleaned, and features `[time, dim]` float32 of a `.h5` or `.pkl` file; averages have one step.

    A `.pkl` of ClipClap may have fewer features than ids: the last ids have none. Numbers may be NaN or infinite, also
    where they are too large for float32: see `check_finite`.

    Raises:
        ValueError: It is no such file, or is damaged; the message names it.
        OSError: It cannot be opened.
    """
    return _read_h5(path) if path.suffix == ".h5" else _read_pickle(path)


def check_finite(path: Path, names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
    """Raise ValueError naming the file and the clip where a number is NaN or infinite."""
    for i, array in enumerate(arrays):
        if (wrong := count_wrong(array)) > 0:
            clip = names[i] if i < len(names) else f"number {i + 1}"
            raise BadDataset(
                f"{path} holds {wrong} of {array.size} numbers for clip {clip!r} that are not finite (nan, inf, or too "
                "large for 32 bits); fetch the file again, or take this clip out of it."
            )


def count_wrong(array: np.ndarray) -> int:
    """How many numbers are NaN or infinite."""
    finite = np.isfinite(array)
    return 0 if finite.all() else int(array.size - finite.sum())


def clean_id(name: str | bytes) -> str:
    """Clip id as the tables write it: text that was made of bytes (`b'x'`), folders and media suffixes undone.

    Raises:
        ValueError: Neither text nor bytes of UTF-8, or nothing.
    """
    if not isinstance(name, str | bytes):
        raise BadDataset(f"an id of the type {type(name).__name__}, expected text")
    try:
        text = name.decode("utf-8") if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError:
        raise BadDataset("an id that is not UTF-8 text") from None
    if not text:
        raise BadDataset("an id without a letter")
    if len(text) >= 3 and text[:2] in ("b'", 'b"') and text[-1] == text[1]:
        text = text[2:-1]
    text = text.rsplit("/", 1)[-1]
    stem, dot, suffix = text.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in _SUFFIXES else text


def _h5(path: Path, read: Callable[[Any], T]) -> T:
    import h5py

    try:
        check_regular(path)
        with h5py.File(path, "r") as file:
            return read(file)
    except Exception as error:  # damaged files make h5py raise every class there is
        raise BadDataset(
            f"{path} is not a released feature file with data and video_urls ({reason_of(error)}); fetch it again."
        ) from None


def _table(file: Any, path: Path) -> Any:
    data = own_table(file, "data", path)
    if data.ndim != 2 or data.dtype.kind not in "biuf":
        raise BadDataset(f"data has shape {data.shape} and type {data.dtype}, expected numbers [clip, dim]")
    check_written(data, "data")
    return data


def _checked_names(path: Path, file: Any, count: int) -> tuple[tuple[str, ...], int]:
    import h5py

    table = own_table(file, "video_urls", path)
    if table.ndim != 1 or len(table) != count:
        raise BadDataset(f"video_urls has shape {table.shape} for {count} features, expected one id each")
    if count and table.dtype.kind != "S" and h5py.check_string_dtype(table.dtype) is None:
        raise BadDataset(f"video_urls has the type {table.dtype}, expected text")
    found: list[str] = []
    for start in range(0, count, _NAMES_AT_ONCE):
        found += map(clean_id, table[start : start + _NAMES_AT_ONCE])
    return tuple(found), count


def _read_h5(path: Path) -> tuple[tuple[str, ...], list[np.ndarray]]:
    def read(file: Any) -> tuple[tuple[str, ...], list[np.ndarray]]:
        data = as_numbers(_table(file, path)[()])
        return _checked_names(path, file, len(data))[0], list(data[:, None])

    return _h5(path, read)


def _read_pickle(path: Path) -> tuple[tuple[str, ...], list[np.ndarray]]:
    from avshot.files.unpickle import restricted_load

    content = restricted_load(path)
    if not isinstance(content, dict) or not {"features", "video_names"} <= set(content):
        raise BadDataset(f"{path} is not a released feature file; expected a dictionary with features and video_names.")
    lists = [content[key] for key in ("features", "video_names")]
    if not all(isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.ndim) for part in lists):
        raise BadDataset(f"{path} is not a released feature file; expected features and video_names to be lists.")
    try:
        names = tuple(map(clean_id, lists[1]))
    except ValueError as error:
        raise BadDataset(f"{path} holds {error} among its video_names; fetch it again.") from None
    if len(lists[0]) > len(names):
        raise BadDataset(f"{path} has {len(lists[0])} features for {len(names)} clips; fetch it again.")
    arrays = [_steps(path, name, array) for name, array in zip(names, lists[0], strict=False)]
    _check_widths(path, names, arrays)
    return names, arrays


def _steps(path: Path, name: str, array: ArrayLike) -> np.ndarray:
    """`[time, dim]`. ClipClap stores one flat vector per clip; an empty one means that nothing was extracted."""
    try:
        found = as_numbers(array)
    except ValueError as error:
        raise BadDataset(f"{path} holds {error} for clip {name!r}; fetch it again.") from None
    if found.ndim not in (1, 2):
        raise BadDataset(
            f"{path} holds an array of shape {found.shape} for clip {name!r}; expected [dim] or [time, dim]."
        )
    if found.ndim == 2:
        return found
    return found[None] if found.size else found.reshape(0, 1)


def _check_widths(path: Path, names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
    """Raise ValueError where the features of a clip are wider or narrower than those of the one before."""
    kept = [(name, array.shape[1]) for name, array in zip(names, arrays, strict=False) if len(array)]
    for (before, width), (name, other) in pairwise(kept):
        if width != other:
            raise BadDataset(
                f"{path} holds {width} numbers a step for clip {before!r} and {other} for {name!r}; fetch it again."
            )
