"""TCaF's audio-visual fusion: encoders, positions and a transformer with cross-modal attention.

`tcaf`, `ez_avgzl` and `avdiff` share it. Source: Mercea et al., "Temporal and cross-modal attention for audio-visual
zero-shot learning", ECCV 2022, https://arxiv.org/abs/2207.09966 (thesis section 3.3.2), and the authors' code
(TCAF-GZSL), whose layout of weights it keeps up to names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avshot.nn.attention import PATTERNS, TransformerLayer, pattern_mask
from avshot.nn.encoders import TokenConfig, TokenEncoders
from avshot.nn.pool import POOLINGS, pool
from avshot.types import Features


@dataclass(frozen=True)
class FusionConfig(TokenConfig):
    """Settings of the fusion; methods that use it inherit these fields. Defaults: TCaF on UCF-GZSL cls."""

    layers: int = 6  # transformer layers; thesis L
    heads: int = 8  # attention heads; thesis H
    head_dim: int = 64  # width of a head; heads * head_dim need not equal dim
    feedforward: int = 128  # hidden width of the feed-forward part, thesis d_ff; 0 = none (thesis Table B.2)
    dropout_transformer: float = 0.3  # thesis drop_prob
    attention: str = "cross"  # "cross", "self" or "full" (thesis Table 3.3)
    self_layers: int = 0  # this many first layers look within their modality instead (AV-Diff's hybrid attention)
    class_token: bool = True  # False: pooled output tokens represent the clip (thesis Table 3.3)
    pooling: str = "mean"  # of tokens without a class token: "mean" (thesis), or "logsumexp" (ours)
    pooling_sharpness: float = 3.0  # of "logsumexp", see avshot.nn.pool
    shared_norm: bool = True  # one LayerNorm serves attention and feed-forward (authors); False: one each


@dataclass(frozen=True)
class Fused:
    """What the fusion makes of a batch.

    Attributes:
        tokens: `[clip, token, dim]` output tokens, in the order class token (when there is one), audio, visual.
        mask: `[clip, token]` bool, True = real. The class token always is.
        clip: `[clip, dim]` the output class token, or the pooled tokens without one (zeros for a clip that has
            neither modality).
        modality: `[token]` long: 0 class token, 1 audio, 2 visual.
    """

    tokens: Tensor
    mask: Tensor
    clip: Tensor
    modality: Tensor


class TemporalFusion(TokenEncoders):
    """Audio and visual feature sequences to fused tokens and one vector per clip.

    A missing modality has no real tokens: with a class token the other modality still reaches it; nothing is made up.
    Under eval mode a clip comes out the same alone, in a batch, and with any padding.

    Args:
        config: The settings.
        audio_dim: Width of the audio features.
        visual_dim: Width of the visual features.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    config: FusionConfig

    def __init__(self, config: FusionConfig, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        _check(config)
        self.class_token = nn.Parameter(torch.randn(1, 1, config.dim)) if config.class_token else None
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.dim,
                heads=config.heads,
                head_dim=config.head_dim,
                feedforward=config.feedforward,
                dropout=config.dropout_transformer,
                shared_norm=config.shared_norm,
            )
            for _ in range(config.layers)
        )

    def forward(self, features: Features) -> Fused:
        """Fuse a batch."""
        tokens, mask, modality = self.tokens(features)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
            mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
            modality = torch.cat([modality.new_zeros(1), modality])
        tokens = self._transform(tokens, mask, modality)
        clip = tokens[:, 0] if self.class_token is not None else self._pool(tokens, mask, modality)
        return Fused(tokens, mask, clip, modality)

    def _pool(self, tokens: Tensor, mask: Tensor, modality: Tensor) -> Tensor:
        """Mean over all tokens, or the mean over the modalities that are there of each one's "logsumexp"."""
        if self.config.pooling == "mean":
            return pool(tokens, mask, "mean")
        parts, there = [], []
        for kind in (1, 2):
            of_kind = mask[:, modality == kind]
            parts.append(pool(tokens[:, modality == kind], of_kind, self.config.pooling, self.config.pooling_sharpness))
            there.append(of_kind.any(dim=1, keepdim=True))
        return (parts[0] + parts[1]) / (there[0].to(tokens.dtype) + there[1].to(tokens.dtype)).clamp(min=1)

    def _transform(self, tokens: Tensor, mask: Tensor, modality: Tensor) -> Tensor:
        patterns = {name: pattern_mask(name, modality, mask) for name in ("self", self.config.attention)}
        for i, layer in enumerate(self.layers):
            tokens = layer(tokens, patterns["self" if i < self.config.self_layers else self.config.attention])
        return tokens


def _check(config: FusionConfig) -> None:
    if config.attention not in PATTERNS:
        raise ValueError(f"attention is {config.attention!r}; expected one of {', '.join(PATTERNS)}.")
    if config.pooling not in POOLINGS:
        raise ValueError(f"pooling is {config.pooling!r}; expected one of {', '.join(POOLINGS)}.")
    if not 0 <= config.self_layers <= config.layers:
        raise ValueError(f"self_layers is {config.self_layers}; expected 0 to layers = {config.layers}.")
