"""The factors of classes (`avshot.types.Factor`) as tensors of a Run: their words stand in `run.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from avshot.types import Classes, Factor

_PREFIX = "factor/"


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
