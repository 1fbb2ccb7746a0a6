"""ResNet with 9 layers on spectrograms, SeLaVi's audio network: one block in each of ResNet's four groups.

Parameter names are those that SeLaVi's released files hold below `audio_network.base` (Asano et al., NeurIPS 2020,
https://arxiv.org/abs/2006.13662, section 4; blocks of He et al., CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a way past them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: Tensor) -> Tensor:
        past = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + past)


class ResNet9(nn.Module):
    """A spectrogram of one channel to the mean of the last map.

    Args:
        width: Channels of the first group; the output has 8 times as many.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(_Block(width, width, 1))
        self.layer2 = nn.Sequential(_Block(width, 2 * width, 2))
        self.layer3 = nn.Sequential(_Block(2 * width, 4 * width, 2))
        self.layer4 = nn.Sequential(_Block(4 * width, 8 * width, 2))

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> ResNet9:
        """A network of the sizes of `tensors`. Raises KeyError where the layer that tells them is missing."""
        return cls(len(tensors["conv1.weight"]))

    def forward(self, spectrograms: Tensor) -> Tensor:
        """`[item, 8 width]` of spectrograms `[item, 1, band, frame]`."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(spectrograms))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3))
