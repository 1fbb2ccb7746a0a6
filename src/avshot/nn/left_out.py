"""How much to shrink a shared covariance, and how large its distances are on clips that it has not seen.

Where clips are fewer than channels, a covariance fits its own clips too well: they lie nearer to their class means than
any new clip, and the more so the fewer they are. Both questions are answered on each clip in turn as if it had been
left out, of the covariance and of its class mean, by formulas and not by fitting again:

With n clips, m of them of the clip's class, residual r from the class mean (which contains the clip), covariance
S = sum r r' / n, its mean variance v, share a and K = (1 - a) S + a v I, the clip left out has the residual
r m / (m - 1), and r r' m / ((m - 1) n) leaves S. By Sherman and Morrison the inverse P of K becomes

    P + w / (1 - w q) P r r' P,    q = r' P r,    w = (1 - a) m / ((m - 1) n).

v and n stay as they are. Source: Friedman, "Regularized Discriminant Analysis", JASA 84, 1989, which chooses the share
by clips left out. (Their likelihood, as in Hoffbeck and Landgrebe, PAMI 18, 1996, takes far too small a
share where channels are ten times as many as clips.) Here K is also scaled, so that clips left out are on average as
far from their class as those of a Gaussian: a squared distance of as many as there are channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)  # that are tried
_LEAST = 1e-9  # of 1 - w q, and of a scale: a clip that alone spans a direction is infinitely far


@dataclass(frozen=True)
class LeftOut:
    """Some of the clips that a covariance was measured on.

    Attributes:
        value: `[clip, dim]`; does not matter where a clip lacks a channel.
        real: `[clip, dim]` bool.
        labels: `[clip]` index into the classes.
        means: `[class, dim]` of all clips.
        counts: `[class, dim]` clips that have the channel.
    """

    value: Tensor
    real: Tensor
    labels: Tensor
    means: Tensor
    counts: Tensor

    def share(self, covariance: Tensor, patterns: Tensor) -> float:
        """The one of `SHARES` under which clips left out are nearer to their class than to most, the largest of equals.

        What counts is how many of the other classes are farther away, which is smoother than how often all of them are.
        Classes count alike, and only those with two clips.

        Args:
            covariance: `[dim, dim]`, S.
            patterns: `[pattern, dim]` bool, sets of channels; the one that most clips have counts, the first on ties.

        Returns:
            The share; 1 where nothing tells it: no class has two clips, or no channel varies.
        """
        there = max(patterns, key=lambda one: int(self._having(one).sum()))
        clips, own = self._having(there), covariance[there][:, there]
        variance = float(own.trace()) / max(len(own), 1)
        if not bool(clips.any()) or variance <= 0:
            return 1.0
        spectrum, vectors = torch.linalg.eigh(own)
        value, means = self.value[clips][:, there] @ vectors, self.means[:, there] @ vectors
        labels, best, found = self.labels[clips], -1.0, 1.0
        same, judged = self._same(there)[clips], torch.bincount(labels, minlength=len(means))
        for share in reversed(SHARES):
            diagonal = 1 / ((1 - share) * spectrum.clamp(min=0) + share * variance)
            farther = _farther(value, means, labels, diagonal, same, (1 - share) / self._number(there))
            of_class = torch.bincount(labels, farther, len(means))[judged > 0] / judged[judged > 0]
            if float(of_class.mean()) > best + 1e-9:
                best, found = float(of_class.mean()), share
        return found

    def scale(self, precision: Tensor, there: Tensor, share: float) -> float:
        """What K has to be multiplied with, so that clips left out are on average `channels` from their class.

        Args:
            precision: `[dim, dim]`, the inverse of K, 0 outside the channels `there [dim]`.
            there: `[dim]` bool.
            share: How much K was shrunk.

        Returns:
            The factor; 1 where no class has two clips with these channels, or there are none.
        """
        clips = self._having(there)
        if not bool(clips.any()) or not bool(there.any()):
            return 1.0
        own, residual = precision[there][:, there], (self.value - self.means[self.labels])[clips][:, there]
        ratio, q = _ratio(self._same(there)[clips]), (residual @ own * residual).sum(dim=1)
        distance = ratio.square() * q / (1 - (1 - share) / self._number(there) * ratio * q).clamp(min=_LEAST)
        return max(float(distance.mean()) / len(own), _LEAST)

    def _same(self, there: Tensor) -> Tensor:
        """`[clip]` clips of each clip's class that have the channels `there [dim]`."""
        return self.counts[:, there].amin(dim=1)[self.labels] if bool(there.any()) else self.labels.to(self.value) * 0

    def _having(self, there: Tensor) -> Tensor:
        """`[clip]` bool: has all channels `there`, as another clip of its class has."""
        return self.real[:, there].all(dim=1) & (self._same(there) > 1)

    def _number(self, there: Tensor) -> float:
        return float(self.counts[:, there].sum(dim=0).amin())


def _ratio(same: Tensor) -> Tensor:
    return same / (same - 1)


def _farther(value: Tensor, means: Tensor, labels: Tensor, diagonal: Tensor, same: Tensor, factor: float) -> Tensor:
    """Share `[clip]` of the other classes that are farther from a clip left out than its own; P being diagonal.

    Args:
        value: `[clip, dim]`.
        means: `[class, dim]`, the clip in them.
        labels: `[clip]`.
        diagonal: `[dim]` of P.
        same: `[clip]` clips of the clip's class.
        factor: `(1 - a) / n`.
    """
    residual = value - means[labels]
    ratio, pulled = _ratio(same), residual * diagonal
    q = (pulled * residual).sum(dim=1)
    # Squared distances of x to all means, and what the rank-one change adds: gain (x - mean)' P r squared.
    plain = (value.square() @ diagonal)[:, None] - 2 * (value * diagonal) @ means.T + means.square() @ diagonal
    gain = factor * ratio / (1 - factor * ratio * q).clamp(min=_LEAST)
    along = (pulled * value).sum(dim=1, keepdim=True) - pulled @ means.T
    distance = plain + gain[:, None] * along.square()
    # Its own mean moves away from it by r / (m - 1).
    own = ratio.square() * (q + gain * q.square())
    farther = distance.scatter(1, labels[:, None], -torch.inf) > own[:, None]
    return farther.to(value).sum(dim=1) / max(len(means) - 1, 1)
