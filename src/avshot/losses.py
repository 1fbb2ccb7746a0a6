"""Loss terms as pure functions of tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCES = ("cosine", "l2", "l1")
REDUCTIONS = ("mean", "sum")
_CHUNK_NUMBERS = 1 << 23  # numbers in the largest temporary of the ranking loss: 64 MiB in double precision


def pairwise_distance(a: Tensor, b: Tensor, distance: str = "cosine") -> Tensor:
    """Distances `[row of a, row of b]` between rows `a [n, dim]` and `b [m, dim]`.

    Args:
        a: First rows; not zero for "cosine".
        b: Second rows.
        distance: "cosine" (1 - cosine similarity, 0 to 2), "l2" (Euclidean) or "l1" (sum of absolute differences). The
            gradient of "l2" between equal rows is 0.

    Raises:
        ValueError: Another name.
    """
    if distance == "cosine":
        return 1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    if distance == "l2":
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # the other mode is inexact near 0
    if distance == "l1":
        return torch.cdist(a, b, p=1.0)
    raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}.")


def separation_loss(w: Tensor, *, distance: str = "cosine", reduction: str = "mean") -> Tensor:
    """Minus the distance of each class embedding to its nearest neighbour (EZ-AVGZL, eq. 1).

    The paper prints the Euclidean distance; its Table 8 and its best results (Table 10) are cosine distances. Equally
    near neighbours share the gradient. A single class has no neighbour and gives 0.

    Args:
        w: Class embeddings `[class, dim]`.
        distance: See `pairwise_distance`.
        reduction: "mean" or "sum" (printed) over classes.
    """
    if len(w) < 2:
        return w.sum() * 0
    between = pairwise_distance(w, w, distance)
    itself = torch.eye(len(w), dtype=torch.bool, device=w.device)
    nearest = between.masked_fill(itself, float("inf")).amin(dim=1)
    return -_reduce(nearest.sum(), len(w), reduction)


def proximity_loss(w: Tensor, t: Tensor, *, distance: str = "cosine", reduction: str = "mean") -> Tensor:
    """Distance of each class embedding to the one it started from (EZ-AVGZL, eq. 2).

    Args:
        w: Class embeddings `[class, dim]`.
        t: The original embeddings `[class, dim]`.
        distance: See `pairwise_distance`.
        reduction: "mean" or "sum" (printed) over classes.
    """
    if distance == "cosine":
        apart = 1 - F.cosine_similarity(w, t, dim=1)
    elif distance == "l2":
        apart = torch.linalg.vector_norm(w - t, dim=1)  # its gradient at 0 is 0
    elif distance == "l1":
        apart = (w - t).abs().sum(dim=1)
    else:
        raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}.")
    return _reduce(apart.sum(), len(w), reduction)


def ranking_loss(
    w: Tensor, t: Tensor, *, margin: float = 1.0, distance: str = "cosine", reduction: str = "mean"
) -> Tensor:
    """Margin ranking loss that keeps the order in which each class sees the others (EZ-AVGZL, eq. 3).

    For every class c and every pair of other classes (i, j): max(0, m - sign(dt_ci - dt_cj) (dw_ci - dw_cj)). Pairs
    tied in dt (up to rounding) are left out; the printed formula gives them the constant m, which moves nothing. Fewer
    than three classes have no pair and give 0.

    Args:
        w: Class embeddings `[class, dim]`.
        t: The original embeddings `[class, any dim]`; no gradient flows to them.
        margin: m, in units of the distance.
        distance: See `pairwise_distance`.
        reduction: "sum" (printed), or "mean": divided by the number of triples, class (class - 1) (class - 2).

    Returns:
        Scalar. Time grows with the cube of the number of classes, memory with its square.
    """
    count = len(w)
    if count < 3:
        return w.sum() * 0
    before = pairwise_distance(t.detach(), t.detach(), distance)
    total: Tensor = _RankingSum.apply(pairwise_distance(w, w, distance), before, margin)
    return _reduce(total, count * (count - 1) * (count - 2), reduction)


class _RankingSum(torch.autograd.Function):
    """Sum of the hinges. They are linear pieces, so the gradient is a matrix of counts, made on the way forward."""

    @staticmethod
    def forward(ctx: Any, dw: Tensor, dt: Tensor, margin: float) -> Tensor:
        """`dw`, `dt`: distances `[class, class]`."""
        count = len(dw)
        gradient = torch.zeros_like(dw)
        total = dw.new_zeros(())
        tie = 8 * torch.finfo(dt.dtype).eps
        classes = torch.arange(count, device=dw.device)
        for anchors in classes.split(max(1, _CHUNK_NUMBERS // count**2)):
            old, new = dt[anchors], dw[anchors]
            farther = old[:, :, None] > old[:, None, :] + tie  # [anchor, i, j]: i was farther than j
            row = torch.arange(len(anchors), device=dw.device)
            farther[row, anchors, :] = False  # c, i and j are distinct
            farther[row, :, anchors] = False
            hinge = (margin - new[:, :, None] + new[:, None, :]).clamp_(min=0)
            hinge = torch.where(farther, hinge, hinge.new_zeros(()))
            # (i, j) and (j, i) give equal terms: each pair is counted once and doubled.
            total += 2 * hinge.sum()
            active = hinge > 0
            gradient[anchors] = 2 * (active.sum(dim=1) - active.sum(dim=2)).to(dw.dtype)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        """Gradient with respect to `dw` alone."""
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None


def _reduce(total: Tensor, count: int, reduction: str) -> Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}.")
    return total / max(count, 1) if reduction == "mean" else total
