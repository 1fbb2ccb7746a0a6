"""The picture tower of Perception Encoder ("PE core", Bolya et al. 2025, https://arxiv.org/abs/2504.13181).

A ViT with learnt and with rotary positions, normalised before and after its blocks, pooled by attention with one learnt
query, and a linear layer. Parameter names are those under which the weights were released for timm
(`vit_pe_core_large_patch14_336` and smaller), so that PE-AV's checkpoints load where timm is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting

_EPS = 1e-5
_TEMPERATURE = 10_000.0  # of rotary positions
_POOL_HEADS = 8


@dataclass(frozen=True)
class PeCoreSize:
    """Sizes of a tower.

    Attributes:
        patch: Pixels of a patch's side.
        width: Width of the tower.
        depth: Blocks.
        heads: Attention heads.
        image: Pixels of the picture's side, a multiple of `patch`.
        reference: Patches in a row for which rotary positions count 1, 2, ...; other grids are stretched to it.
        outputs: Width of the vectors that come out.
    """

    patch: int
    width: int
    depth: int
    heads: int
    image: int
    reference: int
    outputs: int = 1024


# Of timm's registry; the tower of 1.9 billion parameters has no class token and is left out: no PE-AV has it.
SIZES = {
    "vit_pe_core_tiny_patch16_384": PeCoreSize(16, 192, 12, 3, 384, 24),
    "vit_pe_core_small_patch16_384": PeCoreSize(16, 384, 12, 6, 384, 24),
    "vit_pe_core_base_patch16_224": PeCoreSize(16, 768, 12, 12, 224, 14),
    "vit_pe_core_large_patch14_336": PeCoreSize(14, 1024, 24, 16, 336, 24),
}
_ARGUMENTS = {
    "patch_size": "patch",
    "embed_dim": "width",
    "depth": "depth",
    "num_heads": "heads",
    "img_size": "image",
    "ref_feat_shape": "reference",
}


def size_of(config: Mapping[str, Any]) -> PeCoreSize:
    """Sizes that a checkpoint's `vision_config` states: timm's architecture, and what `model_args` change of it.

    Raises:
        ValueError: Another architecture, or an argument that this tower does not have.
    """
    name = str(config.get("architecture"))
    if name not in SIZES:
        raise BadSetting(f"PE-AV's picture tower is {name!r}; known: {', '.join(SIZES)}.")
    changed: dict[str, int] = {}
    for key, value in dict(config.get("model_args") or {}).items():
        if key in _ARGUMENTS:
            changed[_ARGUMENTS[key]] = int(value[0] if isinstance(value, (list, tuple)) else value)
        elif (key, value) != ("global_pool", "map"):
            raise BadSetting(f"PE-AV's picture tower has {key}={value!r}; expected {', '.join(_ARGUMENTS)} alone.")
    outputs = config.get("num_classes") or config.get("num_labels") or SIZES[name].outputs
    return PeCoreSize(**{**vars(SIZES[name]), **changed, "outputs": int(outputs)})


class PeCore(nn.Module):
    """Pictures to vectors; see the module."""

    def __init__(self, size: PeCoreSize) -> None:
        super().__init__()
        side, width = size.image // size.patch, size.width
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, size.patch, size.patch, bias=False)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side + 1, width))
        self.norm_pre = nn.LayerNorm(width, eps=_EPS)
        self.blocks = nn.ModuleList([_Block(width, size.heads) for _ in range(size.depth)])
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.attn_pool = _Pool(width)
        self.head = nn.Linear(width, size.outputs)
        self._turns = rotations(side, width // size.heads, size.reference)

    def forward(self, pixels: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            pixels: `[picture, 3, image, image]`, normalised.

        Returns:
            `[picture, outputs]`, not of unit length.
        """
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        state = torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches], dim=1) + self.pos_embed
        state, turns = self.norm_pre(state), self._turns.to(patches)
        for block in self.blocks:
            state = block(state, turns)
        found: Tensor = self.head(self.attn_pool(self.norm(state)))
        return found


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = _mlp(width)
        self._heads = heads

    def forward(self, state: Tensor, turns: Tensor) -> Tensor:
        parts = self.attn["qkv"](self.norm1(state)).unflatten(2, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = turned(parts[0], turns), turned(parts[1], turns), parts[2]
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        state = state + self.attn["proj"](mixed)
        return state + _through(self.mlp, self.norm2(state))


class _Pool(nn.Module):
    """Attention of one learnt query, and a perceptron on what it finds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.zeros(1, 1, width))
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.mlp = _mlp(width)

    def forward(self, state: Tensor) -> Tensor:
        query = self.q(self.latent.expand(len(state), -1, -1)).unflatten(2, (_POOL_HEADS, -1)).transpose(1, 2)
        key, value = self.kv(state).unflatten(2, (2, _POOL_HEADS, -1)).permute(2, 0, 3, 1, 4)
        found = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))[:, 0]
        return found + _through(self.mlp, self.norm(found))


def rotations(side: int, width: int, reference: int) -> Tensor:
    """Angles `[side * side, width / 2]` of rotary positions: column and row, counted from 1, times falling frequencies.

    Args:
        side: Patches in a row; row by row.
        width: Of an attention head, a multiple of 4.
        reference: Patches in a row to whose count those of a row are stretched.
    """
    # On the CPU whatever the default device: models are built on one without memory before their weights come.
    bands = _TEMPERATURE ** -(torch.arange(width // 4, dtype=torch.float32, device="cpu") / (width // 4))
    places = torch.arange(1, side + 1, dtype=torch.float32, device="cpu") / side * reference
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    return torch.cat([grid.reshape(-1, 1) * bands for grid in (columns, rows)], dim=1)


def turned(state: Tensor, angles: Tensor) -> Tensor:
    """Neighbouring numbers of `[..., 1 + place, width]` as complex ones, turned by `[place, width / 2]`.

    The first token, the class, has no place and stays.
    """
    first, rest = state[..., :1, :], state[..., 1:, :]
    real, imaginary = rest[..., ::2], rest[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    both = torch.stack([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=-1)
    return torch.cat([first, both.flatten(-2)], dim=-2)


def _mlp(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})


def _through(mlp: nn.ModuleDict, state: Tensor) -> Tensor:
    found: Tensor = mlp["fc2"](F.gelu(mlp["fc1"](state)))
    return found
