"""Running means of the training clips of each class: what a generator is told that knows classes by their clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avshot.nn import batch_means as together
from avshot.types import Classes


class ClassMeans(nn.Module):
    """The mean vector of each trained class over all clips that training has drawn.

    Batches are drawn with replacement and balanced over classes, so each clip of a class counts alike in the long run:
    the mean nears that of its clips. A number that no clip of a class has (a missing modality) is 0.

    Args:
        names: The trained classes, in the order of `Batch.classes`.
        dim: Width of the vectors.
    """

    total: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str], dim: int) -> None:
        super().__init__()
        self._row = {name: row for row, name in enumerate(names)}
        self.register_buffer("total", torch.zeros(len(self._row), dim))
        self.register_buffer("count", torch.zeros(len(self._row), dim))

    def add(self, value: Tensor, mask: Tensor, labels: Tensor, classes: Classes) -> None:
        """Take in `value [clip, dim]`, of which `mask [clip, dim]` is real, labelled among `classes`."""
        row = self._rows(classes)[labels]
        new = [torch.zeros_like(self.total).index_add_(0, row, part) for part in _parts(value.detach(), mask)]
        for kept, part in zip((self.total, self.count), new, strict=True):
            kept += together.total(part)

    def forward(self, classes: Classes) -> Tensor:
        """Means of `classes`: `[class, dim]`.

        Raises:
            ValueError: A class is none of the trained ones.
        """
        row = self._rows(classes)
        return self.total[row] / self.count[row].clamp(min=1)

    def _rows(self, classes: Classes) -> Tensor:
        strange = [name for name in classes.names if name not in self._row]
        if strange:
            raise ValueError(f"Class {strange[0]!r} is none of the {len(self._row)} trained classes.")
        return torch.tensor([self._row[name] for name in classes.names], device=self.total.device)


def _parts(value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Real values, and a one for each."""
    real = mask.to(torch.float32)
    return value.to(torch.float32) * real, real
