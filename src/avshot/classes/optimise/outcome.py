"""What class-embedding optimisation did to the geometry of the classes, in numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avshot.classes.optimise import Order
from avshot.classes.optimise.losses import own_entries, pairwise_distance, row_chunks
from avshot.classes.optimise.rows import sort_rows, tied_ranges

NEAR = 5  # "near before" means among this many nearest neighbours
_TIE = 2.0**-40  # distances closer than this have the same rank
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
    nearer = torch.zeros(count, dtype=torch.int64, device=before.device)  # classes nearer before than the nearest after
    for rows in row_chunks(count, count) if count > 1 else ():
        between = pairwise_distance(before[rows], before)
        own_entries(between, rows).fill_(float("inf"))
        nearer[rows] = (between < between.gather(1, new[1][rows, None]) - SAME).sum(dim=1)
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
    distance, which = vectors.new_empty(len(vectors)), torch.empty(len(vectors), dtype=torch.int64).to(vectors.device)
    for rows in row_chunks(len(vectors), len(vectors)):
        between = pairwise_distance(vectors[rows], vectors).clamp(min=0)
        own_entries(between, rows).fill_(float("inf"))
        distance[rows], which[rows] = between.min(dim=1)
    return distance, which


def rank_correlation(before: Tensor | Order, after: Tensor) -> float:
    """Mean over classes of Spearman's correlation between a class's cosine distances to the others before and after.

    Args:
        before: `[class, dim]`, or the order of its cosine distances.
        after: `[class, any dim]`.

    Returns:
        -1 to 1. A class whose distances were all equal had no order to lose: 1. Fewer than three classes: 1.
    """
    if len(before) < 3:
        return 1.0
    order = before if isinstance(before, Order) else Order.of(before)
    rho = [_correlations(order, after, rows) for rows in row_chunks(len(after), len(after))]
    return float(torch.cat(rho).mean())


def _correlations(order: Order, after: Tensor, rows: slice) -> Tensor:
    """Spearman's correlation of each class of `rows`; ranks are doubled and centred."""
    others = len(after) - 1
    new = pairwise_distance(after[rows], after)
    own_entries(new, rows).fill_(float("inf"))
    values, nearest = sort_rows(new)
    _, low, high = order.rows(rows)
    was = (low.int() + high - others).gather(1, nearest)[:, :-1].to(new.dtype)  # the class itself comes last
    low, high = tied_ranges(values[:, :-1], _TIE)
    now = (low + high - others).to(new.dtype)
    spread = was.norm(dim=1)
    return torch.where(spread == 0, 1.0, (was * now).sum(dim=1) / (spread * now.norm(dim=1)).clamp(min=SAME))
