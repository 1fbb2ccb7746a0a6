"""Loss terms as pure functions of tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot import together

DISTANCES = ("cosine", "l2", "l1")
REDUCTIONS = ("mean", "sum")
_CHUNK_NUMBERS = 1 << 23  # numbers in the largest temporary of the ranking loss: 64 MiB in double precision


def mean_over(rows: Tensor, real: Tensor) -> Tensor:
    """Mean of `rows [row]` where `real [row]` is True; 0, with a gradient of 0, where there is none."""
    return torch.where(real, rows, torch.zeros_like(rows)).sum() / together.count(real)


def squared_error(left: Tensor, right: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of `left` and `right` `[row, dim]` over all numbers of the rows where `real` is True."""
    return mean_over((left - right).square().mean(dim=1), real)


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
        Scalar. Exact, in O(C^2 log^2 C) time and O(C^2) memory for C classes: for one c, the pairs ordered by dt whose
        hinge is active are those ordered by dw up to the margin, so they are counted by merging, not listed. Classes c
        that see ties take the pair-by-pair way, O(C^2) each.
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
        others = torch.arange(count, device=dw.device).repeat(count, 1)
        others = others[~torch.eye(count, dtype=torch.bool, device=dw.device)].reshape(count, count - 1)
        old, order = dt.gather(1, others).sort(dim=1)
        others = others.gather(1, order)  # for each anchor the other classes, near to far before
        new = dw.gather(1, others)
        tied = (old[:, 1:] - old[:, :-1] <= _tie(old)).any(dim=1)
        total, counts = dw.new_zeros(()), torch.zeros_like(new)
        if not bool(tied.all()):
            part, counts[~tied] = _ordered_hinges(new[~tied], margin)
            total += part
        for anchors in tied.nonzero().flatten().split(max(1, _CHUNK_NUMBERS // count**2)):
            part, counts[anchors] = _all_hinges(new[anchors], old[anchors], margin)
            total += part
        # (i, j) and (j, i) give equal terms: each pair was counted once and is doubled.
        ctx.save_for_backward(torch.zeros_like(dw).scatter_(1, others, 2 * counts))
        return 2 * total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        """Gradient with respect to `dw` alone."""
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None


def _tie(distances: Tensor) -> float:
    return 8 * torch.finfo(distances.dtype).eps


def _all_hinges(new: Tensor, old: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Sum and gradient `[anchor, other]` of max(0, m - (new_i - new_j)) over pairs with old_i > old_j, pair by pair."""
    farther = old[:, :, None] > old[:, None, :] + _tie(old)  # [anchor, i, j]: i was farther than j
    hinge = torch.where(farther, margin - new[:, :, None] + new[:, None, :], 0.0).clamp_(min=0)
    active = hinge > 0
    return hinge.sum(), (active.sum(dim=1) - active.sum(dim=2)).to(new.dtype)


def _ordered_hinges(new: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """The same for columns sorted by `old` without ties, by merging: O(C log^2 C) per anchor instead of O(C^2).

    At each level every block meets its right neighbour, whose classes all were farther. For a class p on the left, the
    active ones on the right are those below new_p + m: a prefix of the sorted right block, found by bisection.
    """
    anchors, count = new.shape
    size = 1 << max(count - 1, 0).bit_length()
    padded = torch.cat([new, new.new_full((anchors, size - count), float("inf"))], dim=1)  # no hinge reaches infinity
    total, gradient = new.new_zeros(()), torch.zeros_like(padded)
    width = 1
    while width < size:
        left, right = padded.view(anchors, -1, 2, width).unbind(dim=2)
        near, far = left.sort(dim=2).values, right.sort(dim=2).values
        active = torch.searchsorted(far, left + margin)  # of each left one: partners on the right
        finite = torch.where(far.isinf(), 0.0, far)
        partners = torch.cat([torch.zeros_like(finite[:, :, :1]), finite.cumsum(dim=2)], dim=2).gather(2, active)
        total += torch.where(left.isinf(), 0.0, active * (margin + left) - partners).sum()
        view = gradient.view(anchors, -1, 2, width)
        view[:, :, 0] += active
        view[:, :, 1] -= width - torch.searchsorted(near, right - margin, right=True)
        width *= 2
    return total, gradient[:, :count]


def _reduce(total: Tensor, count: int, reduction: str) -> Tensor:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}.")
    return total / max(count, 1) if reduction == "mean" else total
