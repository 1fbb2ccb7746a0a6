"""What is kept of each class, as rows that are found by the class embedding, not by position or name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from avshot.types import Classes

SAME = 1e-5  # largest difference in any number of two embeddings of one class: rounding of another device or library


class ClassRows(nn.Module):
    """Buffers with one row for each distinct class embedding; how many rows there are, training says.

    The same classes in another order, or some of them, find the same rows. Classes with equal embeddings share one.

    Args:
        text_dim: Width of class embeddings.
        widths: Name of each further buffer and the width of its rows; None for a single number in each.
    """

    embedding: Tensor

    def __init__(self, text_dim: int, **widths: int | None) -> None:
        super().__init__()
        self.register_buffer("embedding", torch.zeros(0, text_dim))
        for name, width in widths.items():
            self.register_buffer(name, torch.zeros(0) if width is None else torch.zeros(0, width))
        self._kept = ("embedding", *widths)

    def rows_of(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """For each class embedding of `text [class, text_dim]` the nearest row, and whether it is the same class."""
        if len(self.embedding) == 0 or len(text) == 0:
            return text.new_zeros(len(text), dtype=torch.long), text.new_zeros(len(text), dtype=torch.bool)
        near, row = torch.cdist(text, self.embedding, p=float("inf")).min(dim=1)
        return row, near <= SAME

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take as many rows as were saved."""
        for name in self._kept:
            own, saved = getattr(self, name), state_dict.get(f"{prefix}{name}")
            if saved is not None and saved.ndim == own.ndim and saved.shape[1:] == own.shape[1:]:
                setattr(self, name, own.new_zeros(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def only_text(classes: Classes) -> Tensor:
    """The one class embedding `[class, text_dim]`. Raises ValueError where there are several."""
    (vectors,) = classes.text.values()
    return vectors
