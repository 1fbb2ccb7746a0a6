"""`Batch`: what a method learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.types.classes import Classes
from avshot.types.features import Features


@dataclass(frozen=True)
class Batch:
    """What a method learns from.

    Attributes:
        features: The clips.
        labels: `[clip]` long, index into `classes`.
        classes: The training classes of this stage (all of them, not only those in the batch).
        negative: For methods that ask for it (`Needs.negatives`): as many clips of other classes, row by row.
        pool: The named set of training clips that it was drawn from; empty where the turn of the training names none.
    """

    features: Features
    labels: Tensor
    classes: Classes
    negative: Batch | None = None
    pool: str = ""

    def __len__(self) -> int:
        return len(self.features)

    def to(self, device: torch.device | str) -> Batch:
        """Move every tensor to `device`."""
        negative = None if self.negative is None else self.negative.to(device)
        return Batch(self.features.to(device), self.labels.to(device), self.classes.to(device), negative, self.pool)
