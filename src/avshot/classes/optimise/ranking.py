"""The ranking loss of class-embedding optimisation: exact, as printed, and sampled (EZ-AVGZL, eq. 3)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from avshot.classes.optimise.losses import own_entries, pairwise_distance, reduced, row_chunks, rowwise_distance, widest
from avshot.classes.optimise.order import Order
from avshot.classes.optimise.wavelet import count_torch

METHODS = ("auto", "compiled", "torch", "dense", "sampled")
SAMPLES = 100_000
_FEW = 500  # classes below which loading numba takes longer than all steps of an optimisation in torch

Count = Callable[[Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, int]]


def ranking_loss(
    w: Tensor,
    t: Tensor | Order,
    *,
    margin: float = 1.0,
    distance: str = "cosine",
    reduction: str = "mean",
    method: str = "auto",
    samples: int = SAMPLES,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Margin ranking loss that keeps the order in which each class sees the others (EZ-AVGZL, eq. 3).

    For every class c and every pair of other classes (i, j): max(0, m - sign(dt_ci - dt_cj) (dw_ci - dw_cj)). Pairs
    tied in dt (up to rounding) are left out; the printed formula gives them the constant m, which moves nothing. Fewer
    than three classes have no pair and give 0. Where a hinge is exactly 0 its gradient is 0.

    Time O(C^2 log C) for C classes, besides the distances themselves, O(C^2 dim). Memory O(C^2) for the order, 2 bytes
    a pair (6 with ties; twice that from 32,768 classes), and a few hundred MB whatever C. The gradient is made on the
    way forward.

    Args:
        w: Class embeddings `[class, dim]`, float32 or float64.
        t: The original embeddings `[class, any dim]`, or their `Order`; no gradient flows to them.
        margin: m, in units of the distance.
        distance: See `pairwise_distance`. An `Order` must have been made with the same.
        reduction: "sum" (printed), or "mean": divided by the number of triples, class (class - 1) (class - 2).
        method: "auto" (exact: "compiled" on the CPU from 500 classes where numba is installed, else "torch"),
            "compiled", "torch", "dense" (the printed formula, all triples at once: a reference for a few hundred
            classes; memory O(C^3)), or "sampled" (the paper's suggestion: unbiased, from random triples).
        samples: Triples drawn by "sampled".
        generator: For "sampled", on the device of `w`; None is torch's own.

    Returns:
        Scalar of the type of `w`. "compiled" and "torch" give the same number, from the same integer counts; on a CPU
        "torch" takes 2 to 3 times as long.

    Raises:
        ValueError: An unknown name, another type, a margin that is not finite, no samples, an order of another number
            of classes, "compiled" without numba or on another device.
    """
    _check(w, t, margin, method, samples)
    count = len(w)
    if count < 3:
        return reduced(w.sum() * 0, 1, reduction)
    order = t if isinstance(t, Order) else Order.of(t, distance)
    triples = count * (count - 1) * (count - 2)
    if method == "sampled":
        total = _sampled(w, order, margin, distance, samples, generator) * triples
    elif method == "dense":
        total = _dense(w, order, margin, distance)
    else:
        total = _RankingSum.apply(w, order, margin, distance, _counting(method, w.device, count))
    return reduced(total, triples, reduction)


class _RankingSum(torch.autograd.Function):
    """Sum of the hinges, some anchors at a time; the gradient is made on the way forward."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, order: Order, margin: float, distance: str, count: Count) -> Tensor:
        needed = ctx.needs_input_grad[0]
        w = w.detach().requires_grad_(needed)
        gradient, total, exact = torch.zeros_like(w), 0.0, widest(w.device)
        for rows in row_chunks(len(w), len(w)):
            with torch.set_grad_enabled(needed):
                between = pairwise_distance(w[rows], w, distance)
            counts, pairs = _counts(between.detach(), rows, order, margin, count)
            weights = counts.to(w.dtype)
            linear = torch.dot(between.detach().to(exact).flatten(), weights.to(exact).flatten())
            total += margin * pairs + float(linear)
            if needed:
                gradient += torch.autograd.grad(between, w, weights)[0]
        # (i, j) and (j, i) give equal terms: each pair was counted once and is doubled.
        ctx.save_for_backward(2 * gradient)
        return w.new_tensor(2 * total)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Gradient with respect to `w` alone."""
        (gradient,) = ctx.saved_tensors
        return outer * gradient, None, None, None, None


def _counts(between: Tensor, rows: slice, order: Order, margin: float, count: Count) -> tuple[Tensor, int]:
    """Gradient `[anchor, class]` with respect to the distances `between`, and the number of active pairs."""
    place, low, high = order.rows(rows)
    others = len(order) - 1
    new = between.clone()
    own_entries(new, rows).fill_(-math.inf)
    largest = new.amax(dim=1)
    own_entries(new, rows).fill_(math.inf)
    sort = largest >= new.amin(dim=1) + margin
    if bool(sort.all()):
        counts, pairs = count(new, place, low, high, margin)
    else:  # where every hinge is active, the margin being above every difference, nothing needs sorting
        counts = others - high.int() - low
        pairs = int((others - high.int()).clamp_(min=0)[~sort].sum())
        if bool(sort.any()):
            counts[sort], more = count(new[sort], place[sort], low[sort], high[sort], margin)
            pairs += more
    own_entries(counts, rows).fill_(0)
    return counts, pairs


def _dense(w: Tensor, order: Order, margin: float, distance: str) -> Tensor:
    """Eq. 3 as printed, all triples at once."""
    _, low, high = order.rows(slice(None))
    farther = low[:, :, None] >= high[:, None, :]  # [c, i, j]: i was farther than j
    itself = torch.eye(len(w), dtype=torch.bool, device=w.device)
    sign = (farther.to(w.dtype) - farther.transpose(1, 2).to(w.dtype)).masked_fill(
        itself[:, :, None] | itself[:, None], 0
    )
    between = pairwise_distance(w, w, distance)
    hinge = torch.relu(margin - sign * (between[:, :, None] - between[:, None, :]))
    return torch.where(sign != 0, hinge, 0).sum()


def _sampled(
    w: Tensor, order: Order, margin: float, distance: str, samples: int, generator: torch.Generator | None
) -> Tensor:
    """Mean hinge of triples of different classes drawn evenly, with replacement."""
    count = len(w)
    draws = [torch.randint(count - k, (samples,), generator=generator, device=w.device) for k in range(3)]
    c, i, j = draws
    i = i + (i >= c)  # c is skipped
    first, second = torch.minimum(c, i), torch.maximum(c, i)
    j = j + (j >= first)
    j = j + (j >= second)
    _, low, high = order.rows(slice(None))
    sign = (low[c, i] >= high[c, j]).to(w.dtype) - (low[c, j] >= high[c, i]).to(w.dtype)
    apart = rowwise_distance(w[c], w[i], distance) - rowwise_distance(w[c], w[j], distance)
    return torch.where(sign != 0, torch.relu(margin - sign * apart), 0).mean()


def _counting(method: str, device: torch.device, count: int) -> Count:
    installed = importlib.util.find_spec("numba") is not None
    if method == "torch" or (method == "auto" and (not installed or device.type != "cpu" or count < _FEW)):
        return count_torch
    if not installed:
        raise ValueError('method "compiled" needs numba, which is not installed; pip install "avshot[fast]".')
    if device.type != "cpu":
        raise ValueError(f'method "compiled" runs on the CPU, and the class embeddings are on {device}; use "torch".')
    from avshot.classes.optimise.compiled import count_compiled

    return count_compiled


def _check(w: Tensor, t: Tensor | Order, margin: float, method: str, samples: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    if samples < 1:
        raise ValueError(f"samples is {samples}; expected at least 1.")
    if not math.isfinite(margin):
        raise ValueError(f"margin is {margin}; expected a finite number.")
    if w.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"The class embeddings are {w.dtype}; expected torch.float32 or torch.float64.")
    if len(t) != len(w):
        raise ValueError(f"There are {len(w)} class embeddings and {len(t)} original ones; expected as many.")
