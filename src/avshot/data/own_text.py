"""Class vectors that came with a declared dataset, joined to its classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.classes.encoder import unit_rows
from avshot.classes.named_vectors import read_named_vectors
from avshot.classes.names import join_key
from avshot.errors import BadDataset

_SHOWN = 5  # classes named one by one in an error


def read_own_text(path: Path, stated: Any, names: Sequence[str], phrases: Mapping[str, str]) -> dict[str, Tensor]:
    """The vectors that the section `[text]` of a dataset names: `{encoder: [name, dim]}` with unit rows.

    Args:
        path: The `.toml`; files are relative to it.
        stated: The section: `{encoder: file}`.
        names: Classes of the dataset.
        phrases: `{class: words}`: a class is looked up under its name, then under its words.

    Raises:
        ValueError: Another form, a file that is not there or no such file, or a class without a vector.
    """
    if not isinstance(stated, dict) or not all(isinstance(file, str) for file in stated.values()):
        raise BadDataset(f'{path} has [text] of another form; expected lines  encoder = "file of class vectors".')
    found = {}
    for encoder, file in stated.items():
        place = path.parent / file
        if not place.is_file():
            raise BadDataset(f"{path} keeps the class vectors {encoder!r} in {place}, which is not there.")
        found[encoder] = unit_vectors(pick_vectors(read_named_vectors(place), names, phrases, place))
    return found


def pick_vectors(
    vectors: Mapping[str, np.ndarray], names: Sequence[str], phrases: Mapping[str, str], source: str | Path
) -> dict[str, np.ndarray]:
    """The vector of each class, found under its name or its words, however they are spelt: `{class: [dim]}`.

    Args:
        vectors: `{name: [dim]}`, no two names of one class; what no class means is left out.
        names: Classes.
        phrases: `{class: words}` where they differ.
        source: Where the vectors are from.

    Raises:
        ValueError: Classes without a vector; the message names them and what is near.
    """
    spelt = {join_key(name): name for name in vectors}
    found, lacking = {}, []
    for name in names:
        keys = [join_key(name), join_key(phrases.get(name, name))]
        key = next((spelt[key] for key in keys if key in spelt), None)
        if key is None:
            near = [spelt[key] for key in get_close_matches(keys[0], list(spelt), n=1)]
            lacking.append(f"{name!r} (nearest: {near[0]!r})" if near else repr(name))
        else:
            found[name] = vectors[key]
    if lacking:
        more = ", ..." if len(lacking) > _SHOWN else ""
        raise BadDataset(
            f"{source} has no vector for {len(lacking)} of {len(names)} classes: {', '.join(lacking[:_SHOWN])}{more}; "
            "add them, or spell the names alike."
        )
    return found


def unit_vectors(vectors: Mapping[str, np.ndarray]) -> Tensor:
    """Vectors `{class: [dim]}` as `[class, dim]` of length 1, as every text encoder gives them."""
    return unit_rows(torch.from_numpy(np.stack(list(vectors.values()))).float(), list(vectors))
