"""Zeros around maps as TensorFlow puts them, for networks that were trained there."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(maps: Tensor, layer: nn.Conv2d) -> Tensor:
    """TensorFlow's padding "SAME" of `maps` `[..., row, column]`: an output for each stride begun.

    Where the zeros are odd in number, the one more is at the end; torch's own padding has as many on either side.
    """
    sides: list[int] = []
    for size, kernel, stride in zip(maps.shape[:-3:-1], layer.kernel_size[::-1], layer.stride[::-1], strict=True):
        zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides += [zeros // 2, zeros - zeros // 2]
    return F.pad(maps, sides) if any(sides) else maps
