"""Metrics of (generalised) zero-shot recognition as pure functions of a score matrix.

Scores are `[clip, class]`, higher is better. `seen` marks the columns that had training clips. Accuracies are
fractions in [0, 1] and averaged over classes, never over clips (Xian et al., "Zero-Shot Learning - A Comprehensive
Evaluation of the Good, the Bad and the Ugly", TPAMI 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Calibration grids in use, (first, last, count), in units of the method's score. "exact" is not a grid: every value
# at which a prediction changes is tried, so it needs no scale.
BETA_GRIDS: dict[str, tuple[float, float, int] | None] = {
    "avca": (0.0, 3.0, 16),  # AVCA, TCaF, Hyper-AVZSL, KDA: step 0.2
    "clipclap": (0.0, 5.0, 76),  # ClipClap: step 1/15
    "exact": None,
}


def harmonic_mean(seen: float, unseen: float) -> float:
    """2SU / (S + U); 0 when both are 0."""
    return 0.0 if seen + unseen == 0 else 2 * seen * unseen / (seen + unseen)


def per_class_accuracy(predicted: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Fraction of each class's clips predicted right.

    Args:
        predicted: `[clip]` predicted class.
        labels: `[clip]` true class.
        n_classes: Number of classes.

    Returns:
        `[class]` float64; NaN for a class without clips (drop these before averaging).

    Example:
        >>> per_class_accuracy(torch.tensor([0, 5]), torch.tensor([0, 1]), 3)
        tensor([1., 0., nan], dtype=torch.float64)
    """
    total = torch.bincount(labels, minlength=n_classes).double()
    correct = torch.bincount(labels[predicted == labels], minlength=n_classes).double()
    return correct / torch.where(total > 0, total, torch.nan)


def mean_class_accuracy(predicted: Tensor, labels: Tensor, n_classes: int) -> float:
    """Mean of `per_class_accuracy` over the classes that have clips; NaN when there are no clips at all."""
    accuracy = per_class_accuracy(predicted, labels, n_classes)
    known = accuracy[~accuracy.isnan()]
    return float(known.mean()) if len(known) else float("nan")


def predict_calibrated(scores: Tensor, seen: Tensor, beta: float) -> Tensor:
    """Calibrated stacking: the best class after the scores of seen classes are lowered by `beta`.

    Source: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning", ECCV 2016, eq. 3.
    The released audio-visual code adds beta to distances, which is the same. Ties go to the first class.

    Returns:
        `[clip]` index of the predicted class.
    """
    return (scores - beta * seen.to(scores.dtype)).argmax(dim=1)


@dataclass(frozen=True)
class Curve:
    """Seen and unseen accuracy over the calibration.

    Attributes:
        beta: `[step]` calibration values, increasing.
        seen: `[step]` mean class accuracy of seen classes.
        unseen: `[step]` mean class accuracy of unseen classes.
    """

    beta: np.ndarray
    seen: np.ndarray
    unseen: np.ndarray

    @property
    def hm(self) -> np.ndarray:
        """`[step]` harmonic mean."""
        total = self.seen + self.unseen
        return np.divide(2 * self.seen * self.unseen, total, out=np.zeros_like(total), where=total > 0)

    def best(self) -> int:
        """Step with the best harmonic mean: the first one on ties, as in the released code."""
        return int(np.argmax(self.hm))

    def area(self) -> float:
        """Area under seen accuracy as a function of unseen accuracy (AUSUC, Chao et al. 2016), by trapezoids."""
        order = np.argsort(self.unseen, kind="stable")
        return float(np.trapezoid(self.seen[order], self.unseen[order]))


def _best_of(scores: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Best score and its column among `columns` (bool mask); -inf when there are none."""
    masked = scores.masked_fill(~columns, -torch.inf)
    return masked.max(dim=1)


def _weights(labels: Tensor, group: Tensor) -> Tensor:
    """`[clip]` weights that turn a sum over correct clips into a mean class accuracy over the classes in `group`."""
    counts = torch.bincount(labels, minlength=len(group)).double()
    classes = ((counts > 0) & group).sum().clamp(min=1)
    return group[labels].double() / (counts[labels] * classes)


def grid_curve(scores: Tensor, labels: Tensor, seen: Tensor, betas: np.ndarray) -> Curve:
    """Seen and unseen accuracy at given calibration values, in one pass over the scores.

    Only the best seen and the best unseen class of a clip can win, whatever beta: `[clip, class]` is read once and the
    rest is `[clip, beta]`. Equal to calling `predict_calibrated` for each beta.

    Args:
        scores: `[clip, class]`.
        labels: `[clip]` index into the classes.
        seen: `[class]` bool.
        betas: `[step]`.
    """
    seen_score, seen_class = _best_of(scores, seen)
    unseen_score, unseen_class = _best_of(scores, ~seen)
    beta = torch.as_tensor(betas, dtype=scores.dtype, device=scores.device)
    lowered = seen_score[:, None] - beta
    tie = (lowered == unseen_score[:, None]) & (seen_class < unseen_class)[:, None]
    takes_seen = (lowered > unseen_score[:, None]) | tie
    seen_right = ((seen_class == labels) & seen[labels]).double() * _weights(labels, seen)
    unseen_right = ((unseen_class == labels) & ~seen[labels]).double() * _weights(labels, ~seen)
    return Curve(
        np.asarray(betas, dtype=np.float64),
        (takes_seen.double() * seen_right[:, None]).sum(dim=0).cpu().numpy(),
        ((~takes_seen).double() * unseen_right[:, None]).sum(dim=0).cpu().numpy(),
    )


def exact_curve(scores: Tensor, labels: Tensor, seen: Tensor) -> Curve:
    """Seen and unseen accuracy as exact step functions of beta over the whole real line.

    A clip goes from "seen" to "unseen" when beta passes the difference between its best seen and best unseen score, so
    sorting these differences gives every distinct prediction. `beta` holds one value inside each step (midpoints; the
    outer two lie beyond the extremes). Without seen or without unseen classes the curve is the single point beta = 0.
    """
    if bool(seen.all()) or not bool(seen.any()) or len(scores) == 0:
        return grid_curve(scores, labels, seen, np.zeros(1))
    margin = (_best_of(scores, seen)[0].double() - _best_of(scores, ~seen)[0].double()).cpu().numpy()
    steps = np.unique(margin)
    inner = (steps[1:] + steps[:-1]) / 2
    reach = max(1e-6, float(steps[-1] - steps[0]) * 1e-3)
    betas = np.concatenate([[steps[0] - reach], inner, [steps[-1] + reach]])
    seen_class, unseen_class = _best_of(scores, seen)[1], _best_of(scores, ~seen)[1]
    seen_right = ((seen_class == labels) & seen[labels]).double() * _weights(labels, seen)
    unseen_right = ((unseen_class == labels) & ~seen[labels]).double() * _weights(labels, ~seen)
    order = np.argsort(margin, kind="stable")
    passed = np.searchsorted(margin[order], betas, side="right")  # clips whose margin lies below beta
    lost = np.concatenate([[0.0], np.cumsum(seen_right.cpu().numpy()[order])])
    won = np.concatenate([[0.0], np.cumsum(unseen_right.cpu().numpy()[order])])
    return Curve(betas, lost[-1] - lost[passed], won[passed])


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
    limits = BETA_GRIDS[grid]
    if limits is not None:
        curve = grid_curve(scores, labels, seen, np.linspace(*limits))
        step = curve.best()
        return float(curve.beta[step]), float(curve.hm[step])
    curve = exact_curve(scores, labels, seen)
    hm = curve.hm
    good_enough = hm.max() - standard_error(curve, labels, seen) - 1e-12
    if grid_curve(scores, labels, seen, np.zeros(1)).hm[0] >= good_enough:
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
    accuracy = per_class_accuracy(predict_calibrated(scores, seen, beta), labels, n)
    unseen_clip = ~seen[labels]
    zsl = predict_calibrated(scores[unseen_clip].masked_fill(seen, -torch.inf), seen, 0.0)
    s, u = _mean(accuracy[seen]), _mean(accuracy[~seen])
    return {
        "S": s,
        "U": u,
        "HM": None if s is None or u is None else harmonic_mean(s, u),
        "ZSL": _mean(per_class_accuracy(zsl, labels[unseen_clip], n)) if bool(unseen_clip.any()) else None,
        "AUSUC": exact_curve(scores, labels, seen).area() if s is not None and u is not None else None,
        "beta": float(beta),
        "per_class": [None if a != a else a for a in accuracy.tolist()],
        "without_clips": int(accuracy.isnan().sum()),
    }


def _mean(values: Tensor) -> float | None:
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None


def fit_temperature(scores: Tensor, labels: Tensor, seen: Tensor, beta: float) -> float:
    """Temperature that makes softmax probabilities of calibrated scores honest on these clips.

    Minimises the class-balanced negative log-likelihood of `softmax((scores - beta * seen) / T)` over T > 0 on a
    logarithmic grid followed by a refinement (the function is smooth with one minimum in log T in practice).
    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. Ours differs: of n clips the
    target of the true class is (n + 1) / (n + 2), the rest is spread over the others (Platt, "Probabilistic Outputs for
    Support Vector Machines", 1999, section 2.2). Otherwise three clips that happen to be right would make T vanish and
    every probability 1; with it, n clips never vouch for more than about (n + 1) / (n + 2).

    Returns:
        T; 1.0 when there are no clips.
    """
    if len(scores) == 0:
        return 1.0
    calibrated = scores.double() - beta * seen.double()
    counts = torch.bincount(labels, minlength=scores.shape[1])
    weight = 1.0 / counts[labels].double()
    doubt = 1 / (len(scores) + 2)
    target = torch.full_like(calibrated, doubt / max(scores.shape[1] - 1, 1))
    target[torch.arange(len(labels)), labels] = 1 - doubt

    def loss(temperature: float) -> float:
        likelihood = (target * torch.log_softmax(calibrated / temperature, dim=1)).sum(dim=1)
        return float(-(weight * likelihood).sum() / weight.sum())

    spread = max(float(calibrated.std()), 1e-8)
    centre, width = np.log(spread), 6.0
    for _ in range(4):
        grid = np.exp(np.linspace(centre - width, centre + width, 25))
        centre = float(np.log(grid[int(np.argmin([loss(float(t)) for t in grid]))]))
        width /= 6
    return float(np.exp(centre))
