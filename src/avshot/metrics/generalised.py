"""Generalised zero-shot metrics as pure functions of a score matrix: S, U, HM, ZSL, AUSUC, and the choice of beta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from avshot.metrics.accuracy import per_class_accuracy
from avshot.metrics.stacking import Curve, Rivals

# Calibration grids in use, (first, last, count), in units of the method's score. "exact" is not a grid: every value
# at which a prediction changes is tried, so it needs no scale.
BETA_GRIDS: dict[str, tuple[float, float, int] | None] = {
    "avca": (0.0, 3.0, 16),  # AVCA, TCaF, Hyper-AVZSL, KDA: step 0.2
    "clipclap": (0.0, 5.0, 76),  # ClipClap: step 1/15
    "exact": None,
    "avdiff": (0.0, 1.0, 11),  # AV-Diff: step 0.1, in units of probability (see the task gfsl)
    "none": (0.0, 0.0, 1),  # no calibration: f-VAEGAN-D2 in AVCA's repository
}


def harmonic_mean(seen: float, unseen: float) -> float:
    """2SU / (S + U); 0 when both are 0."""
    return 0.0 if seen + unseen == 0 else 2 * seen * unseen / (seen + unseen)


def choose_beta(scores: Tensor, labels: Tensor, seen: Tensor, grid: str) -> tuple[float, float]:
    """The calibration with the best harmonic mean on these clips, and that harmonic mean.

    Args:
        scores: `[clip, class]`.
        labels: `[clip]`.
        seen: `[class]` bool.
        grid: Name in `BETA_GRIDS`. With "exact", the value nearest to 0 (no calibration) among those whose harmonic
            mean lies within one standard error of the best: a few dozen clips cannot tell these apart, and a beta that
            is larger than the evidence does not survive retraining on more classes. (Rule: Breiman et al.,
            "Classification and Regression Trees", 1984, section 3.4.3.)

    Raises:
        ValueError: Unknown grid.
    """
    if grid not in BETA_GRIDS:
        raise ValueError(f"Calibration grid {grid!r} does not exist; grids: {', '.join(BETA_GRIDS)}.")
    limits, rivals = BETA_GRIDS[grid], Rivals(scores, labels, seen)
    if limits is not None:
        curve = rivals.curve(np.linspace(*limits))
        step = curve.best()
        return float(curve.beta[step]), float(curve.hm[step])
    curve = rivals.exact_curve()
    hm = curve.hm
    good_enough = hm.max() - standard_error(curve, labels, seen) - 1e-12
    if rivals.curve(np.zeros(1)).hm[0] >= good_enough:
        return 0.0, float(hm.max())
    equal = curve.beta[hm >= good_enough]
    return float(equal[np.abs(equal).argmin()]), float(hm.max())


def standard_error(curve: Curve, labels: Tensor, seen: Tensor) -> float:
    """Standard error of the curve's best harmonic mean, to first order in those of S and U (binomial over clips).

    Args:
        curve: Of these clips.
        labels: `[clip]`.
        seen: `[class]` bool.

    Returns:
        A fraction; 0 where seen or unseen clips are absent or both accuracies are 0.
    """
    step, n_seen = curve.best(), int(seen[labels].sum())
    n_unseen, s, u = len(labels) - n_seen, float(curve.seen[step]), float(curve.unseen[step])
    if s + u == 0 or n_seen == 0 or n_unseen == 0:
        return 0.0
    slope_s, slope_u = 2 * (u / (s + u)) ** 2, 2 * (s / (s + u)) ** 2
    variance = slope_s**2 * s * (1 - s) / n_seen + slope_u**2 * u * (1 - u) / n_unseen
    return float(np.sqrt(max(variance, 0.0)))


def gzsl_metrics(scores: Tensor, labels: Tensor, seen: Tensor, beta: float) -> dict[str, Any]:
    """S, U, HM and ZSL at a given calibration, with the area under the seen-unseen curve.

    Args:
        scores: `[clip, class]` of seen and unseen clips together.
        labels: `[clip]` index into the classes.
        seen: `[class]` bool.
        beta: Calibration, chosen elsewhere (on validation).

    Returns:
        `S`, `U`, `HM`, `ZSL` (unseen clips against unseen classes only), `AUSUC`, `beta`, `per_class` (`[class]`
        list, None for a class without clips) and `without_clips` (how many classes those are). A group without clips
        has accuracy None instead of NaN.
    """
    n = scores.shape[1]
    rivals = Rivals(scores, labels, seen)
    accuracy = per_class_accuracy(rivals.right(beta), labels, n)
    unseen = ~rivals.own
    s, u = _mean(accuracy[seen]), _mean(accuracy[~seen])
    return {
        "S": s,
        "U": u,
        "HM": None if s is None or u is None else harmonic_mean(s, u),
        "ZSL": _mean(per_class_accuracy(rivals.wins[unseen], labels[unseen], n)) if bool(unseen.any()) else None,
        "AUSUC": rivals.exact_curve().area() if s is not None and u is not None else None,
        "beta": float(beta),
        "per_class": [None if a != a else a for a in accuracy.tolist()],
        "without_clips": int(accuracy.isnan().sum()),
    }


def why_absent(metrics: Mapping[str, Any]) -> list[str]:
    """Why some of S, U, HM, ZSL and AUSUC of `gzsl_metrics` are None, as half-sentences; empty where none is.

    An empty mapping stands for no test clips at all.
    """
    seen, unseen = metrics.get("S") is not None, metrics.get("U") is not None
    if not seen and not unseen:
        return ["there are no test clips"]
    if not unseen:
        return ["there are no test clips of unseen classes for U, HM, ZSL and AUSUC"]
    return [] if seen else ["there are no test clips of seen classes for S, HM and AUSUC"]


def _mean(values: Tensor) -> float | None:
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None
