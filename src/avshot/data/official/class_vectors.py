"""Class vectors of the released benchmarks, joined to class names - by name, or as the authors' code joins them.

The authors sort the dictionary of vectors by its keys, the spelled-out names, and index it with class ids, which are
ranks of the *original* names. Where spelling out changes the order, every class in between gets its neighbour's vector
("CleanAndJerk" is keyed "Weight Lifting", which shifts most of UCF). `avshot audit` counts them.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avshot.classes.dictionary import read_class_vectors
from avshot.classes.names import join_key
from avshot.data.official.tables import Tables
from avshot.data.sources import first_few
from avshot.errors import BadDataset

_STEMS = {"UCF": ("ucf",), "ActivityNet": ("activity", "activitynet"), "VGGSound": ("vggsound",)}


def find_class_vectors(folder: Path, benchmark: str) -> dict[str, Path]:
    """Class-vector files in `folder`: `{"w2v": file}`, or `{"clip": file, "clap": file}` in the ClipClap release.

    Raises:
        ValueError: Something of that name is there that is no file, or cannot be reached.
    """
    if _is_there(folder, stat.S_ISDIR, "folder"):
        found = {
            prefix: path
            for prefix, stem in product(("", "wavcaps_"), _STEMS[benchmark])
            if _is_there(path := folder / _file_name(prefix, stem), stat.S_ISREG, "file")
        }
    else:
        found = {}
    if "wavcaps_" in found:
        return {"clip": found[""], "clap": found["wavcaps_"]} if "" in found else {"clap": found["wavcaps_"]}
    return {"w2v": found[""]} if found else {}


def lacks_class_vectors(folder: Path, benchmark: str) -> str:
    """What to tell where `find_class_vectors` finds none: what was expected, and what is in the folder."""
    there = sorted(path.name for path in folder.glob("*.npy"))
    return (
        f"{folder} holds no class vectors ({_file_name('', _STEMS[benchmark][0])}"
        f"{', but ' + first_few(there) if there else ''}), so class names are embedded by a text encoder, not by the "
        "released vectors."
    )


def file_of_class_vectors(benchmark: str) -> str:
    """What the file of class vectors of "UCF", "ActivityNet" or "VGGSound" is called in AVCA's release."""
    return _file_name("", _STEMS[benchmark][0])


def _file_name(prefix: str, stem: str) -> str:
    return f"{prefix}word_embeddings_{stem}_normed.npy"


def _is_there(path: Path, fits: Callable[[int], bool], kind: str) -> bool:
    """Whether there is such a file or folder; one that cannot be reached is an error, not the same as none."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return False
        raise BadDataset(f"The class vectors {path} cannot be reached ({error.strerror}); mend or remove it.") from None
    if not fits(mode):
        raise BadDataset(f"{path} is no {kind}; expected the released class vectors there, or nothing.")
    return True


def join_vectors(path: Path, tables: Tables, *, legacy: bool) -> Tensor:
    """The class vectors of a released file, `[name, dim]` in the order of `tables.names`.

    Args:
        path: A `.npy` file.
        tables: Which classes there are.
        legacy: Join by position, as the authors' code does.

    Raises:
        ValueError: There is no such file, or it cannot be joined.
    """
    if not path.is_file():
        raise BadDataset(f"There is no file {str(path)!r} of class vectors; give the path of a released .npy file.")
    vectors = read_class_vectors(path)
    return join_by_position(vectors, tables, path) if legacy else join_by_name(vectors, tables, path)


def join_by_name(vectors: Mapping[str, np.ndarray], tables: Tables, source: str | Path = "the vectors") -> Tensor:
    """Vector of each class, found under its spelled-out or its own name: `[name, dim]` in the order of `tables.names`.

    Raises:
        ValueError: A class has no vector; the message names classes and `source`, the file the vectors are from.
    """
    loose = {join_key(name): name for name in vectors}
    rows, lacking = [], []
    for name in tables.names:
        spelled = tables.phrases.get(name, name)
        key = next((k for k in (spelled, name) if k in vectors), None) or loose.get(
            join_key(spelled), loose.get(join_key(name))
        )
        if key is None:
            lacking.append(name)
        else:
            rows.append(vectors[key])
    if lacking:
        first = ", ".join(map(repr, lacking[:5]))
        raise BadDataset(
            f"{len(lacking)} {tables.benchmark} classes have no class vector in {source}: {first}; use another file."
        )
    return torch.from_numpy(np.stack(rows))


def join_by_position(vectors: Mapping[str, np.ndarray], tables: Tables, source: str | Path = "the file") -> Tensor:
    """The authors' join, wrong for many classes: row i of the vectors sorted by key goes to the class with id i.

    Raises:
        ValueError: There are not as many vectors in `source`, the file they are from, as classes.
    """
    if len(vectors) != len(tables.names):
        raise BadDataset(
            f"{len(vectors)} class vectors in {source} for {len(tables.names)} classes of {tables.benchmark}; "
            "joining by position (legacy) needs as many. Join by name instead."
        )
    return torch.from_numpy(np.stack([vectors[key] for key in sorted(vectors)]))


def released_vectors(
    tables: Tables, benchmark: str, folder: Path | None, text: Mapping[str, str | Path] | None, *, legacy: bool
) -> tuple[dict[str, Tensor], list[str]]:
    """The class vectors of a benchmark, and what to tell of them.

    Args:
        tables: Of the benchmark.
        benchmark: Its name.
        folder: Where they are looked for; None = nowhere.
        text: `{encoder: .npy file}` in place of what lies there.
        legacy: Join by position as the authors' code does.

    Raises:
        ValueError: A file is damaged or lacks a class.
    """
    files = text if text is not None else {} if folder is None else find_class_vectors(folder, benchmark)
    notes = [lacks_class_vectors(folder, benchmark)] if folder is not None and not files else []
    if legacy:
        notes.append("Class vectors are joined by position, wrong for many classes, to compare with published numbers.")
    return {encoder: join_vectors(Path(path), tables, legacy=legacy) for encoder, path in files.items()}, notes
