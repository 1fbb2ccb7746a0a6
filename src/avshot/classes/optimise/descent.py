"""Descent of class-embedding optimisation: what is descended, and what stops it (EZ-AVGZL, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.optimise import Order, ranking_loss
from avshot.classes.optimise.losses import proximity_loss, separation_loss
from avshot.classes.optimise.outcome import SAME, nearest, rank_correlation

if TYPE_CHECKING:
    from avshot.classes.optimise.config import OptimiseConfig

UNRELATED = 1.0  # cosine distance of vectors at right angles
_HALVINGS = 20  # of the last step
_PATIENCE = 100  # steps in which the separation grows by less than 0.01 % before the descent counts as converged


def descend(start: Tensor, config: OptimiseConfig) -> tuple[Tensor, int, str, tuple[dict[str, float], ...]]:
    """Adam until a stop of `config` is met: `(vectors, steps, why, history)`."""
    now, history = start, list[dict[str, float]]()
    origin = mean_nearest(start)
    goal = _goal(origin, config)
    if len(start) < 2 or origin >= goal:
        return start, 0, "nothing to do", ()
    stops = Stops(start, config, goal)
    loss = Loss(start, config, stops.order)
    w = start.clone().requires_grad_()
    adam = torch.optim.Adam([w], lr=math.radians(config.turn) / math.sqrt(w.shape[1]))
    best, since = origin, 0
    for step in range(1, config.max_steps + 1):
        terms = loss.terms(w)
        adam.zero_grad()
        loss.total(terms).backward()
        adam.step()
        with torch.no_grad():
            w.copy_(F.normalize(w, dim=1))
        last, now = now, w.detach().clone()
        after = stops.measured(now)
        why = stops.beyond(after)
        if why is not None:
            now, after = stops.part_of_step(last, now, why)
        history.append({name: float(term.detach()) for name, term in terms.items()} | after)
        if why is not None:
            return now, step, why, tuple(history)
        separation = after["nearest"]
        best, since = (separation, 0) if separation > best * 1.0001 else (best, since + 1)
        if since >= _PATIENCE:
            return now, step, "converged", tuple(history)
    return now, config.max_steps, "max_steps", tuple(history)


class Loss:
    """Eq. 4 of one optimisation. The original order is worked out once; `order` is that by cosine distance."""

    def __init__(self, start: Tensor, config: OptimiseConfig, order: Order) -> None:
        self.start, self.config = start, config
        self.distance = config.ordering
        other = config.semantic == "ranking" and self.distance != "cosine"
        self.order = Order.of(start, self.distance) if other else order
        self.generator = torch.Generator(start.device).manual_seed(0)

    def terms(self, w: Tensor) -> dict[str, Tensor]:
        """The separation loss and the semantic one, if any, unweighted."""
        config = self.config
        terms = {"separation": separation_loss(w, distance=config.distance, reduction=config.reduction)}
        common: dict[str, Any] = {"distance": self.distance, "reduction": config.reduction}
        if config.semantic == "ranking":
            how: dict[str, Any] = {"method": config.ranking, "samples": config.samples, "generator": self.generator}
            terms["semantic"] = ranking_loss(w, self.order, margin=config.margin, **common, **how)
        elif config.semantic == "proximity":
            terms["semantic"] = proximity_loss(w, self.start, **common)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Eq. 4, with `semantic_weight` as an extra factor of the semantic term."""
        total = self.config.alpha * terms["separation"]
        if "semantic" in terms:
            weight = len(self.start) if self.config.semantic_weight == "classes" else self.config.semantic_weight
            total = total + (1 - self.config.alpha) * weight * terms["semantic"]
        return total


class Stops:
    """What `growth` and `correlation` allow."""

    def __init__(self, start: Tensor, config: OptimiseConfig, goal: float) -> None:
        self.order, self.goal = Order.of(start), goal
        floor = -math.inf if config.correlation is None else min(config.correlation, _one_exchange(len(start)))
        self.floor = floor - SAME

    def measured(self, now: Tensor) -> dict[str, float]:
        """Mean nearest-neighbour distance and mean rank correlation with the start."""
        return {"nearest": mean_nearest(now), "correlation": rank_correlation(self.order, now)}

    def beyond(self, after: dict[str, float]) -> str | None:
        """Which stop is passed, if any."""
        if after["nearest"] > self.goal:
            return "growth"
        return "correlation" if after["correlation"] < self.floor else None

    def part_of_step(self, last: Tensor, now: Tensor, why: str) -> tuple[Tensor, dict[str, float]]:
        """The point farthest from `last` (allowed) towards `now` (beyond the stop `why`) that is allowed, by halving.

        Halving asks for that stop alone, the other one costs as much again; only where it is passed too are both.
        """
        alone: Callable[[Tensor], bool] = {
            "growth": lambda trial: mean_nearest(trial) <= self.goal,
            "correlation": lambda trial: rank_correlation(self.order, trial) >= self.floor,
        }[why]
        found = _farthest(last, now, alone)
        after = self.measured(found)
        if self.beyond(after) is not None:
            found = _farthest(last, now, lambda trial: self.beyond(self.measured(trial)) is None)
            after = self.measured(found)
        return found, after


def mean_nearest(vectors: Tensor) -> float:
    """Mean cosine distance of the classes to their nearest neighbours."""
    return float(nearest(vectors)[0].mean())


def _goal(origin: float, config: OptimiseConfig) -> float:
    """Mean nearest-neighbour distance to stop at; infinite without `growth`."""
    return float("inf") if config.growth is None else min(config.growth * origin, UNRELATED)


def _one_exchange(count: int) -> float:
    """Spearman's correlation after two neighbouring ranks of n = `count` - 1 change places: 1 - 6 (1 + 1) / (n^3 - n).

    Below it no floor is asked for: with five classes or fewer one exchange per class would already count as a loss.
    """
    others = count - 1
    return 1 - 12 / (others**3 - others) if others > 2 else -1.0


def _farthest(last: Tensor, now: Tensor, allowed: Callable[[Tensor], bool]) -> Tensor:
    """The point farthest from `last` (allowed) towards `now` (not allowed) that is allowed, found by halving."""
    low, high, kept = 0.0, 1.0, last
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        trial = F.normalize(last + middle * (now - last), dim=1)
        if allowed(trial):
            low, kept = middle, trial
        else:
            high = middle
    return kept
