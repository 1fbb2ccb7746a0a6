"""Gaussian classes with one shared covariance: estimate it from clips that may lack a modality, and score with it."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("shared", "isotropic")


def shrunk(covariance: Tensor, share: float) -> Tensor:
    """The covariance `[dim, dim]` with a `share` from 0 to 1 of it replaced by its mean variance on the diagonal.

    A covariance of zeros gives the identity: nothing is known. Source: Ledoit and Wolf, "A Well-Conditioned Estimator
    for Large-Dimensional Covariance Matrices", 2004, with a given share (as `shrinkage` in scikit-learn).
    """
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    variance = covariance.trace() / max(len(covariance), 1)
    return (1 - share) * covariance + share * variance * identity if float(variance) > 0 else identity


def from_scatter(scatter: Tensor, counts: Tensor) -> Tensor:
    """Covariance `[dim, dim]` from a sum of outer products of residuals that are 0 where a clip lacks a modality.

    Each variance is over the clips that have the channel. Between channels of two modalities the sum is over the clips
    that have both and the divisor is the geometric mean of both counts, so that the result has no negative variance in
    any direction; with complete clips it is the usual one.

    Args:
        scatter: `[dim, dim]`.
        counts: `[dim]`, clips that have the channel.
    """
    root = counts.clamp(min=1).sqrt()
    return scatter / root[:, None] / root


def precisions(covariance: Tensor, patterns: Tensor, kind: str = "shared") -> Tensor:
    """Inverse covariances of clips that lack channels, 0 elsewhere: `[pattern, dim, dim]`.

    A clip without a modality is scored by the marginal of the Gaussians over what it has.

    Args:
        covariance: `[dim, dim]`, positive definite.
        patterns: `[pattern, dim]` bool, the channels that are there.
        kind: "shared" as it is; "isotropic": its mean variance in every direction, which makes the nearest mean win.
    """
    found = covariance.new_zeros(len(patterns), *covariance.shape)
    variance = covariance.trace() / max(len(covariance), 1)
    for precision, there in zip(found, patterns, strict=True):
        rows = there.nonzero()[:, 0]
        if kind == "isotropic":
            precision[rows, rows] = 1 / variance
        elif len(rows):
            factor = torch.linalg.cholesky(covariance[rows][:, rows])
            precision[rows[:, None], rows] = torch.cholesky_inverse(factor)
    return found
