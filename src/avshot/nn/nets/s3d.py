"""S3D with gates and a text tower, trained on HowTo100M with MIL-NCE (Miech et al., CVPR 2020).

Parameter names are those of `s3d_howto100m.pth` (antoine77340/S3D_HowTo100M). Separable convolutions and gates: Xie et
al., ECCV 2018, sections 4 and 5, on Inception's groups. https://arxiv.org/abs/1912.06430, https://arxiv.org/abs/1712.04851
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WORDS = 16  # of a text; the rest is cut
_GROUPS = {  # channels of the four branches, and before the 3 x 3 x 3 of two of them, where the first layer has 64
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLED = {"mixed_3b": ((1, 3, 3), (1, 2, 2)), "mixed_4b": ((3, 3, 3), (2, 2, 2)), "mixed_5b": ((2, 2, 2), (2, 2, 2))}


def _pool(x: Tensor, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Maximum with TensorFlow's padding, whose zeros count; what is left over at an end is a window of its own."""
    pads: list[int] = []
    for extent, step in reversed(list(zip(size, stride, strict=True))):
        more = max(extent - step, 0)
        pads += [more // 2, more - more // 2]
    return F.max_pool3d(F.pad(x, pads), size, stride, ceil_mode=True)


class _Convolution(nn.Module):
    """A convolution, batch statistics and ReLU; where it is separable in space and then in time."""

    def __init__(self, inside: int, outside: int, size: tuple[int, int, int], padding: tuple[int, int, int]) -> None:
        super().__init__()
        self.separable = size == (3, 3, 3)
        if self.separable:
            self.conv1 = nn.Conv3d(inside, outside, (1, 3, 3), padding=(0, 1, 1), bias=False)
            self.bn1 = nn.BatchNorm3d(outside)
            self.conv2 = nn.Conv3d(outside, outside, (3, 1, 1), padding=(1, 0, 0), bias=False)
            self.bn2 = nn.BatchNorm3d(outside)
        else:
            self.conv1 = nn.Conv3d(inside, outside, size, padding=padding, bias=False)
            self.bn1 = nn.BatchNorm3d(outside)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x))) if self.separable else x


def _one(inside: int, outside: int) -> _Convolution:
    return _Convolution(inside, outside, (1, 1, 1), (0, 0, 0))


def _three(inside: int, outside: int) -> _Convolution:
    return _Convolution(inside, outside, (3, 3, 3), (1, 1, 1))


class _Gate(nn.Module):
    """Weighs channels by their means over time and space."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))[:, :, None, None, None] * x


class _Group(nn.Module):
    """Inception's four branches, each with a gate."""

    def __init__(self, inside: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = sizes
        self.conv_b0 = _one(inside, b0)
        self.conv_b1_a, self.conv_b1_b = _one(inside, b1a), _three(b1a, b1b)
        self.conv_b2_a, self.conv_b2_b = _one(inside, b2a), _three(b2a, b2b)
        self.conv_b3_b = _one(inside, b3b)
        self.gating_b0, self.gating_b1, self.gating_b2, self.gating_b3 = map(_Gate, (b0, b1b, b2b, b3b))
        self.outside = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.gating_b0(self.conv_b0(x)),
            self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
            self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
            self.gating_b3(self.conv_b3_b(F.max_pool3d(x, 3, 1, 1))),
        )
        return torch.cat(branches, dim=1)


class WordTower(nn.Module):
    """The text tower: the maximum over the words of a text of a layer over each word's vector, and one more layer.

    Args:
        words: Vectors, that of padding (0) included.
        width: Of a word's vector.
        hidden: Of the layer over each.
        joint: Width of the space that texts and clips share.
    """

    def __init__(self, words: int = 66250, width: int = 300, hidden: int = 2048, joint: int = 512) -> None:
        super().__init__()
        self.word_embd = nn.Embedding(words, width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, joint)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[text, joint]` of word numbers `[text, 16]`; padding takes part in the maximum, as it did in training."""
        return self.fc2(F.relu(self.fc1(self.word_embd(tokens))).amax(dim=1))


class S3D(nn.Module):
    """A clip to its mean features and its place in the space that texts lie in.

    Args:
        width: Channels of the first layer, a multiple of 8; all others are in proportion.
        joint: Width of the shared space.
        words: Of the text tower.
        word_width: Of a word's vector.
        hidden: Of the text tower.
    """

    def __init__(
        self, width: int = 64, joint: int = 512, words: int = 66250, word_width: int = 300, hidden: int = 2048
    ) -> None:
        super().__init__()
        # Eight neighbours of a pixel in time and space stand as channels, so 2 x 4 x 4 of them are 4 x 8 x 8 pixels.
        self.conv1 = _Convolution(24, width, (2, 4, 4), (1, 2, 2))
        self.conv_2b, self.conv_2c = _one(width, width), _three(width, 3 * width)
        self.gating = _Gate(3 * width)
        inside = 3 * width
        for name, sizes in _GROUPS.items():
            group = _Group(inside, tuple(size * width // 64 for size in sizes))
            self.add_module(name, group)
            inside = group.outside
        self.fc = nn.Linear(inside, joint)
        self.text_module = WordTower(words, word_width, hidden, joint)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> S3D:
        """A network of the sizes of `tensors`. Raises KeyError where a layer that tells them is missing."""
        words, word_width = tensors["text_module.word_embd.weight"].shape
        hidden = len(tensors["text_module.fc1.weight"])
        return cls(len(tensors["conv1.conv1.weight"]), len(tensors["fc.weight"]), words, word_width, hidden)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of `mixed_5c` `[clip, 16 width]` and the embedding `[clip, joint]`, not of unit length.

        Args:
            clips: `[clip, colour, time, height, width]` in [0, 1], all even.
        """
        x = self.conv1(_neighbours_as_channels(clips))[:, :, 1:, 1:, 1:]  # TensorFlow pads at the beginning alone
        x = self.gating(self.conv_2c(self.conv_2b(_pool(x, (1, 3, 3), (1, 2, 2)))))
        for name in _GROUPS:
            if name in _POOLED:
                x = _pool(x, *_POOLED[name])
            x = self.get_submodule(name)(x)
        mean = x.mean(dim=(2, 3, 4))
        return mean, self.fc(mean)


def _neighbours_as_channels(clips: Tensor) -> Tensor:
    """`[clip, colour, time, height, width]` as `[clip, 8 colour, time / 2, height / 2, width / 2]`."""
    clip, colour, time, height, width = clips.shape
    parts = clips.reshape(clip, colour, time // 2, 2, height // 2, 2, width // 2, 2).permute(0, 3, 5, 7, 1, 2, 4, 6)
    return parts.reshape(clip, 8 * colour, time // 2, height // 2, width // 2)
