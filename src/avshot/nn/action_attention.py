"""What a clip shows of an action: attention over its steps, with the word vector of the action as the query.

Used by all methods for adverbs. Source: Doughty et al., "Action Modifiers", CVPR 2020 (one small map for all heads,
`shared`), and ReGaDa, thesis eq. 6.2 (a map for each head).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.nn.augment import add_noise, drop_modality
from avshot.nn.mlp import InputScaling
from avshot.types import MODALITIES, Features


@dataclass(frozen=True)
class VideoConfig:
    """Settings of `ActionVideo`; defaults: ReGaDa's."""

    audio: bool = False  # attend to the sound, too; published: pictures alone, but "loudly" is heard
    heads: int = 4  # of the attention; code
    head_dim: int = 100  # width of a head; code
    dropout_video: float = 0.3  # on the attention weights, and behind it; code, the thesis does not say
    scaling: str = "none"  # of the inputs, see avshot.nn.mlp.InputScaling
    feature_noise: float = 0.0  # Gaussian noise in training, in deviations of the features; ours, for small data
    drop_modality: float = 0.0  # share of clips that lose one modality in training; ours, makes each suffice alone


class ActionAttention(nn.Module):
    """Multi-head attention over the steps of a clip; queries are word vectors of actions.

    Args:
        query_dim: Width of word vectors.
        key_dim: Width of the steps.
        dim: Width of what comes out.
        heads: Number of heads.
        head_dim: Width of a head.
        bias: Whether queries, keys and values have one.
        shared: Word vectors and steps are cut into as many pieces as there are heads, and one map serves all of them
            (Action Modifiers, AC). False: each head has a map of all (ReGaDa).
        dropout: On the attention weights.

    Raises:
        ValueError: A width cannot be cut into that many pieces.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        dim: int,
        *,
        heads: int,
        head_dim: int,
        bias: bool = False,
        shared: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if shared and (query_dim % heads or key_dim % heads):
            raise BadSetting(
                f"Heads that share their weights cut word vectors (width {query_dim}) and steps (width {key_dim}) into "
                f"{heads} pieces, which does not come out even; choose other heads, or shared_heads=false."
            )
        self.heads, self.copies = heads, heads if shared else 1
        width = heads * head_dim // self.copies
        self.to_q = nn.Linear(query_dim // self.copies, width, bias=bias)
        self.to_k = nn.Linear(key_dim // self.copies, width, bias=bias)
        self.to_v = nn.Linear(key_dim // self.copies, width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(heads * head_dim, dim)

    def forward(self, query: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            query: `[clip, action, query_dim]`, or `[1, action, query_dim]` when all clips are asked for the same.
            steps: `[clip, time, key_dim]`, zeros where not real.
            mask: `[clip, time]` bool, True = real.

        Returns:
            `[clip, action, dim]`; for a clip without real steps the bias of the last layer.
        """
        weight, bias = self._whole(self.to_q)
        asked = F.linear(query, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [clip, head, action, e]
        attend = self._of_one if query.shape[1] == 1 else self._of_many
        return self.out(attend(asked / math.sqrt(asked.shape[-1]), steps, mask).transpose(1, 2).flatten(2))

    def _of_many(self, asked: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        """Keys and values of every step: `[clip, head, action, head_dim]`."""
        key, value = (
            F.linear(steps, *self._whole(layer)).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.to_k, self.to_v)
        )
        return self._weights(asked @ key.transpose(2, 3), mask) @ value

    def _of_one(self, asked: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        """The same for one query: it is brought to the steps, and their mean to the values, each once per clip.

        Both maps are linear, so they may change places with the sums over steps; of T steps this takes a T-th.
        """
        (key, key_bias), (value, value_bias) = (self._by_head(layer) for layer in (self.to_k, self.to_v))
        wanted = torch.einsum("che,hed->chd", asked[:, :, 0], key)
        logits = wanted @ steps.transpose(1, 2)  # [clip, head, time]
        if key_bias is not None:  # the same for all steps: it moves no weight
            logits = logits + (asked[:, :, 0] * key_bias).sum(dim=2, keepdim=True)
        weights = self._weights(logits[:, :, None], mask)[:, :, 0]
        found = torch.einsum("chd,hed->che", weights @ steps, value)
        if value_bias is not None:
            found = found + weights.sum(dim=2, keepdim=True) * value_bias
        return found[:, :, None]

    def _weights(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Softmax of `[clip, head, action, time]` over the real steps; zeros for a clip without any."""
        some = mask.any(dim=1)[:, None, None, None]
        logits = logits.masked_fill(~mask[:, None, None, :] & some, -torch.inf)
        return self.dropout(logits.softmax(dim=3) * some)

    def _whole(self, layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
        """Weight `[heads * head_dim, in]` and bias of all heads side by side."""
        if self.copies == 1:
            return layer.weight, layer.bias
        bias = None if layer.bias is None else layer.bias.repeat(self.copies)
        return torch.block_diag(*[layer.weight] * self.copies), bias

    def _by_head(self, layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
        """Weight `[head, head_dim, in]` and bias `[head, head_dim]`."""
        weight, bias = self._whole(layer)
        split = (self.heads, -1)
        return weight.unflatten(0, split), None if bias is None else bias.unflatten(0, split)


class ActionVideo(nn.Module):
    """One vector of a clip for each action that it is asked for; the mean of sound and picture where it has both.

    Args:
        config: The settings.
        widths: Width of the features of each modality.
        text_dim: Width of word vectors.
        dim: Width of what comes out.
        bias: Whether queries, keys and values have one.
        shared: Whether heads share their weights, see `ActionAttention`.
    """

    def __init__(
        self,
        config: VideoConfig,
        widths: Mapping[str, int],
        text_dim: int,
        dim: int,
        *,
        bias: bool = False,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.dim = config, dim
        self.read = MODALITIES if config.audio else ("visual",)
        self.scaling = nn.ModuleDict({name: InputScaling(config.scaling, widths[name]) for name in self.read})
        self.attention = nn.ModuleDict(
            {
                name: ActionAttention(
                    text_dim,
                    widths[name],
                    dim,
                    heads=config.heads,
                    head_dim=config.head_dim,
                    bias=bias,
                    shared=shared,
                    dropout=config.dropout_video,
                )
                for name in self.read
            }
        )

    def forward(self, features: Features, words: Tensor) -> Tensor:
        """Look for actions.

        Args:
            features: The clips.
            words: `[clip, action, text]`, or `[1, action, text]` when all clips are asked for the same.

        Returns:
            `[clip, action, dim]`; zeros for a clip that has nothing that is read.
        """
        if self.training:
            features = drop_modality(features, self.config.drop_modality if self.config.audio else 0.0)
            features = add_noise(features, self.config.feature_noise)
        found, count = [], []
        for name in self.read:
            value, mask = getattr(features, name), getattr(features, f"{name}_mask")
            has = mask.any(dim=1).to(value.dtype)[:, None, None]
            found.append(self.attention[name](words, self.scaling[name](value, mask), mask) * has)
            count.append(has)
        return torch.stack(found).sum(dim=0) / torch.stack(count).sum(dim=0).clamp(min=1)
