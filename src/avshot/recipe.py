"""How a method is trained and chosen, as data: optimiser settings, phases, players that take turns, named presets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avshot.errors import BadSetting

MOST = 10_000_000  # of anything that is counted: more is a slip of the keys, not a training
VIEWS = ("both", "audio", "visual")
SCHEDULES = ("constant", "plateau", "cosine")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """How a method is trained. Published values sit in each method's presets, with their source.

    Attributes:
        epochs: Passes of `batches_per_epoch` batches; stage 1 chooses how many of them stage 2 repeats.
        batches_per_epoch: Batches drawn in an epoch (the sampler draws with replacement, so an epoch is a convention).
        passes_per_epoch: In place of that when above 0: as many batches as make this many passes over the training
            clips, so that stage 2, which has more clips and classes, also gets more steps. Published: 0.
        batch_size: Clips per batch.
        class_balanced: Batches are drawn class-balanced; False: every clip is equally likely.
        lr: Adam's learning rate.
        weight_decay: Adam's L2 penalty.
        betas: Adam's running-average coefficients.
        schedule: "constant"; "plateau" (x0.1 when the validation score has not risen for 3 epochs); "cosine" (one
            linear warm-up of 5 %, then a half cosine to 0 over all steps of `epochs`).
        clip_norm: Largest gradient norm, or None.
        precision: "fp32"; or "bf16": the loss is computed under autocast, where matrix products round to bfloat16 (8
            bits of mantissa) while weights, gradients and the optimiser stay in float32. Scoring is always in fp32.
    """

    epochs: int = 50
    batches_per_epoch: int = 500
    passes_per_epoch: int = 0
    batch_size: int = 256
    class_balanced: bool = True
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: str = "constant"
    clip_norm: float | None = None
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batches_per_epoch", "batch_size"):
            if not 1 <= getattr(self, name) <= MOST:
                raise BadSetting(f"{name} is {getattr(self, name)}; expected at least 1, at most {MOST}.")
        if not 0 <= self.passes_per_epoch <= MOST:
            raise BadSetting(f"passes_per_epoch is {self.passes_per_epoch}; expected 0 (fixed batches) or more.")
        if not 0 < self.lr < math.inf or not 0 <= self.weight_decay < math.inf:
            raise BadSetting(f"lr is {self.lr} and weight_decay {self.weight_decay}; expected > 0 and >= 0.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise BadSetting(f"betas are {self.betas}; expected two numbers from 0 to below 1.")
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            raise BadSetting(f"clip_norm is {self.clip_norm}; expected a number above 0, or null for no limit.")
        for name, known in {"schedule": SCHEDULES, "precision": PRECISIONS}.items():
            if getattr(self, name) not in known:
                raise BadSetting(f"{name} {getattr(self, name)!r} does not exist; use one of {', '.join(known)}.")

    def batches(self, clips: int) -> int:
        """Batches of an epoch when there are so many training clips."""
        if self.passes_per_epoch == 0:
            return self.batches_per_epoch
        return max(1, round(self.passes_per_epoch * clips / self.batch_size))


@dataclass(frozen=True)
class Selection:
    """What is tried and chosen around a training, as a preset has it; the task chooses (`avshot.task.Task.select`).

    Attributes:
        beta_grid: Name of the calibration grid (see `avshot.metrics.generalised.BETA_GRIDS`), in units of the method's
            score.
        optimise_classes: Run class-embedding optimisation on the candidate names before training.
        views: What the trained method may be shown when it scores: "both", "audio", "visual". With several, the
            validation clips choose one along with epoch and calibration, so that a weak modality which was learnt by
            heart does no harm. All default presets let all be chosen, so that none has an advantage over another;
            published ones have "both".
        mean_beta: The calibration is the mean of those that sound alone, picture alone and both would choose, though
            both decide (the programs of CJME and AVGZSLNet). False: that of the view that decides.
    """

    beta_grid: str = "avca"
    optimise_classes: bool = False
    views: tuple[str, ...] = ("both",)
    mean_beta: bool = False

    def __post_init__(self) -> None:
        if not self.views or not set(self.views) <= set(VIEWS):
            raise BadSetting(f"views are {self.views}; expected some of {', '.join(VIEWS)}.")

    @property
    def scored(self) -> tuple[str, ...]:
        """The views that are looked at: those that may be chosen, or all where they calibrate together."""
        return VIEWS if self.mean_beta else self.views


# How the defaults were chosen but that of ez_avgzl: the part of `Preset.source` that says so.
# How sequences are learnt from small sets of own videos; what a method has otherwise stands in its preset.
SMALL_SEQUENCES = Recipe(
    epochs=10, passes_per_epoch=3, batch_size=32, lr=1e-3, weight_decay=1e-4, schedule="cosine", clip_norm=1.0
)

TUNED = "the best of six settings on two hold-outs of classes of the rendered world (benchmarks/tuning/all.toml)"
# How the programs of AVCA and its descendants choose: their grid, and nothing but both modalities together.
AVCA_SELECTION: Mapping[str, Any] = {"beta_grid": "avca", "views": ("both",)}


@dataclass(frozen=True)
class Turn:
    """One player of a phase: parameters with an optimiser of their own, and what they minimise.

    Attributes:
        parameters: Prefixes of the parameter names that train; empty = all.
        terms: Names of the terms of `Method.loss` that it minimises; empty = all.
        steps: Batches in a row before the next player's turn.
        pool: The named set of training clips (`avshot.task.Stage.pools`) that its batches are drawn from; empty = all.
        optimiser: Turns of a phase with one name here share one optimiser, of the parameters of all of them; empty: it
            has one of its own.
    """

    parameters: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    steps: int = 1
    pool: str = ""
    optimiser: str = ""


@dataclass(frozen=True)
class Phase:
    """A stretch of training.

    Attributes:
        name: Shown in the log.
        turns: Who trains. Several players alternate, batch by batch (a critic and a generator), each with its own
            optimiser of the recipe's settings.
        share: Fraction of the recipe's epochs.
        rate: Times the recipe's learning rate.
        best: Name of a metric of the task. Validation then chooses the best epoch of this phase by that metric, without
            calibration; the next phase goes on from its weights, and the phases after it are chosen among themselves.
            Empty: the next phase goes on from the last epoch, and both are one stretch to choose from.
    """

    name: str = "all"
    turns: tuple[Turn, ...] = (Turn(),)
    share: float = 1.0
    best: str = ""
    rate: float = 1.0


def base_then_novel(heads: tuple[str, ...] = (), *, base: float = 0.6) -> tuple[Phase, ...]:
    """The curriculum of few-shot learning: the base classes first, then base and novel ones, batch by batch.

    Validation chooses the end of the first part by the accuracy on base classes (B), that of the second by the task's
    own rule. Source: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.3 (AV-Diff), and
    AVDIFF-GFSL: 30 and 20 epochs, one optimiser for both kinds of batches, a new one for the second part.

    Args:
        heads: Prefixes of the names of the parameters that the second part trains; empty = all.
        base: Share of the epochs that the first part has.
    """
    alternating = tuple(Turn(heads, pool=pool, optimiser="both") for pool in ("base", "novel"))
    return Phase("base", (Turn(pool="base"),), base, best="B"), Phase("novel", alternating, 1 - base)


def spans(phases: Sequence[Phase], epochs: int) -> list[tuple[Phase, range]]:
    """Which of the recipe's `epochs` belong to each phase; the last phase has what rounding leaves."""
    found, passed, start = [], 0.0, 0
    for i, phase in enumerate(phases):
        passed += phase.share
        end = epochs if i + 1 == len(phases) else min(epochs, max(start, round(passed * epochs)))
        found.append((phase, range(start, end)))
        start = end
    return found


def stretches(phases: Sequence[Phase], epochs: int) -> list[tuple[range, str]]:
    """The recipe's epochs in stretches of which validation chooses one epoch each, and the metric that it goes by.

    One stretch and the task's own rule (""), unless a phase names its metric (`Phase.best`). Where the epochs do not
    reach beyond that phase, nothing goes on from its best one, and the task's own rule chooses.
    """
    found, start = [], 0
    for phase, own in spans(phases, epochs)[:-1]:
        if phase.best and len(own) and own.stop < epochs:
            found.append((range(start, own.stop), phase.best))
            start = own.stop
    return [*found, (range(start, epochs), "")]


@dataclass(frozen=True)
class Preset:
    """A named setting of a method.

    Attributes:
        config: Its `Config`.
        recipe: How it is trained.
        source: Where the numbers come from: paper, section, program. One that is our own, or assumed because no paper
            or program says it, begins with "ours".
        selection: What is chosen around it.
    """

    config: Any
    recipe: Recipe
    source: str
    selection: Selection = Selection()

    @property
    def published(self) -> bool:
        """Whether a paper or a program states it."""
        return not self.source.startswith("ours")
