"""Audio-MAE's encoder: a vision transformer on log-mel spectrograms (Huang et al., NeurIPS 2022).

Parameter names are those of the released `pretrained.pth` and `finetuned.pth` (facebookresearch/AudioMAE). The first
normalises every token (`norm`), the second the mean of them (`fc_norm`). https://arxiv.org/abs/2207.06405
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BANDS = 128
UNUSED = r"decoder_.*|mask_token|head\..*"  # what restores masked patches, and the classifier
_HEAD = 64  # width of an attention head in every size of it
_EPSILON = 1e-6


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        item, token, width = x.shape
        heads = self.qkv(x).reshape(item, token, 3, width // _HEAD, _HEAD).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        return self.proj(mixed.transpose(1, 2).reshape(item, token, width))


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Patches(nn.Module):
    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, side, side)


class AudioMae(nn.Module):
    """A spectrogram to its tokens, or to the mean of them.

    Args:
        width: Of a token, a multiple of 64.
        depth: Blocks.
        frames: Of a spectrogram.
        side: Of a patch, in frames and in bands.
        tuned: Fine-tuned weights, which normalise the mean.
    """

    def __init__(
        self, width: int = 768, depth: int = 12, frames: int = 1024, side: int = 16, *, tuned: bool = False
    ) -> None:
        super().__init__()
        self.frames, self.side, self.tuned = frames, side, tuned
        places = (frames // side) * (BANDS // side)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + places, width))
        self.patch_embed = _Patches(width, side)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        norm = nn.LayerNorm(width, eps=_EPSILON)
        if tuned:
            self.fc_norm = norm
        else:
            self.norm = norm

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> AudioMae:
        """A network of the sizes of `tensors`.

        Raises:
            KeyError: A tensor that tells them is missing.
            ValueError: They are those of no such network.
        """
        side, width = tensors["patch_embed.proj.weight"].shape[-1], tensors["cls_token"].shape[-1]
        places = tensors["pos_embed"].shape[1] - 1
        if width % _HEAD or not 0 < side <= BANDS or places % (BANDS // side):
            raise ValueError(f"{places} patches of {side} x {side} and tokens of {width}")
        depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
        return cls(width, depth, places // (BANDS // side) * side, side, tuned="fc_norm.weight" in tensors)

    def forward(self, spectrograms: Tensor, *, over_time: bool = False) -> Tensor:
        """The mean token without the class token, `[item, width]`, of spectrograms `[item, 1, frame, 128]`.

        Args:
            spectrograms: As many frames as the network was made for.
            over_time: One mean for each column of patches instead: `[item, frame / side, width]`.
        """
        x = self.patch_embed.proj(spectrograms).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([first, x], dim=1)
        for block in self.blocks:
            x = block(x)
        tokens = x[:, 1:] if self.tuned else self.norm(x)[:, 1:]
        columns = tokens.reshape(len(x), self.frames // self.side, BANDS // self.side, -1)
        pooled = columns.mean(dim=2) if over_time else columns.mean(dim=(1, 2))
        return self.fc_norm(pooled) if self.tuned else pooled
