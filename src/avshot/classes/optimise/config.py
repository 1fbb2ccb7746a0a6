"""Settings of class-embedding optimisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from avshot.classes.optimise import METHODS, SAMPLES
from avshot.classes.optimise.losses import DISTANCES, REDUCTIONS
from avshot.errors import BadSetting

SEMANTIC = ("ranking", "proximity", "none")
SCOPES = ("all", "seen")


@dataclass(frozen=True)
class OptimiseConfig:
    """Settings of class-embedding optimisation."""

    # Which classes move together: "all" candidates, as the paper's sums do, so names of unseen classes act on those of
    # training (class-transductive); or those "seen" in training, and each other class takes its own place among them.
    scope: str = "all"
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
            ("scope", SCOPES),
            ("semantic", SEMANTIC),
            ("distance", DISTANCES),
            ("reduction", REDUCTIONS),
            ("ranking", METHODS),
        ):
            if getattr(self, name) not in known:
                raise BadSetting(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}.")
        if self.semantic_distance is not None and self.semantic_distance not in DISTANCES:
            listed = ", ".join(DISTANCES)
            raise BadSetting(f"semantic_distance is {self.semantic_distance!r}; expected one of {listed}, or null.")
        if not 0 <= self.alpha <= 1:
            raise BadSetting(f"alpha is {self.alpha}; expected 0 to 1.")
        if self.growth is not None and self.growth < 1:
            raise BadSetting(f"growth is {self.growth}; expected at least 1, or null for no such stop.")
        if self.correlation is not None and not -1 <= self.correlation <= 1:
            raise BadSetting(f"correlation is {self.correlation}; expected -1 to 1, or null for no such stop.")
        weight = self.semantic_weight
        if weight != "classes" and (isinstance(weight, str) or not 0 <= weight < math.inf):
            raise BadSetting(f"semantic_weight is {weight!r}; expected a number of at least 0, or 'classes'.")
        if self.samples < 1:
            raise BadSetting(f"samples is {self.samples}; expected at least 1.")
        if not self.turn > 0 or self.max_steps < 0:
            raise BadSetting(f"turn is {self.turn} and max_steps {self.max_steps}; expected > 0 and >= 0.")

    @property
    def ordering(self) -> str:
        """The distance of the semantic loss."""
        return self.distance if self.semantic_distance is None else self.semantic_distance


DEFAULTS = OptimiseConfig()
