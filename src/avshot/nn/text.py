"""Class embeddings of several text encoders, in the order a method was built for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from avshot.types import Classes


def text_entries(classes: Classes, widths: Mapping[str, int]) -> list[Tensor]:
    """The entries of `classes.text` in the order of `widths`, each `[class, dim]`.

    Entries are found by name, so their order in `classes.text` does not matter. Where the names are others (weights
    trained with another file of the same encoder), they are taken in their own order if their widths agree.

    Args:
        classes: The classes.
        widths: Name and width of each entry, as in `Inputs.text`.

    Raises:
        ValueError: An entry is missing or has another width.
    """
    names = list(widths) if set(widths) <= set(classes.text) else list(classes.text)
    if [classes.dims[name] for name in names] != list(widths.values()):
        raise ValueError(
            f"The method was built for class embeddings {dict(widths)} (name: width); got {classes.dims}. "
            f"Embed the classes with the same text encoders."
        )
    return [classes.text[name] for name in names]
