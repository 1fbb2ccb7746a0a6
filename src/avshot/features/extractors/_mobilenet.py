"""The network of EfficientAT: MobileNetV3-Large on spectrograms, at any width.

Sources: Howard et al. 2019, "Searching for MobileNetV3", table 1 (https://arxiv.org/abs/1905.02244); Schmid et al.
2023, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation"
(https://arxiv.org/abs/2211.04772). Parameters have the names of the authors' release.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3  # of batch norm
# Table 1 of MobileNetV3: kernel, expanded channels, channels, squeeze and excitation, hard-swish, stride.
BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
STEM, HIDDEN, LAST = 16, 1280, 6  # channels of the stem and of the head, and by how much the last layer widens
EMBEDDING = LAST * BLOCKS[-1][2]  # its width in a network of width 1


def scaled(channels: float) -> int:
    """The multiple of 8 that is nearest to `channels`, 8 at least, and not more than a tenth below."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


class SqueezeExcitation(nn.Module):
    """Channels weighed by what the whole map holds (Hu et al. 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = scaled(channels // 4)
        self.fc1, self.fc2 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """`[clip, channel, band, frame]` to the same."""
        gate = self.fc2(F.relu(self.fc1(maps.mean(dim=(2, 3))))).sigmoid()
        return maps * gate[:, :, None, None]


class Concurrent(nn.Module):
    """The one squeeze and excitation of the release, under the name that it has there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([SqueezeExcitation(channels)])

    def forward(self, maps: Tensor) -> Tensor:
        """`[clip, channel, band, frame]` to the same."""
        return self.conc_se_layers[0](maps)


def convolution(into: int, out: int, kernel: int, stride: int = 1, groups: int = 1, *, act: str = "") -> nn.Sequential:
    """Convolution, batch norm and activation ("relu", "hardswish" or none)."""
    parts: list[nn.Module] = [
        nn.Conv2d(into, out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=EPSILON),
    ]
    if act:
        parts.append(nn.ReLU(inplace=True) if act == "relu" else nn.Hardswish(inplace=True))
    return nn.Sequential(*parts)


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; added to the input where the shape stays."""

    def __init__(
        self, into: int, expanded: int, out: int, kernel: int, stride: int, *, squeeze: bool, act: str
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = [] if expanded == into else [convolution(into, expanded, 1, act=act)]
        parts.append(convolution(expanded, expanded, kernel, stride, expanded, act=act))
        parts += [Concurrent(expanded)] if squeeze else []
        self.block = nn.Sequential(*parts, convolution(expanded, out, 1))
        self.added = stride == 1 and into == out

    def forward(self, maps: Tensor) -> Tensor:
        """`[clip, channel, band, frame]` to `[clip, out, band / stride, frame / stride]`."""
        made = self.block(maps)
        return maps + made if self.added else made


class MobileNet(nn.Module):
    """Spectrograms to an embedding and to logits."""

    def __init__(self, width: float, labels: int) -> None:
        super().__init__()
        into = scaled(STEM * width)
        layers: list[nn.Module] = [convolution(1, into, 3, 2, act="hardswish")]
        for kernel, *channels, squeeze, swish, stride in BLOCKS:
            expanded, out = (scaled(count * width) for count in channels)
            act = "hardswish" if swish else "relu"
            layers.append(InvertedResidual(into, expanded, out, kernel, stride, squeeze=squeeze, act=act))
            into = out
        self.features = nn.Sequential(*layers, convolution(into, LAST * into, 1, act="hardswish"))
        hidden = scaled(HIDDEN * width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(LAST * into, hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, labels),
        )

    def forward(self, spectrograms: Tensor, out: str) -> Tensor:
        """`[clip, 1, band, frame]` to embeddings `[clip, width]` (out="embedding") or logits `[clip, label]`."""
        pooled = self.classifier[:2](self.features(spectrograms))
        return pooled if out == "embedding" else self.classifier[2:](pooled)
