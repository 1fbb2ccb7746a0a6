"""Rows of the table of all pairs of action and adverb, through a batch norm over the table and a small network.

A row is two halves side by side, one for the adverb and one for the action. With V adverbs and A actions there are
V x A rows, but means and variances of their columns, and their product with the first layer, follow from the V + A
halves: two products in place of one with the whole table. Behind the first layer only the rows that are asked for are
put together. That is what computing the whole table and picking rows gives, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting


@dataclass(frozen=True)
class Form:
    """What differs between the composers of ReGaDa and TIRG.

    Attributes:
        slope: Of the leaky ReLU; 0 = ReLU.
        relu_first: A ReLU between batch norm and first layer.
        weights: First values of w_g and w_r.
    """

    slope: float = 0.2
    relu_first: bool = False
    weights: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Table:
    """Which rows of a table of pairs are wanted, and how often each half stands in it.

    Attributes:
        main: `[row]` long: main half of each row that is wanted.
        aux: `[row]` long: its other half.
        main_count: `[value]` how many rows of the whole table have this main half.
        aux_count: `[value]` the same for the others.
    """

    main: Tensor
    aux: Tensor
    main_count: Tensor
    aux_count: Tensor


class TableNorm(nn.Module):
    """`torch.nn.BatchNorm1d` over all rows of a table of pairs, from its halves: the same names and numbers.

    With fewer than two rows it normalises with the running statistics, which stay, as `avshot.nn.mlp.BatchNorm` does.

    Args:
        dim: Width of either half.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum, eps = 0.1, 1e-5

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2 * dim))
        self.bias = nn.Parameter(torch.zeros(2 * dim))
        self.register_buffer("running_mean", torch.zeros(2 * dim))
        self.register_buffer("running_var", torch.ones(2 * dim))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, main: Tensor, aux: Tensor, table: Table) -> tuple[Tensor, Tensor]:
        """Normalise both halves."""
        width = main.shape[1]
        mean, variance = self.running_mean, self.running_var
        number = float(table.main_count.sum()) if self.training else 0.0
        if number >= 2:
            sides = ((main, table.main_count), (aux, table.aux_count))
            moments = [_moments(side, count, number) for side, count in sides]
            mean, variance = (torch.cat(part) for part in zip(*moments, strict=True))
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
                unbiased = variance * (number / (number - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
                self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        mean, scale, bias = (part.split(width) for part in (mean, scale, self.bias))
        return (main - mean[0]) * scale[0] + bias[0], (aux - mean[1]) * scale[1] + bias[1]


class PairNetwork(nn.Module):
    """Batch norm over a table of pairs, then layers: `count - 1` of linear, dropout, leaky ReLU, and a last linear one.

    Args:
        dim: Width of either half, and of the output.
        count: Number of linear layers, at least 1.
        dropout: Probability.
        form: See `Form`.

    Raises:
        ValueError: No layers.
    """

    def __init__(self, dim: int, count: int, *, dropout: float, form: Form) -> None:
        super().__init__()
        if count < 1:
            raise BadSetting(f"gate_layers or residual_layers is {count}; expected at least 1.")
        self.form = form
        self.norm = TableNorm(dim)
        widths = [2 * dim] * (count - 1) + [dim]
        self.layers = nn.ModuleList(nn.Linear(2 * dim, width) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, main: Tensor, aux: Tensor, table: Table) -> Tensor:
        """Rows of the table that are asked for: `[row, dim]` from halves `main [value, dim]`, `aux [value, dim]`."""
        main, aux = self.norm(main, aux, table)
        if self.form.relu_first:
            main, aux = main.relu(), aux.relu()
        first = self.layers[0]
        of_main, of_aux = first.get_parameter("weight").split(main.shape[1], dim=1)
        halves = F.linear(main, of_main)[table.main], F.linear(aux, of_aux)[table.aux]
        value = halves[0] + halves[1] + first.get_parameter("bias")
        for layer in self.layers[1:]:
            value = layer(F.leaky_relu(self.dropout(value), self.form.slope))
        return value


def _moments(rows: Tensor, count: Tensor, number: float) -> tuple[Tensor, Tensor]:
    """Mean and variance `[dim]` of a table of `number` rows, made up of `rows [value, dim]` so many times each."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))  # sums of bfloat16 would be worth little
    share = count.to(rows.dtype) / number
    mean = share @ rows
    return mean, share @ (rows - mean).square()
