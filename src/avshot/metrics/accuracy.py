"""Metrics of (generalised) zero-shot recognition as pure functions of a score matrix.

Scores are `[clip, class]`, higher is better. `seen` marks the columns that had training clips. Accuracies are
fractions in [0, 1] and averaged over classes, never over clips (Xian et al., "Zero-Shot Learning - A Comprehensive
Evaluation of the Good, the Bad and the Ugly", TPAMI 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor


def per_class_accuracy(right: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Fraction of each class's clips predicted right.

    Args:
        right: `[clip]` bool: what was predicted is the true class.
        labels: `[clip]` true class.
        n_classes: Number of classes.

    Returns:
        `[class]` float64; NaN for a class without clips (drop these before averaging).

    Example:
        >>> per_class_accuracy(torch.tensor([True, False]), torch.tensor([0, 1]), 3)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    total = torch.bincount(labels, minlength=n_classes).double()
    correct = torch.bincount(labels[right], minlength=n_classes).double()
    return correct / torch.where(total > 0, total, torch.nan)
