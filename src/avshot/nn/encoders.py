"""What happens to audio and visual feature sequences before they are fused: scaling, dense encoders, positions.

`Encoders` and `TokenEncoders` are the lower part of TCaF (see `avshot.nn.fusion`), which its authors put under other
ways of fusing too: the adapted Perceiver and Attention Fusion (thesis appendix B.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from avshot.nn.augment import add_noise, crop_window, drop_modality, drop_steps
from avshot.nn.mlp import EmbNet2, InputScaling
from avshot.nn.position import PositionBlock
from avshot.types import Features


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of the encoders; defaults: TCaF on UCF-GZSL cls."""

    dim: int = 300  # width of tokens; thesis d_dim
    encoder_hidden: int = 512  # hidden width of both encoders; thesis d_fhidd, 256 or 128 in the "main" configurations
    dropout_encoder: float = 0.3  # thesis drop_enc
    audio_scaling: str = "over255"  # see avshot.nn.mlp.InputScaling; authors "over255", own features "none"
    visual_scaling: str = "time"  # authors "time" (a slip of theirs that their weights need), own features "none"
    norm_over_padding: bool = False  # True: padded steps enter the encoders' batch statistics in training (authors)
    train_visual_steps: int = 0  # longest training clip in visual steps, cropped at random; 0 = no limit
    test_visual_steps: int = 0  # longest clip in visual steps otherwise, cropped from the centre; 0 = no limit
    average_input: bool = False  # True: one step per modality, the mean of its features over time (thesis Table B.3)
    drop_steps: float = 0.0  # share of time steps hidden in training; ours, for small data
    feature_noise: float = 0.0  # Gaussian noise in training, in deviations of the features; ours, for small data
    drop_modality: float = 0.0  # share of clips that lose one modality in training; ours, makes each suffice alone


@dataclass(frozen=True)
class TokenConfig(EncoderConfig):
    """Settings of the encoders with positions."""

    position_dim: int = 64  # width of time and modality vectors; thesis d_pos
    fourier_scale: float = 10.0  # Hz, deviation of the time frequencies; authors 10, made for steps of 0.64 s and more
    use_time: bool = True  # False: no time in the position (thesis Table B.1)
    dropout_position: float = 0.2  # thesis drop_prob,pos
    index_time_at_inference: bool = False  # True: authors' bug, both modalities get 0, 1, 2, ... as times in testing


# Longest clips in TCaF's "fixed" mode, on ActivityNet.
LONG_CLIPS: Mapping[str, Any] = {"train_visual_steps": 60, "test_visual_steps": 300}
# Settings that all methods over these encoders share in their defaults for small sets of own videos.
SMALL_ENCODERS: Mapping[str, Any] = {
    "encoder_hidden": 128,
    "audio_scaling": "standardise",
    "visual_scaling": "standardise",
    "feature_noise": 0.3,
    "drop_modality": 0.4,
}
SMALL_TRANSFORMER: Mapping[str, Any] = {
    **SMALL_ENCODERS,
    "dim": 128,
    "heads": 4,
    "head_dim": 32,
    "fourier_scale": 1.0,
    "dropout_position": 0.1,
    "dropout_transformer": 0.1,
}


class Encoders(nn.Module):
    """Base class of what maps audio and visual sequences to vectors of one width, A_enc and V_enc, step by step.

    Args:
        config: The settings.
        audio_dim: Width of the audio features.
        visual_dim: Width of the visual features.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    def __init__(self, config: EncoderConfig, audio_dim: int, visual_dim: int) -> None:
        super().__init__()
        for name in ("drop_steps", "drop_modality"):
            share = getattr(config, name)
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; expected a share in [0, 1).")
        if config.average_input and "time" in (config.audio_scaling, config.visual_scaling):
            raise ValueError(
                'average_input leaves one step, which scaling "time" turns into ones; '
                'pass visual_scaling="none" (or another one).'
            )
        self.config = config
        self.audio_scaling = InputScaling(config.audio_scaling, audio_dim)
        self.visual_scaling = InputScaling(config.visual_scaling, visual_dim)
        hidden, dropout = config.encoder_hidden, config.dropout_encoder
        self.audio_encoder = EmbNet2(audio_dim, hidden, config.dim, dropout=dropout)
        self.visual_encoder = EmbNet2(visual_dim, hidden, config.dim, dropout=dropout)

    def prepare(self, features: Features) -> Features:
        """Cut long clips; in training, also hide and disturb what the settings ask for."""
        config = self.config
        if self.training:
            features = crop_window(features, config.train_visual_steps, random=True)
            features = drop_modality(features, config.drop_modality)
            features = add_noise(drop_steps(features, config.drop_steps), config.feature_noise)
        else:
            features = crop_window(features, config.test_visual_steps, random=False)
        return _averaged(features) if config.average_input else features

    def encode(self, features: Features) -> tuple[Tensor, Tensor]:
        """Encoded steps phi of prepared features: `[real audio step, dim]` and `[real visual step, dim]`.

        Steps are in the order of the masks, `features.audio_mask` and `features.visual_mask`; padding is left out.
        """
        audio = self._encode(self.audio_encoder, self.audio_scaling, features.audio, features.audio_mask)
        visual = self._encode(self.visual_encoder, self.visual_scaling, features.visual, features.visual_mask)
        return audio, visual

    def _encode(self, encoder: EmbNet2, scaling: InputScaling, value: Tensor, mask: Tensor) -> Tensor:
        rows = scaling.rows(value, mask)
        if self.training and self.config.norm_over_padding:
            return encoder.with_padding(rows, mask.numel() - len(rows))
        return encoder(rows)


class TokenEncoders(Encoders):
    """Base class of what fuses tokens: encoded steps that know their time and modality.

    Args:
        config: The settings.
        audio_dim: Width of the audio features.
        visual_dim: Width of the visual features.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    config: TokenConfig

    def __init__(self, config: TokenConfig, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        if config.position_dim % 2 != 0:
            raise ValueError(f"position_dim is {config.position_dim}; expected an even number (sines and cosines).")
        self.position = PositionBlock(
            config.dim,
            config.position_dim,
            scale=config.fourier_scale,
            dropout=config.dropout_position,
            use_time=config.use_time,
        )

    def steps(self, features: Features, *, indexed: bool = False) -> tuple[Tensor, Tensor, Features]:
        """Prepare, encode and place a batch.

        Args:
            features: The batch.
            indexed: Take 0, 1, 2, ... for the times of both modalities, as `index_time_at_inference` does in testing.

        Returns:
            Tokens of the real audio steps and of the real visual steps, `[step, dim]` each, in the order of the masks;
            the prepared features, whose masks say which steps are real.
        """
        features = self.prepare(features)
        if indexed or (self.config.index_time_at_inference and not self.training):
            features = _indexed(features)
        times = features.audio_time[features.audio_mask], features.visual_time[features.visual_mask]
        audio, visual = self.position(*self.encode(features), *times)
        return audio, visual, features

    def tokens(self, features: Features) -> tuple[Tensor, Tensor, Tensor]:
        """`steps`, padded to the longest clip.

        Returns:
            Tokens `[clip, token, dim]`, audio before visual, zeros where not real; `[clip, token]` bool, True = real;
            `[token]` long, 1 for audio and 2 for visual.
        """
        audio, visual, features = self.steps(features)
        masks = (features.audio_mask, features.visual_mask)
        tokens = torch.cat([padded(rows, mask) for rows, mask in zip((audio, visual), masks, strict=True)], dim=1)
        modality = torch.tensor([1] * masks[0].shape[1] + [2] * masks[1].shape[1], device=tokens.device)
        return tokens, torch.cat(masks, dim=1), modality


def padded(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows `[real step, dim]` in the order of `mask [clip, time]`, as `[clip, time, dim]` with zeros elsewhere."""
    out = rows.new_zeros(*mask.shape, rows.shape[1])
    out[mask] = rows
    return out


def _indexed(features: Features) -> Features:
    """Times 0, 1, 2, ... in both modalities."""
    steps = [
        torch.arange(time.shape[1], device=time.device, dtype=time.dtype).expand_as(time)
        for time in (features.audio_time, features.visual_time)
    ]
    return replace(features, audio_time=steps[0], visual_time=steps[1])


def _averaged(features: Features) -> Features:
    """One step per modality: the mean over its real steps, at their mean time."""
    whole = Features.averaged(*features.pooled())
    times = (
        torch.where(mask, time, torch.zeros_like(time)).sum(dim=1, keepdim=True)
        / mask.sum(dim=1, keepdim=True).clamp(min=1)
        for mask, time in ((features.audio_mask, features.audio_time), (features.visual_mask, features.visual_time))
    )
    audio_time, visual_time = times
    return replace(
        whole,
        audio_mask=features.has_audio[:, None],
        visual_mask=features.has_visual[:, None],
        audio_time=audio_time,
        visual_time=visual_time,
    )
