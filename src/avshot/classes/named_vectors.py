"""Class vectors with their names, from any of the files that hold whole names: never joined to classes by position.

- `text.npy`: a dictionary {name: vector}, as the released benchmarks have it; or an array `[class, dim]` whose names
  stand in `text.names.txt` beside it, line i for row i
- `text.npz`: arrays `names` `[class]` and `vectors` `[class, dim]`
- `text.safetensors`: what avshot keeps: `vectors`, and the names in its header
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avshot.classes.dictionary import checked_vectors, read_class_vectors
from avshot.classes.name_list import read_name_list
from avshot.classes.names import join_key, refuse_alike, tidy
from avshot.errors import BadSetting
from avshot.files.arrays import is_plain_npy, open_arrays, texts_of
from avshot.files.atomic import load_tensors, tensors_bytes
from avshot.files.pickles.reader import check_regular

SUFFIXES = (".npy", ".npz", ".safetensors")


def read_named_vectors(path: str | Path, names: str | Path | None = None) -> dict[str, np.ndarray]:
    """Read `{name: float32 [dim]}`; no code of the file runs.

    Args:
        path: One of the files above.
        names: Text file with the names of the rows of a plain `.npy` array; None takes `<stem>.names.txt` beside it.

    Raises:
        ValueError: Another file, an array without names or with as many names as it has no rows, names beside a file
            that has its own, two names for one class, vectors of different lengths or without a direction.
        OSError: There is no such file.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise BadSetting(f"{path} is no file of class vectors; expected {', '.join(SUFFIXES)}.")
    check_regular(path)
    if path.suffix == ".npy" and is_plain_npy(path):
        return _plain(path, names)
    if names is not None:
        raise BadSetting(f"{path} has names of its own, so those of {names} are not needed; leave them out.")
    found = {".npy": read_class_vectors, ".npz": _npz, ".safetensors": _kept}[path.suffix](path)
    if len({join_key(text) for text in found}) != len(found):
        raise BadSetting(f"{path} holds texts that differ in case or spaces alone; keep one of each.")
    return found


def named_vectors_bytes(path: str | Path, vectors: dict[str, np.ndarray]) -> bytes:
    """The content of a `.safetensors` file that `read_named_vectors` reads back; `path` is for messages alone."""
    import torch

    stacked = torch.from_numpy(np.stack(list(vectors.values())))
    return tensors_bytes(path, {"vectors": stacked}, about={"names": list(vectors)})


def _plain(path: Path, names: str | Path | None) -> dict[str, np.ndarray]:
    beside = path.with_name(f"{path.stem}.names.txt")
    if names is None and not beside.is_file():
        raise BadSetting(
            f"{path} holds an array without names, and rows are not joined to classes by position; expected a "
            f"dictionary of class name -> vector, or a list of names, one per line: {beside} (or pass --names FILE)."
        )
    source = beside if names is None else Path(names)
    with open_arrays(path) as found:
        return _joined(path, read_name_list(source), found["features"][...], str(source))


def _npz(path: Path) -> dict[str, np.ndarray]:
    with open_arrays(path) as found:
        lacking = [name for name in ("names", "vectors") if name not in found]
        if lacking:
            raise BadSetting(f"{path} has the arrays {', '.join(sorted(found))}; expected names and vectors.")
        try:
            named = [tidy(name) for name in texts_of(path, "names", found["names"])]
        except ValueError as error:
            raise BadSetting(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        return _joined(path, named, found["vectors"][...], "names")


def _joined(path: Path, names: Sequence[str], vectors: np.ndarray, source: str) -> dict[str, np.ndarray]:
    if vectors.ndim != 2:
        raise BadSetting(f"{path} holds an array of shape {vectors.shape}; expected class vectors [class, dim].")
    if len(names) != len(vectors) or not names:
        raise BadSetting(f"{path} holds {len(vectors)} vectors and {source} {len(names)} names; expected one each.")
    refuse_alike(names, f"{path}: ")  # twice the same would be lost in a dictionary
    return checked_vectors(path, dict(zip(names, vectors, strict=True)))


def _kept(path: Path) -> dict[str, np.ndarray]:
    tensors, about = load_tensors(path)
    if set(tensors) != {"vectors"} or not isinstance(about.get("names"), list):
        raise BadSetting(f"{path} holds no class vectors that avshot kept; expected vectors, and names in its header.")
    return _joined(path, about["names"], tensors["vectors"].numpy(), "its header")
