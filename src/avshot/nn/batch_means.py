"""What several processes that train on slices of one batch must know of each other's rows.

Two things in a loss ask about all rows of a batch at once: how many rows a mean goes over, and the statistics of a
batch norm. Both ask here. With one process, or outside `sharing`, the rows at hand are all there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avshot.nn import batch_means as together

AddUp = Callable[[Tensor], Tensor]  # the sum of a tensor over all processes, the same in each


@dataclass(frozen=True)
class Share:
    """The slice of a batch that this process holds.

    Attributes:
        part: Clips of the slice divided by clips of the batch: the weight of this process's loss.
        add_up: Sums a tensor over all processes; every process calls it equally often, in the same order.
    """

    part: float
    add_up: AddUp


_share: ContextVar[Share | None] = ContextVar("avshot_share", default=None)


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Losses computed inside are those of a slice; None = of the whole batch."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def count(real: Tensor) -> Tensor:
    """What a sum over the True rows of `real [row]` is divided by to make it a mean; at least 1 row is assumed.

    In a slice it is scaled so that the means of all slices, each times its `Share.part`, add up to the mean over the
    batch, however unevenly the True rows are spread.
    """
    share = _share.get()
    if share is None:
        return real.sum().clamp(min=1)
    return share.add_up(real.sum()).clamp(min=1) * share.part


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all processes, without a gradient; `value` itself where there is one process."""
    share = _share.get()
    return value if share is None else share.add_up(value.detach())


def moments(rows: Tensor) -> tuple[int, Tensor, Tensor] | None:
    """Number, mean `[dim]` and variance `[dim]` (divided by the number) of `rows [row, dim]` of all processes together.

    None without a share: one process has its own means. Gradients flow through them to the rows of every process. Rows
    that all processes hold alike, such as those of class embeddings, count once: they are known by their equal means.
    """
    share = _share.get()
    if share is None:
        return None
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))  # sums of bfloat16 would be worth little
    number = int(share.add_up(torch.tensor(len(rows), device=rows.device)))
    if number == 0:
        return 0, rows.sum(dim=0), rows.sum(dim=0)
    mean = _Sum.apply(rows.sum(dim=0), share.add_up) / number
    variance = _Sum.apply((rows - mean).square().sum(dim=0), share.add_up) / number
    alike = len(rows) > 0 and bool(((rows.mean(dim=0) - mean).abs() <= 1e-4 * variance.sqrt()).all())
    return len(rows) if alike else number, mean, variance


class _Sum(torch.autograd.Function):
    """Sum over processes. What one process adds moves the losses of all, so gradients are summed, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, add_up: AddUp) -> Tensor:
        """`value`: this process's summand."""
        ctx.add_up = add_up
        return add_up(value)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        """Through this class again, so that a gradient of a gradient is right as well."""
        return _Sum.apply(outer, ctx.add_up), None


def mean_over(rows: Tensor, real: Tensor) -> Tensor:
    """Mean of `rows [row]` where `real [row]` is True; 0, with a gradient of 0, where there is none."""
    return torch.where(real, rows, torch.zeros_like(rows)).sum() / together.count(real)


def squared_error(left: Tensor, right: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of `left` and `right` `[row, dim]` over all numbers of the rows where `real` is True."""
    return mean_over((left - right).square().mean(dim=1), real)
