"""TCaF's audio-visual fusion: encoders, positions and a transformer with cross-modal attention.

`tcaf`, `ez_avgzl` and `avdiff` share it. Source: Mercea et al., "Temporal and cross-modal attention for audio-visual
zero-shot learning", ECCV 2022, https://arxiv.org/abs/2207.09966 (thesis section 3.3.2), and the authors' code
(TCAF-GZSL), whose layout of weights it keeps up to names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from avshot.nn.attention import PATTERNS, TransformerLayer, pattern_mask
from avshot.nn.augment import add_noise, crop_window, drop_modality, drop_steps
from avshot.nn.mlp import EmbNet2, InputScaling
from avshot.nn.pool import POOLINGS, pool
from avshot.nn.position import PositionBlock
from avshot.types import Features


@dataclass(frozen=True)
class FusionConfig:
    """Settings of the fusion; methods that use it inherit these fields. Defaults: TCaF on UCF-GZSL cls."""

    dim: int = 300  # width of tokens; thesis d_dim
    encoder_hidden: int = 512  # hidden width of both encoders; thesis d_fhidd, 256 or 128 in the "main" configurations
    layers: int = 6  # transformer layers; thesis L
    heads: int = 8  # attention heads; thesis H
    head_dim: int = 64  # width of a head; heads * head_dim need not equal dim
    feedforward: int = 128  # hidden width of the feed-forward part; thesis d_ff
    position_dim: int = 64  # width of time and modality vectors; thesis d_pos
    fourier_scale: float = 10.0  # Hz, deviation of the time frequencies; authors 10, made for steps of 0.64 s and more
    use_time: bool = True  # False: no time in the position (thesis Table B.1)
    attention: str = "cross"  # "cross", "self" or "full" (thesis Table 3.3)
    self_layers: int = 0  # this many first layers look within their modality instead (AV-Diff's hybrid attention)
    class_token: bool = True  # False: pooled output tokens represent the clip (thesis Table 3.3)
    pooling: str = "mean"  # of tokens without a class token: "mean" (thesis), or "logsumexp" (ours)
    pooling_sharpness: float = 3.0  # of "logsumexp", see avshot.nn.pool
    shared_norm: bool = True  # one LayerNorm serves attention and feed-forward (authors); False: one each
    dropout_encoder: float = 0.3  # thesis drop_enc
    dropout_position: float = 0.2  # thesis drop_prob,pos
    dropout_transformer: float = 0.3  # thesis drop_prob
    audio_scaling: str = "over255"  # see avshot.nn.mlp.InputScaling; authors "over255", own features "none"
    visual_scaling: str = "time"  # authors "time" (a slip of theirs that their weights need), own features "none"
    index_time_at_inference: bool = False  # True: authors' bug, both modalities get 0, 1, 2, ... as times in testing
    norm_over_padding: bool = False  # True: padded steps enter the encoders' batch statistics in training (authors)
    train_visual_steps: int = 0  # longest training clip in visual steps, cropped at random; 0 = no limit
    test_visual_steps: int = 0  # longest clip in visual steps otherwise, cropped from the centre; 0 = no limit
    drop_steps: float = 0.0  # share of time steps hidden in training; ours, for small data
    feature_noise: float = 0.0  # Gaussian noise in training, in deviations of the features; ours, for small data
    drop_modality: float = 0.0  # share of clips that lose one modality in training; ours, makes each suffice alone


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


class TemporalFusion(nn.Module):
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

    def __init__(self, config: FusionConfig, audio_dim: int, visual_dim: int) -> None:
        super().__init__()
        _check(config)
        self.config = config
        self.audio_scaling = InputScaling(config.audio_scaling, audio_dim)
        self.visual_scaling = InputScaling(config.visual_scaling, visual_dim)
        hidden, dropout = config.encoder_hidden, config.dropout_encoder
        self.audio_encoder = EmbNet2(audio_dim, hidden, config.dim, dropout=dropout)
        self.visual_encoder = EmbNet2(visual_dim, hidden, config.dim, dropout=dropout)
        self.position = PositionBlock(
            config.dim,
            config.position_dim,
            scale=config.fourier_scale,
            dropout=config.dropout_position,
            use_time=config.use_time,
        )
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
        features = self._prepare(features)
        audio = self._encode(self.audio_encoder, self.audio_scaling, features.audio, features.audio_mask)
        visual = self._encode(self.visual_encoder, self.visual_scaling, features.visual, features.visual_mask)
        audio, visual = self.position(audio, visual, features.audio_time, features.visual_time)
        tokens, mask = torch.cat([audio, visual], dim=1), torch.cat([features.audio_mask, features.visual_mask], dim=1)
        kinds = [1] * audio.shape[1] + [2] * visual.shape[1]
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1)
            mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)
            kinds = [0, *kinds]
        modality = torch.tensor(kinds, device=tokens.device)
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

    def _prepare(self, features: Features) -> Features:
        config = self.config
        if self.training:
            features = crop_window(features, config.train_visual_steps, random=True)
            features = drop_modality(features, config.drop_modality)
            return add_noise(drop_steps(features, config.drop_steps), config.feature_noise)
        features = crop_window(features, config.test_visual_steps, random=False)
        if config.index_time_at_inference:
            steps = [
                torch.arange(time.shape[1], device=time.device, dtype=time.dtype).expand_as(time)
                for time in (features.audio_time, features.visual_time)
            ]
            features = replace(features, audio_time=steps[0], visual_time=steps[1])
        return features

    def _encode(self, encoder: EmbNet2, scaling: InputScaling, value: Tensor, mask: Tensor) -> Tensor:
        value = scaling(value, mask)
        with_padding = self.training and self.config.norm_over_padding
        return encoder(value, None if with_padding else mask)

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
    if config.position_dim % 2 != 0:
        raise ValueError(f"position_dim is {config.position_dim}; expected an even number (sines and cosines).")
    if not 0 <= config.self_layers <= config.layers:
        raise ValueError(f"self_layers is {config.self_layers}; expected 0 to layers = {config.layers}.")
    for name in ("drop_steps", "drop_modality"):
        share = getattr(config, name)
        if not 0 <= share < 1:
            raise ValueError(f"{name} is {share}; expected a share in [0, 1).")
