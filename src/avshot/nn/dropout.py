"""Dropout that draws few random numbers: on a processor torch's takes a tenth of a training step of TCaF."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Drop(torch.autograd.Function):
    """Multiply with 0 or `1 / (share of kept values)`; the multiplier is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, dropped: int) -> Tensor:
        bits = torch.empty((value.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.int16)[: value.numel()].view(value.shape) >= dropped - 2**15
        factor = kept.to(value.dtype).mul_(2**16 / (2**16 - dropped))
        ctx.save_for_backward(factor)
        return value * factor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return gradients[0] * factor, None


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` with 16 random bits for each value in place of a random float; about four times as fast.

    The probability is rounded to a multiple of 2 ** -16, and values are scaled by what the rounded one asks for. Off
    the processor this is torch's own dropout. Other draws than torch's: the same seed drops other values.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop values of any shape in training."""
        dropped = round(self.p * 2**16)
        if not self.training or not 0 < dropped < 2**16 or input.device.type != "cpu":
            return F.dropout(input, self.p, self.training)
        return _Drop.apply(input, dropped)


def use_dropout(module: nn.Module, kind: type[nn.Dropout] = Dropout) -> None:
    """Replace every dropout inside `module` by one of class `kind` with the same probability.

    For models of sequences, where dropout touches thousands of rows. Those of averaged features keep torch's, and with
    it their random numbers.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, kind(child.p))
        else:
            use_dropout(child, kind)
