"""Calibrated stacking: who is right when the scores of seen classes are lowered by beta, for every beta at once.

Whatever beta, the best seen class plays against the best unseen one, and a clip goes over from the first to the second
once, as beta grows. So one pass over the scores finds the few that can decide a clip (`Rivals`), and seen and unseen
accuracy are step functions of beta: sums of class weights in the order in which the clips go over. Everything behind
the pass takes O(clip log clip) time and memory, however many classes and values of beta there are.

Source: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning", ECCV 2016, eq. 3 and
section 3.3. That the curve is a step function which sorting yields is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1 << 18  # scores copied at a time: they stay in the cache
_Compare = Callable[[Tensor, Tensor], Tensor]
_DECIMALS = 12  # of accuracies: what is equal must compare as equal, whatever the order of the sum


def predict_calibrated(scores: Tensor, seen: Tensor, beta: float) -> Tensor:
    """Calibrated stacking: the best class after the scores of seen classes are lowered by `beta`.

    Source: Chao et al. 2016, eq. 3. The released audio-visual code adds beta to distances, which is the same. Ties go
    to the first class.

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


def exact_curve(scores: Tensor, labels: Tensor, seen: Tensor) -> Curve:
    """Seen and unseen accuracy as exact step functions of beta over the whole real line.

    A clip goes from "seen" to "unseen" when beta passes the difference between its best seen and best unseen score, so
    sorting these differences gives every distinct prediction. `beta` holds one value inside each step (midpoints; the
    outer two lie beyond the extremes). Without seen or without unseen classes, and where every difference is infinite,
    the curve is the single point beta = 0. Arguments as in `Rivals`.
    """
    return Rivals(scores, labels, seen).exact_curve()


class Rivals:
    """The scores that can decide a clip, whatever beta; found in one pass.

    Args:
        scores: `[clip, class]` of a floating type, without NaN; infinities are legal.
        labels: `[clip]` index into the classes.
        seen: `[class]` bool.

    Attributes:
        own: `[clip]` bool: the true class is a seen one.
        true: `[clip]` score of the true class.
        rival: `[clip]` best different score within the group (seen or unseen) of the true class; -inf without one.
        other: `[clip]` best score of the other group; -inf without one.
        wins: `[clip]` bool: the true class is the best of its group, the first of them on ties.
    """

    def __init__(self, scores: Tensor, labels: Tensor, seen: Tensor) -> None:
        self.scores, self.labels, self.seen, self.own = scores, labels, seen, seen[labels]
        self.true, best_seen, best_unseen = _best_scores(scores, labels, seen)
        self.rival = torch.where(self.own, best_seen, best_unseen)
        self.other = torch.where(self.own, best_unseen, best_seen)
        self.wins = self.true > self.rival
        tied = (self.true == self.rival).nonzero()[:, 0]
        if len(tied):
            first, self.rival[tied] = self._first(tied, self.own[tied], self.true[tied])
            self.wins[tied] = first == labels[tied]

    def right(self, beta: float) -> Tensor:
        """`[clip]` bool: what `predict_calibrated` gets right."""
        until, unsure = self._until(torch.tensor([beta], dtype=self.scores.dtype, device=self.scores.device))
        right = self.wins & ((until > 0) == self.own)
        if len(unsure):
            right[unsure] = self._predicted_right(unsure, beta)
        return right

    def curve(self, betas: np.ndarray) -> Curve:
        """Seen and unseen accuracy at given calibration values `betas [step]`, finite.

        Equal to calling `predict_calibrated` for each beta, in the arithmetic of the scores: ties, also those that only
        rounding makes, go to the first class. Accuracies are rounded to 12 decimals; a group without clips has 0.
        """
        beta, order = torch.as_tensor(betas, dtype=self.scores.dtype, device=self.scores.device).sort()
        until, unsure = self._until(beta)
        sure, weights = self.wins.clone(), self._weights()
        sure[unsure] = False
        seen, unseen = (
            torch.bincount(until[rows], weights[rows], minlength=len(beta) + 1).double()  # of no clips it is long
            for rows in (sure & self.own, sure & ~self.own)
        )
        seen = seen.flip(0).cumsum(0).flip(0)[1:]  # right as long as the seen group takes the clip
        unseen = unseen.cumsum(0)[:-1]
        for step, value in enumerate(beta.tolist() if len(unsure) else ()):
            rows = unsure[self._predicted_right(unsure, value)]
            seen[step] += weights[rows][self.own[rows]].sum()
            unseen[step] += weights[rows][~self.own[rows]].sum()
        back = order.argsort()
        return _curve(np.asarray(betas, dtype=np.float64), seen[back].cpu().numpy(), unseen[back].cpu().numpy())

    def exact_curve(self) -> Curve:
        """See `exact_curve`."""
        best = self.true.maximum(self.rival).double()
        margin = torch.where(self.own, best - self.other, self.other - best).cpu().numpy()
        moves = np.isfinite(margin)
        if bool(self.seen.all()) or not bool(self.seen.any()) or not moves.any():
            return self.curve(np.zeros(1))
        weights, own, wins = self._weights().cpu().numpy(), self.own.cpu().numpy(), self.wins.cpu().numpy()
        steps, at = np.unique(margin[moves], return_inverse=True)
        seen, unseen = (
            np.bincount(at, (weights * (wins & group))[moves], minlength=len(steps)) for group in (own, ~own)
        )
        seen = np.append(seen[::-1].cumsum()[::-1], 0.0)
        unseen = np.insert(unseen.cumsum(), 0, 0.0)
        if not moves.all():  # an infinite margin: the same prediction at every beta
            right = self.right(0.0).cpu().numpy() & ~moves
            seen, unseen = seen + weights[right & own].sum(), unseen + weights[right & ~own].sum()
        reach = max(1e-6, float(steps[-1] - steps[0]) * 1e-3, 4 * float(np.spacing(np.abs(steps).max())))
        inner = (steps[1:] + steps[:-1]) / 2
        betas = np.concatenate([[steps[0] - reach], inner, [steps[-1] + reach]])
        inside = np.r_[True, (inner > steps[:-1]) & (inner < steps[1:]), True]  # neighbours leave no room for a beta
        return _curve(betas[inside], seen[inside], unseen[inside])

    def _until(self, beta: Tensor) -> tuple[Tensor, Tensor]:
        """How many of the increasing `beta [step]` leave a clip whose true class wins its group to the seen classes.

        Returns:
            `[clip]` counts, where on a tie between the groups the first class takes the clip; and the indices of the
            clips of which this is not known: rounding at some beta can make different scores of one group equal.
        """
        until = torch.zeros_like(self.labels)
        close = self.own & ~self._apart(self.true, self.rival, beta)
        rows = (self.wins & ~close).nonzero()[:, 0]
        true, other, own = self.true[rows], self.other[rows], self.own[rows]
        seen, unseen = torch.where(own, true, other), torch.where(own, other, true)
        strict = _count(beta, seen, unseen, torch.gt)
        until[rows] = strict
        equal = (seen - beta[strict.clamp(max=len(beta) - 1)] == unseen) & (strict < len(beta))
        if bool(equal.any()):
            tied = rows[equal]
            first, below = self._first(tied, ~own[equal], other[equal])
            close[tied] = ~own[equal] & ~self._apart(other[equal], below, beta)
            true_first = self.labels[tied] < first
            to_seen = true_first == own[equal]
            until[tied] = torch.where(to_seen, _count(beta, seen[equal], unseen[equal], torch.ge), strict[equal])
        return until, close.nonzero()[:, 0]

    def _apart(self, one: Tensor, two: Tensor, beta: Tensor) -> Tensor:
        """Where two scores differ by so much that they stay different when any `beta` is subtracted from both."""
        largest = one.abs().minimum(two.abs()) + beta.abs().max()
        return (one - two).abs() > 4 * torch.finfo(self.scores.dtype).eps * largest

    def _first(self, rows: Tensor, group: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        """First class of a group whose score is `best`, and the best different score below it; -inf without one.

        `group` is True where the seen classes are meant. Without classes in it the first is one past the last.
        """
        columns, scores = self.seen == group[:, None], self.scores[rows]
        equal = (scores == best[:, None]) & columns
        first = torch.where(equal.any(dim=1), equal.to(torch.uint8).argmax(dim=1), len(self.seen))
        return first, scores.masked_fill(equal | ~columns, -torch.inf).amax(dim=1)

    def _predicted_right(self, rows: Tensor, beta: float) -> Tensor:
        return predict_calibrated(self.scores[rows], self.seen, beta) == self.labels[rows]

    def _weights(self) -> Tensor:
        """`[clip]` weights that turn a sum over right clips into a mean class accuracy over the classes of a group."""
        counts = torch.bincount(self.labels, minlength=len(self.seen)).double()
        known = (counts > 0) & self.seen, (counts > 0) & ~self.seen
        classes = torch.where(self.own, known[0].sum(), known[1].sum())
        return 1 / (counts[self.labels] * classes)


def _best_scores(scores: Tensor, labels: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score of the true class, and the best seen and the best unseen score of any other; -inf where there is none.

    The one thing that takes O(clip * class): a block at a time is copied with the seen columns first, because the
    largest of neighbouring columns is found much faster than that of masked ones.
    """
    order = torch.cat([seen.nonzero()[:, 0], (~seen).nonzero()[:, 0]])
    place, split, rows = order.argsort()[labels][:, None], int(seen.sum()), max(1, _BLOCK // max(len(seen), 1))
    in_place = torch.equal(order, torch.arange(len(seen), device=order.device))
    found = scores.new_full((3, len(scores)), -torch.inf)
    for start in range(0, len(scores), rows):
        here = slice(start, start + rows)
        block = scores[here].clone() if in_place else scores[here].index_select(1, order)
        found[0, here] = block.gather(1, place[here])[:, 0]
        block.scatter_(1, place[here], -torch.inf)
        if split > 0:
            found[1, here] = block[:, :split].amax(dim=1)
        if split < len(seen):
            found[2, here] = block[:, split:].amax(dim=1)
    return found[0], found[1], found[2]


def _count(beta: Tensor, seen: Tensor, unseen: Tensor, above: _Compare) -> Tensor:
    """`[clip]` how many of the increasing `beta [step]` leave `seen - beta` `above` `unseen`, found by bisection.

    Subtraction is rounded as in `predict_calibrated`, and rounding keeps the order: the answer is exact.
    """
    low = torch.zeros_like(seen, dtype=torch.long)
    high = torch.full_like(low, len(beta))
    for _ in range(len(beta).bit_length()):
        middle = (low + high) // 2
        holds = above(seen - beta[middle.clamp(max=len(beta) - 1)], unseen) & (low < high)
        low, high = torch.where(holds, middle + 1, low), torch.where(holds, high, middle)
    return low


def _curve(beta: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> Curve:
    return Curve(beta, seen.round(_DECIMALS), unseen.round(_DECIMALS))
