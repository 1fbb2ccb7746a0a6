"""The factors of classes (`avshot.types.Factor`): embedded as the classes are, and as tensors of a Run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from avshot.classes.candidates import class_embeddings
from avshot.classes.names import spoken
from avshot.classes.wording import Wording
from avshot.types import Classes, Factor

_PREFIX = "factor/"


def with_factors(
    classes: Classes,
    of_class: Mapping[str, Mapping[str, str]],
    words: Mapping[str, Sequence[str]],
    wording: Wording,
    *,
    own: Mapping[str, Mapping[str, Tensor]],
    opposites: Mapping[str, Sequence[int]],
) -> Classes:
    """The classes with their factors, whose values are embedded as the names of classes are, without descriptions.

    Args:
        classes: Embedded classes.
        of_class: `{factor: {class name: value}}`.
        words: `{factor: its values in order}`; values of no class among them.
        wording: How the classes were embedded.
        own: `{encoder: {factor: [value, dim]}}`: word vectors that came with the dataset.
        opposites: `{factor: [value] place of the antonym or -1}` for the factors that have antonyms.

    Raises:
        ValueError: A value that a text encoder cannot embed.
    """
    plain, factors = replace(wording, descriptions=None, separate=False), {}
    for factor, values in words.items():
        spelt = {value: spoken(value) for value in values if "_" in value}
        vectors = {encoder: parts[factor] for encoder, parts in own.items()}
        text = class_embeddings(tuple(values), plain, words=spelt, own=vectors).text
        place = {value: i for i, value in enumerate(values)}
        index = torch.tensor([place[of_class[factor][name]] for name in classes.names], dtype=torch.long)
        opposite = torch.tensor(opposites[factor], dtype=torch.long) if factor in opposites else None
        factors[factor] = Factor(index, tuple(values), text, opposite)
    return replace(classes, factors=factors)


def factor_tensors(classes: Classes) -> dict[str, Tensor]:
    """`factor/NAME/index`, `factor/NAME/opposite` where it has antonyms, and `factor/NAME/text/ENCODER`."""
    found: dict[str, Tensor] = {}
    for name, factor in classes.factors.items():
        found[f"{_PREFIX}{name}/index"] = factor.index
        if factor.opposite is not None:
            found[f"{_PREFIX}{name}/opposite"] = factor.opposite
        found |= {f"{_PREFIX}{name}/text/{encoder}": vectors for encoder, vectors in factor.text.items()}
    return found


def read_factors(tensors: Mapping[str, Tensor], words: Mapping[str, Sequence[str]], classes: int) -> dict[str, Factor]:
    """What `factor_tensors` wrote.

    Args:
        tensors: Content of the file.
        words: `{factor: its values}`.
        classes: How many classes there are.

    Raises:
        ValueError: A factor is not there, or does not fit its values or the classes.
    """
    found = {}
    for name, values in words.items():
        own = f"{_PREFIX}{name}/"
        index = tensors.get(f"{own}index")
        if index is None or len(index) != classes:
            raise ValueError(f"Factor {name!r} is not there for the {classes} classes.")
        text = {key.removeprefix(f"{own}text/"): v for key, v in tensors.items() if key.startswith(f"{own}text/")}
        found[name] = Factor(index, tuple(values), text, tensors.get(f"{own}opposite"))
    return found
