"""Class vectors that came with a declared dataset, joined to its classes by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.encoder import unit_rows
from avshot.classes.named_vectors import read_named_vectors
from avshot.classes.names import join_key
from avshot.data.pairs import Pairs
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


def own_text_of(
    path: Path, stated: Any, names: Sequence[str], phrases: Mapping[str, str], pairs: Pairs | None
) -> tuple[dict[str, Tensor], Pairs | None]:
    """The vectors that a dataset brings of its classes, and where they are pairs, the pairs with those of their words.

    A pair without a vector of its own, under its name, has the mean of those of its two words, at length 1.

    Args:
        path: The `.toml`.
        stated: Its section `[text]`.
        names: Classes.
        phrases: `{class: words}`.
        pairs: What pair each class is; None where they are plain.

    Raises:
        ValueError: As `read_own_text`; for a word of a pair likewise.
    """
    if pairs is None or not stated:
        return read_own_text(path, stated, names, phrases), pairs
    words = [word for of in pairs.words.values() for word in of]
    found = read_own_text(path, stated, list(dict.fromkeys(words)), {})
    place = {word: i for i, word in enumerate(dict.fromkeys(words))}
    text, own = {}, {}
    for encoder, vectors in found.items():
        parts = {factor: vectors[[place[word] for word in of]] for factor, of in pairs.words.items()}
        rows = [[place[of[name]] for name in names] for of in (pairs.actions, pairs.adverbs)]
        means = F.normalize(vectors[rows[0]] + vectors[rows[1]], dim=1)
        there = read_named_vectors(path.parent / stated[encoder])
        spelt = {join_key(name): torch.from_numpy(vector).float() for name, vector in there.items()}
        for i, name in enumerate(names):
            if (vector := spelt.get(join_key(name))) is not None:
                means[i] = F.normalize(vector, dim=0)
        text[encoder], own[encoder] = means, parts
    return text, replace(pairs, text=own)


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
