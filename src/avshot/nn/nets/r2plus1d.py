"""R(2+1)D with 18 layers: convolutions in space and in time one after the other (Tran et al., CVPR 2018).

Parameter names are those that SeLaVi's released files hold below `video_network.base` (torchvision's `r2plus1d_18`,
whose classifier SeLaVi leaves out). https://arxiv.org/abs/1711.11248, section 3.5
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


def _between(inside: int, outside: int) -> int:
    """Channels between space and time that give as many parameters as one 3 x 3 x 3 convolution (section 3.5)."""
    return inside * outside * 27 // (inside * 9 + 3 * outside)


def _space_time(inside: int, between: int, outside: int, stride: int) -> nn.Sequential:
    """3 x 3 in space, then 3 in time."""
    return nn.Sequential(
        nn.Conv3d(inside, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(),
        nn.Conv3d(between, outside, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class _Block(nn.Module):
    """Two convolutions and a way past them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        between = _between(inside, outside)
        self.conv1 = nn.Sequential(_space_time(inside, between, outside, stride), nn.BatchNorm3d(outside), nn.ReLU())
        # The number between is that of the first convolution, though this one has as many channels in as out.
        self.conv2 = nn.Sequential(_space_time(outside, between, outside, 1), nn.BatchNorm3d(outside))
        self.downsample = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv3d(inside, outside, 1, stride, bias=False), nn.BatchNorm3d(outside))

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(self.conv1(x)) + past)


class R2Plus1D(nn.Module):
    """A clip to the mean of the last map over time and space.

    Args:
        width: Channels of the first group of blocks; the output has 8 times as many.
        stem: Channels between space and time in the stem.
    """

    def __init__(self, width: int = 64, stem: int = 45) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, stem, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(stem),
            nn.ReLU(),
            nn.Conv3d(stem, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )
        self.layer1 = nn.Sequential(_Block(width, width, 1), _Block(width, width, 1))
        self.layer2 = nn.Sequential(_Block(width, 2 * width, 2), _Block(2 * width, 2 * width, 1))
        self.layer3 = nn.Sequential(_Block(2 * width, 4 * width, 2), _Block(4 * width, 4 * width, 1))
        self.layer4 = nn.Sequential(_Block(4 * width, 8 * width, 2), _Block(8 * width, 8 * width, 1))

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> R2Plus1D:
        """A network of the sizes of `tensors`. Raises KeyError where a layer that tells them is missing."""
        return cls(len(tensors["stem.3.weight"]), len(tensors["stem.0.weight"]))

    def forward(self, clips: Tensor) -> Tensor:
        """`[clip, 8 width]` of clips `[clip, colour, time, height, width]`."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(clips)))))
        return x.mean(dim=(2, 3, 4))
