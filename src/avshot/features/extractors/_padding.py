"""Convolutions with zeros around their maps as TensorFlow puts them, for networks that were trained there."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def same_convolution(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    """`layer` over `maps` `[picture, channel, row, column]` with padding "SAME": an output for each stride begun.

    Where the zeros that this takes are odd in number, the one more is at the end; torch's own padding has as many on
    either side. The layer's own padding is not looked at.
    """
    zeros = [
        max((-(-size // stride) - 1) * stride + kernel - size, 0)
        for size, kernel, stride in zip(maps.shape[2:], layer.kernel_size, layer.stride, strict=True)
    ]
    if any(count % 2 for count in zeros):
        rows, columns = zeros
        maps = F.pad(maps, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        zeros = [0, 0]
    padding = [count // 2 for count in zeros]
    return F.conv2d(maps, layer.weight, layer.bias, layer.stride, padding, layer.dilation, layer.groups)
