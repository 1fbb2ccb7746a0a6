"""Class-embedding optimisation: classes farther apart, their relations kept (EZ-AVGZL, section 3.2).

Paper: Mo and Morgado, "Audio-visual Generalized Zero-shot Learning the Easy Way" (EZ-AVGZL), ECCV 2024. No code was
released. New embeddings w start at the text embeddings t and descend (1 - alpha) L_sem + alpha L_sep (eq. 4), their
rows scaled to length 1 after every step. What the paper leaves open, and how we close it, is in
`docs/class-embedding-optimisation.md`; the main point: run to convergence the loss forgets the meaning of the names, so
**when to stop** is a setting here, stated in terms of the result and not as a number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.losses import DISTANCES, REDUCTIONS, pairwise_distance, proximity_loss, ranking_loss, separation_loss
from avshot.types import Classes

SEMANTIC = ("ranking", "proximity", "none")
_SAME = 1e-6  # cosine distance below which two class vectors are the same up to rounding
_HALVINGS = 30  # of the last step
_PATIENCE = 100  # steps without progress that end a run


@dataclass(frozen=True)
class OptimiseConfig:
    """Settings of class-embedding optimisation; the defaults' reasons are in the docs page."""

    semantic: str = "ranking"  # semantic loss: "ranking" (eq. 3, the paper's best), "proximity" (eq. 2), "none"
    alpha: float = 0.5  # weight of the separation loss, 1 - alpha of the semantic loss; paper 0.5
    margin: float = 1.0  # of the ranking loss, in units of the distance; paper's best of 0, 0.5, 1
    distance: str = "cosine"  # in all terms: "cosine" (paper's best and its Table 8), "l2" (printed in eq. 1-3), "l1"
    reduction: str = "mean"  # "mean" or "sum" (printed; with margin 1 it makes the classes collapse)
    semantic_weight: float = 1.0  # extra factor of the semantic loss; the number of classes gives a stiffer order
    growth: float | None = 1.35  # stop when the mean nearest-neighbour distance has grown by this factor; None: never
    correlation: float | None = 0.99  # stop before the mean rank correlation falls below this; None: never
    lr: float = 1e-3  # Adam's; small against the distances (0.3 to 1), so that the stop is met closely
    steps: int = 1000  # most steps; a bound, not the rule

    def __post_init__(self) -> None:
        for field, value, known in (
            ("semantic", self.semantic, SEMANTIC),
            ("distance", self.distance, DISTANCES),
            ("reduction", self.reduction, REDUCTIONS),
        ):
            if value not in known:
                raise ValueError(f"{field} is {value!r}; expected one of {', '.join(known)}.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; expected 0 to 1.")
        if self.growth is not None and self.growth < 1:
            raise ValueError(f"growth is {self.growth}; expected at least 1, or None for no such stop.")


@dataclass(frozen=True)
class Outcome:
    """What class-embedding optimisation did. Distances are cosine distances (0 to 2) whatever the loss used.

    Attributes:
        settings: The settings it ran with.
        names: Class names, or their positions as text when they were not given.
        nearest_before: Distance of each class to its nearest neighbour before.
        nearest_after: The same after.
        neighbour_before: Position of that neighbour before; -1 for a single class.
        neighbour_after: The same after.
        correlation: Spearman correlation of each class's distances to the others, before against after; mean over
            classes; 1 when there are fewer than two others.
        kept: Fraction of classes whose nearest neighbour was a nearest one before.
        duplicates: Positions of classes whose vector equals an earlier class's: they stay equal.
        steps: Steps taken; the last may be a fraction of one.
        stopped: Why: "growth", "correlation", "converged", "steps" or "nothing to do".
        history: One entry per step: the unweighted loss terms, `nearest` (mean) and `correlation` after it.
    """

    settings: OptimiseConfig
    names: tuple[str, ...]
    nearest_before: tuple[float, ...]
    nearest_after: tuple[float, ...]
    neighbour_before: tuple[int, ...]
    neighbour_after: tuple[int, ...]
    correlation: float
    kept: float
    duplicates: tuple[int, ...]
    steps: int
    stopped: str
    history: tuple[dict[str, float], ...]

    @property
    def growth(self) -> float:
        """Mean nearest-neighbour distance after / before; 1 when it was 0 or there is no neighbour."""
        before = sum(self.nearest_before)
        return sum(self.nearest_after) / before if before > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Everything as json-able values; neighbours by name."""
        data = dataclasses.asdict(self)
        for key in ("neighbour_before", "neighbour_after"):
            data[key] = [None if i < 0 else self.names[i] for i in getattr(self, key)]
        return data | {
            "growth": self.growth,
            "mean_before": _mean(self.nearest_before),
            "mean_after": _mean(self.nearest_after),
            "min_before": min(self.nearest_before, default=0.0),
            "min_after": min(self.nearest_after, default=0.0),
        }


def optimise(
    vectors: Tensor, config: OptimiseConfig = OptimiseConfig(), *, names: Sequence[str] | None = None
) -> tuple[Tensor, Outcome]:
    """Move class vectors apart, keeping each class's order of the others (EZ-AVGZL, section 3.2).

    Deterministic, and blind to the order of the classes. Classes with the same vector count once and stay the same: no
    text tells them apart. One class is only scaled to length 1.

    Args:
        vectors: Class embeddings `[class, dim]`, no zero rows; not changed.
        config: Settings.
        names: Class names for the outcome.

    Returns:
        New embeddings `[class, dim]` with unit rows, of the given type and device, and what happened.

    Raises:
        ValueError: Vectors that are not a matrix, hold a zero row or a value that is not finite.
    """
    _check(vectors)
    # Double precision: Adam's first steps follow the sign of the gradient, so rounding would show.
    exact = torch.float32 if vectors.device.type == "mps" else torch.float64
    start = F.normalize(vectors.detach().to(exact), dim=1)
    first, copy_of = _without_copies(start)
    descended, steps, stopped, history = _descend(start[first], config)
    result = descended[copy_of]
    labels = tuple(names) if names is not None else tuple(map(str, range(len(vectors))))
    before, after = _nearest(start), _nearest(result)
    outcome = Outcome(
        settings=config,
        names=labels,
        nearest_before=tuple(before[0].tolist()),
        nearest_after=tuple(after[0].tolist()),
        neighbour_before=tuple(before[1].tolist()),
        neighbour_after=tuple(after[1].tolist()),
        correlation=rank_correlation(start, result),
        kept=_kept(start, after[1]),
        duplicates=tuple(sorted(set(range(len(start))) - set(first.tolist()))),
        steps=steps,
        stopped=stopped,
        history=history,
    )
    return result.to(vectors.dtype), outcome


def optimise_classes(classes: Classes, config: OptimiseConfig = OptimiseConfig()) -> tuple[Classes, dict[str, Outcome]]:
    """Optimise every class embedding of `classes`: `(new classes, {encoder: outcome})`; see `optimise`.

    The classes move jointly: pass exactly the candidate classes of the stage, for no other name may act on them.
    """
    results = {encoder: optimise(vectors, config, names=classes.names) for encoder, vectors in classes.text.items()}
    text = {encoder: vectors for encoder, (vectors, _) in results.items()}
    return classes.with_text(text), {encoder: outcome for encoder, (_, outcome) in results.items()}


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
    old, new = (_centred_ranks(_others(pairwise_distance(v, v))) for v in (before, after))
    scale = old.norm(dim=1) * new.norm(dim=1)
    rho = (old * new).sum(dim=1) / scale.clamp(min=1e-12)
    return float(torch.where(old.norm(dim=1) == 0, 1.0, rho).mean())


def _centred_ranks(rows: Tensor) -> Tensor:
    """Ranks within each row, tied ones averaged, minus their mean."""
    rows = torch.round(rows, decimals=12) if rows.dtype == torch.float64 else rows
    ordered = rows.sort(dim=1).values
    low = torch.searchsorted(ordered, rows.contiguous(), side="left")
    high = torch.searchsorted(ordered, rows.contiguous(), side="right")
    return (low + high - rows.shape[1]).to(rows.dtype) / 2


def _others(between: Tensor) -> Tensor:
    """Drop the diagonal of `[class, class]`: `[class, class - 1]`."""
    count = len(between)
    itself = torch.eye(count, dtype=torch.bool, device=between.device)
    return between[~itself].reshape(count, count - 1)


def _nearest(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine distance to the nearest other class, and which it is (distance 0 and -1 for a single class)."""
    if len(vectors) < 2:
        return vectors.new_zeros(len(vectors)), torch.full((len(vectors),), -1, device=vectors.device)
    between = pairwise_distance(vectors, vectors).clamp(min=0).fill_diagonal_(float("inf"))
    distance, which = between.min(dim=1)
    return distance, which


def _kept(before: Tensor, neighbour: Tensor) -> float:
    if len(before) < 2:
        return 1.0
    to_new = pairwise_distance(before, before).gather(1, neighbour[:, None])[:, 0]
    return float((to_new <= _nearest(before)[0] + _SAME).double().mean())


def _without_copies(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the first of each group of equal rows, and for each row the position of its group in that list."""
    same = pairwise_distance(vectors, vectors) < _SAME
    first = same.int().argmax(dim=1)
    return torch.unique(first, return_inverse=True)


def _descend(start: Tensor, config: OptimiseConfig) -> tuple[Tensor, int, str, tuple[dict[str, float], ...]]:
    """Adam until a stop of `config` is met: `(vectors, steps, why, history)`."""
    if len(start) < 2:
        return start, 0, "nothing to do", ()
    origin = float(_nearest(start)[0].mean())
    w = start.clone().requires_grad_()
    adam = torch.optim.Adam([w], lr=config.lr)
    history: list[dict[str, float]] = []
    best, since = origin, 0
    for step in range(1, config.steps + 1):
        last = w.detach().clone()
        terms = _terms(w, start, config)
        adam.zero_grad()
        _total(terms, config).backward()
        adam.step()
        with torch.no_grad():
            w.copy_(F.normalize(w, dim=1))
        new = w.detach()
        broken = _broken(start, origin, new, config)
        if broken is not None:
            new = _part_of_step(last, new, lambda v: _broken(start, origin, v, config) is None)
        nearest = float(_nearest(new)[0].mean())
        history.append(
            {name: float(term.detach()) for name, term in terms.items()}
            | {"nearest": nearest, "correlation": rank_correlation(start, new)}
        )
        if broken is not None:
            return new.clone(), step, broken, tuple(history)
        best, since = (nearest, 0) if nearest > best * (1 + 1e-4) else (best, since + 1)
        if since >= _PATIENCE:
            return new.clone(), step, "converged", tuple(history)
    return w.detach().clone(), config.steps, "steps", tuple(history)


def _terms(w: Tensor, t: Tensor, config: OptimiseConfig) -> dict[str, Tensor]:
    how = {"distance": config.distance, "reduction": config.reduction}
    terms = {"separation": separation_loss(w, **how)}
    if config.semantic == "ranking":
        terms["semantic"] = ranking_loss(w, t, margin=config.margin, **how)
    elif config.semantic == "proximity":
        terms["semantic"] = proximity_loss(w, t, **how)
    return terms


def _total(terms: dict[str, Tensor], config: OptimiseConfig) -> Tensor:
    """Eq. 4, with `semantic_weight` as an extra factor of the semantic term."""
    total = config.alpha * terms["separation"]
    if "semantic" in terms:
        total = total + (1 - config.alpha) * config.semantic_weight * terms["semantic"]
    return total


def _broken(start: Tensor, origin: float, now: Tensor, config: OptimiseConfig) -> str | None:
    """Which stop `now` is beyond, if any."""
    if config.growth is not None and float(_nearest(now)[0].mean()) > config.growth * origin:
        return "growth"
    if config.correlation is not None and rank_correlation(start, now) < config.correlation:
        return "correlation"
    return None


def _part_of_step(last: Tensor, new: Tensor, allowed: Callable[[Tensor], bool]) -> Tensor:
    """The farthest point between `last` (allowed) and `new` (not) that is allowed, by halving."""
    low, high, kept = 0.0, 1.0, last
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        trial = F.normalize(last + middle * (new - last), dim=1)
        if allowed(trial):
            low, kept = middle, trial
        else:
            high = middle
    return kept


def _check(vectors: Tensor) -> None:
    if vectors.ndim != 2:
        raise ValueError(f"Class vectors have shape {tuple(vectors.shape)}; expected [class, dim].")
    if not bool(torch.isfinite(vectors).all()):
        raise ValueError("Class vectors hold values that are not finite; check the text encoder.")
    empty = (vectors == 0).all(dim=1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"Class vectors {empty} are zero; every class needs a vector with a direction.")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
