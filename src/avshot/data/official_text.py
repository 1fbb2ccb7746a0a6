"""Class vectors of the released benchmarks, joined to class names - by name, or as the authors' code joins them.

The authors sort the dictionary of vectors by its keys, the spelled-out names, and index it with class ids, which are
ranks of the *original* names. Where spelling out changes the order, every class in between gets its neighbour's vector
("CleanAndJerk" is keyed "Weight Lifting", which shifts most of UCF). `avshot audit` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avshot.data.official_tables import Tables

_STEMS = {"UCF": ("ucf",), "ActivityNet": ("activity", "activitynet"), "VGGSound": ("vggsound",)}


def find_class_vectors(folder: Path, benchmark: str) -> dict[str, Path]:
    """Class-vector files in `folder`: `{"w2v": file}`, or `{"clip": file, "clap": file}` in the ClipClap release."""
    found = {}
    for stem in _STEMS[benchmark]:
        for prefix in ("", "wavcaps_"):
            path = folder / f"{prefix}word_embeddings_{stem}_normed.npy"
            if path.is_file():
                found[prefix] = path
    if "wavcaps_" in found:
        return {"clip": found[""], "clap": found["wavcaps_"]} if "" in found else {"clap": found["wavcaps_"]}
    return {"w2v": found[""]} if found else {}


def read_class_vectors(path: str | Path) -> dict[str, np.ndarray]:
    """Read a released dictionary `{spelled-out name: float32 [dim]}`.

    Raises:
        ValueError: The file holds something else, or vectors of different lengths.
    """
    from avshot.data.unpickle import restricted_load

    content = restricted_load(path)
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a dictionary of class name -> vector.")
    vectors = {str(name): np.asarray(vector, dtype=np.float32).reshape(-1) for name, vector in content.items()}
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise ValueError(f"{path} holds vectors of different lengths; expected one length.")
    return vectors


def join_by_name(vectors: Mapping[str, np.ndarray], tables: Tables) -> Tensor:
    """Vector of each class, found under its spelled-out or its own name: `[name, dim]` in the order of `tables.names`.

    Raises:
        ValueError: A class has no vector.
    """
    loose = {_key(name): name for name in vectors}
    rows, lacking = [], []
    for name in tables.names:
        spelled = tables.phrases.get(name, name)
        key = next((k for k in (spelled, name) if k in vectors), None) or loose.get(
            _key(spelled), loose.get(_key(name))
        )
        if key is None:
            lacking.append(name)
        else:
            rows.append(vectors[key])
    if lacking:
        first = ", ".join(map(repr, lacking[:5]))
        raise ValueError(f"{len(lacking)} {tables.benchmark} classes have no class vector: {first}; use another file.")
    return torch.from_numpy(np.stack(rows))


def join_by_position(vectors: Mapping[str, np.ndarray], tables: Tables) -> Tensor:
    """The authors' join, wrong for many classes: row i of the vectors sorted by key goes to the class with id i.

    Raises:
        ValueError: There are not as many vectors as classes.
    """
    if len(vectors) != len(tables.names):
        raise ValueError(
            f"{len(vectors)} class vectors for {len(tables.names)} classes of {tables.benchmark}; "
            "joining by position (legacy) needs as many. Join by name instead."
        )
    return torch.from_numpy(np.stack([vectors[key] for key in sorted(vectors)]))


def _key(name: str) -> str:
    return "".join(name.lower().split())
