"""A linear classifier with a row for each trained class, found by the name of the class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.types import Classes


class ClassHead(nn.Linear):
    """Logits of the trained classes; a method with one is closed (`avshot.method.Method.closed`).

    Args:
        dim: Width of what is classified.
        names: The trained classes (`avshot.method.Inputs.classes`), in the order of `Batch.classes`.
        bias: Whether there is a bias for each class.

    Raises:
        ValueError: No names: a classifier must know its classes when it is built.
    """

    def __init__(self, dim: int, names: Sequence[str], *, bias: bool = True) -> None:
        if not names:
            raise BadSetting("A classifier has a row for each trained class; got none. Name them in Inputs.classes.")
        super().__init__(dim, len(names), bias=bias)
        self.names = tuple(names)
        self._row = {name: row for row, name in enumerate(names)}

    def columns(self, logits: Tensor, classes: Classes) -> Tensor:
        """Of `logits [clip, trained class]` those of the candidates `classes`, in their order: `[clip, class]`.

        Raises:
            ValueError: A candidate is no trained class.
        """
        strange = [name for name in classes.names if name not in self._row]
        if strange:
            raise BadSetting(
                f"Class {strange[0]!r} has no row in the classifier, which knows {len(self._row)} trained classes; "
                "only these can be scored."
            )
        rows = [self._row[name] for name in classes.names]
        return logits.index_select(1, torch.tensor(rows, dtype=torch.long, device=logits.device))
