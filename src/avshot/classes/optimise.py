"""Class-embedding optimisation: classes farther apart, their relations kept (EZ-AVGZL, section 3.2).

Paper: Mo and Morgado, "Audio-visual Generalized Zero-shot Learning the Easy Way" (EZ-AVGZL), ECCV 2024. No code was
released. New embeddings w start at the text embeddings t and descend (1 - alpha) L_sem + alpha L_sep (eq. 4), their
rows scaled to length 1 after every step.

How ours differs: the paper says neither how long it descends nor with which step, and run to convergence the loss
forgets what the names mean. So **when to stop** is a setting, stated in terms of the result and not as a number of
steps: as soon as the mean nearest-neighbour distance has grown by the factor `growth`, which the last step meets
exactly. `docs/class-embedding-optimisation.md` has the reasons and the numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.descent import descend
from avshot.classes.outcome import SAME, Outcome, measure
from avshot.classes.report import report, summary
from avshot.losses import DISTANCES, REDUCTIONS, own_entries, pairwise_distance, row_chunks, widest
from avshot.ranking import METHODS, SAMPLES
from avshot.types import Classes

__all__ = ["OptimiseConfig", "Outcome", "optimise", "optimise_classes", "report", "summary"]

SEMANTIC = ("ranking", "proximity", "none")


@dataclass(frozen=True)
class OptimiseConfig:
    """Settings of class-embedding optimisation."""

    semantic: str = "ranking"  # semantic loss: "ranking" (eq. 3, the paper's best), "proximity" (eq. 2), "none"
    alpha: float = 0.5  # weight of the separation loss, 1 - alpha of the semantic loss; paper 0.5
    margin: float = 1.0  # of the ranking loss, in units of the distance; the paper's best of 0, 0.5, 1
    distance: str = "cosine"  # in all terms: "cosine" (the paper's best and its Table 8), "l2" (printed), "l1"
    # Of the semantic loss where it is another: the paper's Table 10 says that it varies eq. 1-2 and its best row has
    # the ranking loss, eq. 3, so eq. 3 may have kept the distance that it prints. None = as `distance`.
    semantic_distance: str | None = None
    reduction: str = "mean"  # "mean" or "sum" (printed; with margin 1 the classes then collapse)
    ranking: str = "auto"  # how its sum is found: "auto" (exact), "compiled", "torch", "dense", "sampled"
    samples: int = SAMPLES  # triples that "sampled" draws at a step
    # Extra factor of the semantic loss. "classes": the number of classes, whatever it is; it keeps the order stiffly.
    semantic_weight: float | Literal["classes"] = 1.0
    growth: float | None = 1.35  # stop at this growth of the mean nearest-neighbour distance; Table 8: 1.2 to 1.45
    correlation: float | None = 0.9  # stop before the mean rank correlation falls below: the order is being lost
    turn: float = 0.5  # degrees a vector turns in a first step; Adam's rate is its arc / sqrt(dim): 5e-4 at 300
    max_steps: int = 2000  # a bound on the time, not the rule

    def __post_init__(self) -> None:
        for name, known in (
            ("semantic", SEMANTIC),
            ("distance", DISTANCES),
            ("reduction", REDUCTIONS),
            ("ranking", METHODS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        if self.semantic_distance is not None and self.semantic_distance not in DISTANCES:
            listed = ", ".join(DISTANCES)
            raise ValueError(f"semantic_distance is {self.semantic_distance!r}; expected one of {listed}, or null.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; expected 0 to 1.")
        if self.growth is not None and self.growth < 1:
            raise ValueError(f"growth is {self.growth}; expected at least 1, or null for no such stop.")
        if self.correlation is not None and not -1 <= self.correlation <= 1:
            raise ValueError(f"correlation is {self.correlation}; expected -1 to 1, or null for no such stop.")
        weight = self.semantic_weight
        if weight != "classes" and (isinstance(weight, str) or not 0 <= weight < math.inf):
            raise ValueError(f"semantic_weight is {weight!r}; expected a number of at least 0, or 'classes'.")
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; expected at least 1.")
        if not self.turn > 0 or self.max_steps < 0:
            raise ValueError(f"turn is {self.turn} and max_steps {self.max_steps}; expected > 0 and >= 0.")


def optimise(
    vectors: Tensor, config: OptimiseConfig = OptimiseConfig(), *, names: Sequence[str] | None = None
) -> tuple[Tensor, Outcome]:
    """Move class vectors apart, keeping each class's order of the others (EZ-AVGZL, section 3.2).

    Deterministic, and blind to the order of the classes. Classes with the same vector count once and stay the same: no
    text tells them apart. One class is only scaled to length 1. Classes already at right angles on average (few names,
    or very different ones) stay where they are: `growth` aims at a mean distance of 1 at most.

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
    # Double precision: Adam's first steps follow the sign of the gradient, where rounding would show.
    start = F.normalize(vectors.detach().to(widest(vectors.device)), dim=1)
    first, copy_of = _without_copies(start)
    with torch.enable_grad():
        descended, steps, stopped, history = descend(start[first], config)
    result = descended[copy_of]
    outcome = Outcome(
        settings=dataclasses.asdict(config),
        names=tuple(map(str, range(len(start)))) if names is None else tuple(names),
        duplicates=tuple(sorted(set(range(len(start))) - set(first.tolist()))),
        steps=steps,
        stopped=stopped,
        history=history,
        **measure(start, result),
    )
    return result.to(vectors.dtype), outcome


def optimise_classes(classes: Classes, config: OptimiseConfig = OptimiseConfig()) -> tuple[Classes, dict[str, Outcome]]:
    """Optimise every class embedding of `classes`: `(new classes, {encoder: outcome})`; see `optimise`.

    The classes move jointly: pass exactly the candidate classes of the stage, for no other name may act on them.
    """
    results = {encoder: optimise(vectors, config, names=classes.names) for encoder, vectors in classes.text.items()}
    text = {encoder: vectors for encoder, (vectors, _) in results.items()}
    return classes.with_text(text), {encoder: outcome for encoder, (_, outcome) in results.items()}


def _without_copies(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the first of each group of equal rows, and for each row the place of its group in that list."""
    first = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    for rows in row_chunks(len(vectors), len(vectors)):
        same = pairwise_distance(vectors[rows], vectors) < SAME
        own_entries(same, rows).fill_(True)
        first[rows] = same.to(torch.uint8).argmax(dim=1)
    places: Any = torch.unique(first, return_inverse=True)
    return places[0], places[1]


def _check(vectors: Tensor) -> None:
    if vectors.ndim != 2 or len(vectors) == 0:
        raise ValueError(f"Class vectors have shape {tuple(vectors.shape)}; expected [class, dim], one class at least.")
    if not bool(torch.isfinite(vectors).all()):
        raise ValueError("Class vectors hold values that are not finite; check the text encoder.")
    empty = (vectors == 0).all(dim=1).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"Class vectors {empty} are zero; every class needs a vector with a direction.")
