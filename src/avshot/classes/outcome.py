"""What class-embedding optimisation did to the geometry of the classes, in numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avshot.losses import pairwise_distance

NEAR = 5  # "near before" means among this many nearest neighbours
SAME = 1e-6  # cosine distances closer than this are equal up to rounding


@dataclass(frozen=True)
class Outcome:
    """What class-embedding optimisation did. Distances are cosine distances (0 to 2) whatever the loss used.

    Attributes:
        settings: The settings it ran with, by field.
        names: Class names, or their positions as text when they were not given.
        nearest_before: Distance of each class to its nearest neighbour before.
        nearest_after: The same after.
        neighbour_before: Position of that neighbour before; -1 for a single class.
        neighbour_after: The same after.
        correlation: Spearman correlation of each class's distances to the others, before against after; mean over
            classes; 1 when there are fewer than two others.
        kept: Fraction of classes whose nearest neighbour after was the nearest before.
        kept_near: Fraction of classes whose nearest neighbour after was among the five nearest before.
        duplicates: Positions of classes whose vector equals an earlier class's: they stay equal.
        steps: Steps taken; the last may be a fraction of one.
        stopped: Why: "growth", "correlation", "converged", "max_steps" or "nothing to do".
        history: One entry per step: the unweighted loss terms before it, `nearest` (mean) and `correlation` after it.
    """

    settings: dict[str, Any]
    names: tuple[str, ...]
    nearest_before: tuple[float, ...]
    nearest_after: tuple[float, ...]
    neighbour_before: tuple[int, ...]
    neighbour_after: tuple[int, ...]
    correlation: float
    kept: float
    kept_near: float
    duplicates: tuple[int, ...]
    steps: int
    stopped: str
    history: tuple[dict[str, float], ...]

    @property
    def mean_before(self) -> float:
        """Mean nearest-neighbour distance before; 0 for a single class."""
        return sum(self.nearest_before) / max(len(self.nearest_before), 1)

    @property
    def mean_after(self) -> float:
        """Mean nearest-neighbour distance after; 0 for a single class."""
        return sum(self.nearest_after) / max(len(self.nearest_after), 1)

    @property
    def growth(self) -> float:
        """`mean_after / mean_before`; 1 when the latter is 0."""
        return self.mean_after / self.mean_before if self.mean_before > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Everything as json-able values, neighbours by name."""
        data = dataclasses.asdict(self)
        for key in ("neighbour_before", "neighbour_after"):
            data[key] = [None if i < 0 else self.names[i] for i in getattr(self, key)]
        data["duplicates"] = [self.names[i] for i in self.duplicates]
        return data | {
            "growth": self.growth,
            "mean_before": self.mean_before,
            "mean_after": self.mean_after,
            "min_before": min(self.nearest_before),
            "min_after": min(self.nearest_after),
        }


def measure(before: Tensor, after: Tensor) -> dict[str, Any]:
    """The geometric fields of an `Outcome`.

    Args:
        before: Class embeddings `[class, dim]`.
        after: Class embeddings `[class, any dim]`, the same classes in the same order.
    """
    old, new = nearest(before), nearest(after)
    count = len(before)
    nearer = torch.zeros(count, device=before.device)
    if count > 1:
        between = pairwise_distance(before, before).fill_diagonal_(float("inf"))
        nearer = (between < between.gather(1, new[1][:, None]) - SAME).sum(dim=1)  # classes nearer before than it
    return {
        "nearest_before": tuple(old[0].tolist()),
        "nearest_after": tuple(new[0].tolist()),
        "neighbour_before": tuple(old[1].tolist()),
        "neighbour_after": tuple(new[1].tolist()),
        "correlation": rank_correlation(before, after),
        "kept": float((nearer == 0).double().mean()),
        "kept_near": float((nearer < NEAR).double().mean()),
    }


def nearest(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine distance of each class `[class]` to its nearest other class, and that class's position `[class]`.

    A single class gives 0 and -1.
    """
    if len(vectors) < 2:
        return vectors.new_zeros(len(vectors)), torch.full((len(vectors),), -1, device=vectors.device)
    between = pairwise_distance(vectors, vectors).clamp(min=0).fill_diagonal_(float("inf"))
    distance, which = between.min(dim=1)
    return distance, which


def rank_correlation(before: Tensor, after: Tensor) -> float:
    """Mean over classes of Spearman's correlation between a class's cosine distances to the others before and after.

    Args:
        before: `[class, dim]`.
        after: `[class, any dim]`.

    Returns:
        -1 to 1. A class whose distances were all equal had no order to lose: 1. Fewer than three classes: 1.
    """
    if len(before) < 3:
        return 1.0
    old, new = _centred_ranks(before), _centred_ranks(after)
    size = old.norm(dim=1) * new.norm(dim=1)
    rho = (old * new).sum(dim=1) / size.clamp(min=SAME)
    return float(torch.where(old.norm(dim=1) == 0, 1.0, rho).mean())


def _centred_ranks(vectors: Tensor) -> Tensor:
    """Ranks of each class's distances to the others, tied ones averaged, minus their mean: `[class, class - 1]`."""
    count = len(vectors)
    itself = torch.eye(count, dtype=torch.bool, device=vectors.device)
    rows = pairwise_distance(vectors, vectors)[~itself].reshape(count, count - 1)
    rows = torch.round(rows * 2**40) if rows.dtype == torch.float64 else rows  # equal up to rounding is a tie
    ordered = rows.sort(dim=1).values
    low = torch.searchsorted(ordered, rows, side="left")
    high = torch.searchsorted(ordered, rows, side="right")
    return (low + high - rows.shape[1]).to(vectors.dtype) / 2
