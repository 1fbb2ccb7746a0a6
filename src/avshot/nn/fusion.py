"""TCaF's audio-visual fusion: encoders, positions and a transformer with cross-modal attention.

`tcaf`, `ez_avgzl` and `avdiff` share it. Source: Mercea et al., "Temporal and cross-modal attention for audio-visual
zero-shot learning", ECCV 2022, https://arxiv.org/abs/2207.09966 (thesis section 3.3.2), and the authors' code
(TCAF-GZSL), whose layout of weights it keeps up to names.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avshot.nn.attention import PATTERNS, TransformerLayer, transformer_layers
from avshot.nn.dropout import use_dropout
from avshot.nn.encoders import TokenConfig, TokenEncoders, padded
from avshot.nn.packing import Layout, lay_out
from avshot.nn.pool import POOLINGS, pool
from avshot.types import Features

ATTENTIONS = (*PATTERNS, "alternating")


@dataclass(frozen=True)
class FusionConfig(TokenConfig):
    """Settings of the fusion; methods that use it inherit these fields. Defaults: TCaF on UCF-GZSL cls."""

    layers: int = 6  # transformer layers; thesis L
    heads: int = 8  # attention heads; thesis H
    head_dim: int = 64  # width of a head; heads * head_dim need not equal dim
    feedforward: int = 128  # hidden width of the feed-forward part, thesis d_ff; 0 = none (thesis Table B.2)
    dropout_transformer: float = 0.3  # thesis drop_prob
    attention: str = "cross"  # "cross", "self", "full" (thesis Table 3.3); "alternating": self, full, self, ... (4.3)
    self_layers: int = 0  # this many first layers look within their modality instead (AV-Diff's hybrid attention)
    class_token: bool = True  # False: pooled output tokens represent the clip (thesis Table 3.3)
    pooling: str = "mean"  # of tokens without a class token: "mean" (thesis), or "logsumexp" (ours)
    pooling_sharpness: float = 3.0  # of "logsumexp", see avshot.nn.pool
    shared_norm: bool = True  # one LayerNorm serves attention and feed-forward (authors); False: one each


@dataclass(frozen=True)
class Fused:
    """What the fusion makes of a batch.

    Attributes:
        clip: `[clip, dim]` the output class token, or the pooled tokens without one (zeros for a clip that has
            neither modality).
        rows: `[row, dim]` output tokens as `layout` says; None where only `clip` was asked for.
        layout: Where the steps of each clip lie.
        audio_mask: `[clip, time_a]` bool, True = real.
        visual_mask: `[clip, time_v]` bool.
    """

    clip: Tensor
    rows: Tensor | None
    layout: Layout
    audio_mask: Tensor
    visual_mask: Tensor

    @property
    def packed(self) -> Tensor:
        """`rows`. Raises ValueError where they were not asked for."""
        if self.rows is None:
            raise ValueError("The tokens of this batch were not computed; fuse it with tokens=True.")
        return self.rows

    @property
    def tokens(self) -> Tensor:
        """`[clip, token, dim]`: class token (when there is one), audio, visual; zeros where `mask` is False."""
        rows, layout = self.packed, self.layout
        parts = [padded(rows[layout.audio_at], self.audio_mask), padded(rows[layout.visual_at], self.visual_mask)]
        if len(layout.class_at):
            parts.insert(0, rows[layout.class_at][:, None])
        return torch.cat(parts, dim=1)

    @property
    def mask(self) -> Tensor:
        """`[clip, token]` bool, True = real. The class token always is."""
        first = self.audio_mask.new_ones(len(self.audio_mask), int(len(self.layout.class_at) > 0))
        return torch.cat([first, self.audio_mask, self.visual_mask], dim=1)

    @property
    def modality(self) -> Tensor:
        """`[token]` long: 0 class token, 1 audio, 2 visual."""
        counts = (int(len(self.layout.class_at) > 0), self.audio_mask.shape[1], self.visual_mask.shape[1])
        kinds = torch.arange(3, device=self.clip.device)
        return kinds.repeat_interleave(torch.tensor(counts, device=self.clip.device))


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
        self.layers = transformer_layers(config, shared_norm=config.shared_norm)
        use_dropout(self)

    def forward(self, features: Features, *, tokens: bool = True, indexed: bool = False) -> Fused:
        """Fuse a batch; with `tokens=False` leave out what only the output tokens need, not `Fused.clip`.

        `indexed`: see `TokenEncoders.steps`.
        """
        audio, visual, features = self.steps(features, indexed=indexed)
        with_class = self.class_token is not None
        layout = lay_out(features.audio_mask, features.visual_mask, class_token=with_class)
        rows = audio.new_zeros(layout.rows, audio.shape[1], dtype=self.position.fourier.dtype)
        rows[layout.audio_at], rows[layout.visual_at] = audio.to(rows.dtype), visual.to(rows.dtype)
        if self.class_token is not None:
            rows[layout.class_at] = self.class_token[0]
        layers = [layer for layer in self.layers if isinstance(layer, TransformerLayer)]
        last = layers.pop() if layers and with_class and not tokens else None
        for i, layer in enumerate(layers):
            rows = layer.over(rows, layout, self._pattern(i))
        if last is not None:
            clip = last.of_class_tokens(rows, layout)
        else:
            clip = rows[layout.class_at] if with_class else self._pool(rows, layout)
        return Fused(clip, rows if tokens else None, layout, features.audio_mask, features.visual_mask)

    def _pattern(self, layer: int) -> str:
        """Who looks at whom in a layer, one of `avshot.nn.attention.PATTERNS`."""
        if layer < self.config.self_layers:
            return "self"
        return ("self", "full")[layer % 2] if self.config.attention == "alternating" else self.config.attention

    def _pool(self, rows: Tensor, layout: Layout) -> Tensor:
        """Mean over all tokens, or the mean over the modalities that are there of each one's "logsumexp"."""
        config, clips = self.config, []
        for group, part in zip(layout.groups, rows.split(layout.sizes), strict=True):
            tokens, sides = part.unflatten(0, (len(group.clips), group.tokens)), (group.audio, group.visual)
            if config.pooling == "mean":
                clips.append(pool(tokens, group.mask, "mean"))
                continue
            ends = zip(tokens.split(sides, dim=1), group.mask.split(sides, dim=1), strict=True)
            there = [pool(part, mask, config.pooling, config.pooling_sharpness) for part, mask in ends if part.shape[1]]
            clips.append(sum(there, tokens.new_zeros(len(tokens), tokens.shape[2])) / max(len(there), 1))
        return layout.joined(clips)


def _check(config: FusionConfig) -> None:
    if config.attention not in ATTENTIONS:
        raise ValueError(f"attention is {config.attention!r}; expected one of {', '.join(ATTENTIONS)}.")
    if config.pooling not in POOLINGS:
        raise ValueError(f"pooling is {config.pooling!r}; expected one of {', '.join(POOLINGS)}.")
    if not 0 <= config.self_layers <= config.layers:
        raise ValueError(f"self_layers is {config.self_layers}; expected 0 to layers = {config.layers}.")
