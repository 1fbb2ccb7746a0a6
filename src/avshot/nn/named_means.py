"""What a class name says of where the clips of the class lie: class means from class embeddings, by ridge regression.

One row of the regression is one class, however many clips it has, so classes count alike. All of it is closed: the
prediction for a class by the regression that was made without it comes from the same matrix (Allen, "The Relationship
between Variable Selection and Data Augmentation and a Method for Prediction", Technometrics 1974: the PRESS residual
is the residual over 1 - h), and the penalty is the one with the smallest error of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST = 3  # classes: with fewer a regression has nothing to be tried on
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)  # tried, in units of the mean eigenvalue of the kernel matrix


@dataclass(frozen=True)
class NamedMeans:
    """Class means as a linear function of class embeddings.

    Attributes:
        map: `[text_dim, dim]`.
        offset: `[dim]`, added.
        mean: `[dim]`, the mean of the class means: what a name says that says nothing.
        left_out: `[class, dim]`, of each class what its name predicts by the regression without that class.
        penalty: The one in use, as given.
    """

    map: Tensor
    offset: Tensor
    mean: Tensor
    left_out: Tensor
    penalty: float

    def __call__(self, text: Tensor) -> Tensor:
        """Means `[class, dim]` that class embeddings `text [class, text_dim]` predict."""
        return text @ self.map + self.offset


def fit_named_means(text: Tensor, means: Tensor, penalties: Sequence[float] = PENALTIES) -> NamedMeans:
    """Ridge regression from class embeddings to class means.

    With fewer than three classes, or where all embeddings are the same, every name predicts the mean of the means.

    Args:
        text: `[class, text_dim]`, at least one.
        means: `[class, dim]`.
        penalties: Tried, the strongest of equals wins.
    """
    count, centre, mean = len(text), text.mean(dim=0), means.mean(dim=0)
    inputs, targets = text - centre, means - mean
    kernel = inputs @ inputs.T
    unit = kernel.trace() / count
    if count < FEWEST or float(unit) <= 0:
        others = (means.sum(dim=0) - means) / max(count - 1, 1)
        return NamedMeans(text.new_zeros(text.shape[1], means.shape[1]), mean, mean, others, max(penalties))
    identity, best = torch.eye(count, dtype=text.dtype, device=text.device), None
    for penalty in sorted(penalties, reverse=True):
        inverse = torch.linalg.inv(kernel + penalty * unit * identity)
        hat = kernel @ inverse + 1 / count
        residual = (means - hat @ targets - mean) / (1 - hat.diagonal())[:, None]
        error = float(residual.square().sum())
        if best is None or error < best[0] * (1 - 1e-9):
            slope = inputs.T @ inverse @ targets
            best = (error, NamedMeans(slope, mean - centre @ slope, mean, means - residual, penalty))
    assert best is not None
    return best[1]
