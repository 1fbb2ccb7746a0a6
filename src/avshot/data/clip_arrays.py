"""Features of clips in arrays that somebody has: one row, one piece or one file for each clip.

What the arrays of a file are called and how they are shaped is settled here; `avshot.files.arrays` opens the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.files.arrays import SUFFIXES, Array, map_npy, open_arrays, texts_of

Steps = tuple[np.ndarray, np.ndarray | None]  # values [time, dim] or [dim], and seconds [time] where they are known
_KNOWN = ("features", "offsets", "lengths", "times", "ids")


@dataclass(frozen=True)
class ClipArrays:
    """Features of one modality.

    Attributes:
        place: File or folder, for messages.
        count: How many clips there are.
        ids: Id of each of them; None where clips are known by position alone.
        read: Values and seconds of a clip by its number.
        unread: Arrays of the file that nothing reads.
    """

    place: str
    count: int
    ids: tuple[str, ...] | None
    read: Callable[[int], Steps]
    unread: tuple[str, ...] = ()


@contextmanager
def open_clip_arrays(place: str | Path) -> Iterator[ClipArrays]:
    """Open features, to be read clip by clip while the block runs; a `.npy` or `.h5` file is never in memory whole.

    Args:
        place: One of
            - `.npy`: `[clip, dim]` or `[clip, time, dim]`;
            - `.npz` or `.h5`: `features` as above, or `[step, dim]` with `offsets` `[clip + 1]`; `ids` `[clip]`,
              `lengths` `[clip]` and `times` in seconds are used where they are there;
            - `.h5` without `features`: one table `[dim]` or `[time, dim]` for each clip, named by its id;
            - a folder with `<id>.npy` for each clip, `[dim]` or `[time, dim]`.

    Raises:
        ValueError: Another kind of file, one that is damaged, or arrays that do not fit each other; the message names
            the file.
    """
    path = Path(place)
    if path.is_dir():
        yield _folder(path)
        return
    if not path.is_file():
        raise BadDataset(f"{path} is not there; expected a file of arrays ({', '.join(SUFFIXES)}) or a folder of .npy.")
    with open_arrays(path) as found:
        if path.suffix.lower() in (".h5", ".hdf5") and "features" not in found:
            if not found:
                raise BadDataset(f"{path} holds no arrays; expected features, or one table for each clip.")
            names = tuple(found)
            yield ClipArrays(str(path), len(names), names, lambda row: (found[names[row]][...], None))
        else:
            yield _named(str(path), found)


def _folder(path: Path) -> ClipArrays:
    files = sorted(file for file in path.rglob("*.npy") if not file.name.startswith("._"))  # those macOS leaves beside
    if not files:
        raise BadDataset(f"{path} holds no .npy files; expected <id>.npy for each clip.")
    names = tuple(file.relative_to(path).as_posix().removesuffix(".npy") for file in files)
    return ClipArrays(str(path), len(names), names, lambda row: (map_npy(files[row]), None))


def _named(place: str, found: Mapping[str, Array]) -> ClipArrays:
    if "features" not in found:
        raise BadDataset(f"{place} has the arrays {first_few(sorted(found)) or 'none'}; expected one called features.")
    if "offsets" in found and "lengths" in found:
        raise BadDataset(f"{place} has both offsets and lengths; keep one.")
    features = found["features"]
    if features.dtype.kind not in "biuf":
        raise BadDataset(f"{place}: features have values of the type {features.dtype}; expected numbers.")
    if "offsets" in found:
        count, read = _ragged(place, features, _whole(place, found, "offsets"), _times(place, found))
    else:
        count, read = _dense(place, features, _whole(place, found, "lengths"), _times(place, found))
    ids = tuple(texts_of(place, "ids", found["ids"])) if "ids" in found else None
    if ids is not None and len(ids) != count:
        raise BadDataset(f"{place} has {len(ids)} ids and features of {count} clips; expected one id for each.")
    return ClipArrays(place, count, ids, read, tuple(sorted(set(found) - set(_KNOWN))))


def _whole(place: str, found: Mapping[str, Array], name: str) -> np.ndarray | None:
    """Whole numbers `[n]`, or None where there is no such array."""
    if name not in found:
        return None
    array = found[name]
    if array.dtype.kind not in "iu" or len(array.shape) != 1:
        raise BadDataset(f"{place}: {name} has shape {array.shape} and type {array.dtype}; expected whole numbers [n].")
    return np.asarray(array[...]).astype(np.int64)


def _times(place: str, found: Mapping[str, Array]) -> np.ndarray | None:
    if "times" not in found:
        return None
    if found["times"].dtype.kind not in "iuf":
        raise BadDataset(f"{place}: times have values of the type {found['times'].dtype}; expected seconds.")
    return np.asarray(found["times"][...]).astype(np.float32)


def _ragged(
    place: str, features: Array, offsets: np.ndarray | None, times: np.ndarray | None
) -> tuple[int, Callable[[int], Steps]]:
    """Clip i has the steps `offsets[i]` to `offsets[i + 1]`."""
    assert offsets is not None
    if len(features.shape) != 2:
        raise BadDataset(f"{place}: features have shape {features.shape}; expected [step, dim] beside offsets.")
    steps = features.shape[0]
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != steps or bool((np.diff(offsets) < 0).any()):
        raise BadDataset(
            f"{place}: offsets do not cut the {steps} steps into clips; expected [clip + 1] whole numbers that begin "
            f"with 0, never fall, and end with {steps}."
        )
    if times is not None and times.shape != (steps,):
        raise BadDataset(f"{place}: times have shape {times.shape}; expected [{steps}], one for each step.")

    def read(row: int) -> Steps:
        part = slice(int(offsets[row]), int(offsets[row + 1]))
        return features[part], None if times is None else times[part]

    return len(offsets) - 1, read


def _dense(
    place: str, features: Array, lengths: np.ndarray | None, times: np.ndarray | None
) -> tuple[int, Callable[[int], Steps]]:
    """Clip i has row i: one vector, or as many steps as `lengths` says."""
    shape = features.shape
    if len(shape) not in (2, 3):
        raise BadDataset(f"{place}: features have shape {shape}; expected [clip, dim] or [clip, time, dim].")
    if len(shape) == 2 and (times is not None or lengths is not None):
        raise BadDataset(
            f"{place}: features have shape {shape}, one vector for each clip, so they need no times and no lengths; "
            "where these are steps, give offsets."
        )
    if lengths is not None and (
        lengths.shape != shape[:1] or bool((lengths < 0).any()) or bool((lengths > shape[1]).any())
    ):
        raise BadDataset(f"{place}: lengths are not {shape[0]} numbers from 0 to {shape[1]}, one for each clip.")
    if times is not None and times.shape not in (shape[:2], shape[1:2]):
        raise BadDataset(f"{place}: times have shape {times.shape}; expected {shape[:2]} or {shape[1:2]} seconds.")

    def read(row: int) -> Steps:
        end = None if lengths is None else int(lengths[row])
        if times is None:
            return features[row][:end], None
        return features[row][:end], (times[row] if times.ndim == 2 else times)[:end]

    return shape[0], (read if len(shape) == 3 else lambda row: (features[row], None))
