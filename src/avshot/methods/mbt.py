"""MBT: a transformer for sound and one for picture, which exchange information through a few bottleneck tokens only.

In the last layers each transformer also sees the bottleneck tokens and rewrites them; the bottleneck that both read in
the next layer is the mean of what they wrote. A class token of each modality is projected and classified; a clip's
logits are the mean of both.

Paper: Nagrani et al., "Attention Bottlenecks for Multimodal Fusion", NeurIPS 2021, https://arxiv.org/abs/2107.00135, as
a baseline of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.3.3. No code of
the adaptation was released; code read: google-research/scenic, project mbt.

What the thesis says: a transformer for each modality, exchange by bottleneck attention alone. From the paper: 4
bottleneck tokens, fusion in the last third to half of the layers (8 of 12), the mean as the new bottleneck, one output
layer for both modalities and the mean of their logits. How ours differs, or what we assumed:

- *Exchange in the last half* of the layers (`exchange`), as many layers as AV-Diff has. Nothing crosses in the first of
  them yet: what a modality writes is read one layer later.
- *Encoders and positions* are TCaF's, as in the other baselines, in place of patches of pixels and spectrograms.
- *Training* takes the cross-entropy of the averaged logits; scenic's the mean of the cross-entropies of both.
- *Norms*: one LayerNorm before each part of a layer and none at the end, where the projection has its own.

A missing modality (ours): its transformer says nothing. The bottleneck and the logits are then those of the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from avshot.method import SMALL_SEQUENCES, VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.attention import transformer_layers
from avshot.nn.dropout import use_dropout
from avshot.nn.encoders import SMALL_TRANSFORMER, TokenConfig, TokenEncoders, padded
from avshot.nn.readout import (
    ACTIVITYNET_TRANSFORMER,
    VGGSOUND_TRANSFORMER,
    ClassifierReadout,
    ReadoutConfig,
    few_shot_presets,
)
from avshot.types import MODALITIES, Features


@dataclass(frozen=True)
class Config(ReadoutConfig, TokenConfig):
    """Settings of `mbt`: those of TCaF's encoders, of the two transformers, and of the classifier's projection."""

    layers: int = 4  # of each transformer; ours: AV-Diff's L (5 on ActivityNet, 8 on VGGSound), paper 12
    exchange: int = 2  # this many last layers see the bottleneck; ours: half, paper 4 of 12
    bottlenecks: int = 4  # bottleneck tokens; paper and scenic
    heads: int = 8  # attention heads; TCaF's
    head_dim: int = 64  # width of a head; TCaF's
    feedforward: int = 128  # hidden width of the dense blocks; TCaF's d_ff
    dropout_transformer: float = 0.3  # after attentions and in dense blocks; TCaF's drop_prob


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of mbt; rates and epochs as it trains all methods (section 4.5.1), layers as "
    "AV-Diff's, widths and dropout as TCaF's for these features"
)


class _Bottleneck(TokenEncoders):
    """Two transformers with a bottleneck between them: `Features` to a vector for each modality of a clip."""

    def __init__(self, config: Config, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        if not 2 <= config.exchange <= config.layers:
            raise ValueError(
                f"exchange is {config.exchange}; expected 2 to layers = {config.layers}: what one layer writes into "
                "the bottleneck the next one reads, so with fewer nothing crosses."
            )
        if config.bottlenecks < 1:
            raise ValueError(f"bottlenecks is {config.bottlenecks}; expected at least 1.")
        self.exchange = config.exchange
        self.class_tokens = nn.Parameter(torch.randn(2, config.dim))
        self.bottlenecks = nn.Parameter(torch.randn(config.bottlenecks, config.dim))
        self.layers = nn.ModuleDict({name: transformer_layers(config, shared_norm=False) for name in MODALITIES})
        use_dropout(self)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Class tokens after all layers, `[clip, modality, dim]`, and `[clip, modality]` bool, True = there."""
        *rows, features = self.steps(features)
        masks = [features.audio_mask, features.visual_mask]
        tokens = [
            torch.cat([first.expand(len(mask), 1, -1), padded(steps, mask).to(first.dtype)], dim=1)
            for first, steps, mask in zip(self.class_tokens, rows, masks, strict=True)
        ]
        masks = [torch.cat([mask.new_ones(len(mask), 1), mask], dim=1) for mask in masks]
        there = torch.stack([features.has_audio, features.has_visual], dim=1)
        bottleneck = self.bottlenecks.expand(len(there), -1, -1)
        pairs = list(zip(*self.layers.values(), strict=True))
        for number, pair in enumerate(pairs):
            if number < len(pairs) - self.exchange:
                tokens = [layer(x, mask[:, None]) for layer, x, mask in zip(pair, tokens, masks, strict=True)]
            else:
                tokens, bottleneck = _exchange(pair, tokens, masks, bottleneck, there)
        return torch.stack([x[:, 0] for x in tokens], dim=1), there


def _exchange(
    pair: tuple[nn.Module, ...], tokens: list[Tensor], masks: list[Tensor], bottleneck: Tensor, there: Tensor
) -> tuple[list[Tensor], Tensor]:
    """One layer of both transformers that sees the bottleneck; the next bottleneck is the mean of what they made.

    A modality that is not `there [clip, modality]` has no part in the mean.
    """
    count, kept, written = bottleneck.shape[1], [], []
    for layer, x, mask in zip(pair, tokens, masks, strict=True):
        seen = torch.cat([mask.new_ones(len(mask), count), mask], dim=1)
        out = layer(torch.cat([bottleneck, x], dim=1), seen[:, None])
        written.append(out[:, :count])
        kept.append(out[:, count:])
    share = there.to(bottleneck.dtype) / there.sum(dim=1, keepdim=True).clamp(min=1)
    mean = sum(part * share[:, side, None, None] for side, part in enumerate(written))
    return kept, torch.where(there.any(dim=1)[:, None, None], mean, bottleneck)


@method
class MBT(ClassifierReadout, Method):
    """Transformers of sound and picture with a bottleneck between them, under a linear classifier."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_TRANSFORMER, layers=2, project_hidden=128),
            SMALL_SEQUENCES,
            "ours, for small own datasets: smaller and regularised, as the default of perceiver; not tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(
            Config(norm_over_padding=True),
            _SOURCE,
            ucf={},
            activitynet={"layers": 5, "exchange": 3, **ACTIVITYNET_TRANSFORMER},
            vggsound={"layers": 8, "exchange": 4, **VGGSOUND_TRANSFORMER},
        ),
    }
    paper = (
        "Nagrani et al., Attention Bottlenecks for Multimodal Fusion, NeurIPS 2021, https://arxiv.org/abs/2107.00135; "
        "as adapted by Mercea et al., DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = _Bottleneck(config, inputs.audio, inputs.visual)
        self.add_readout(config, config.dim, inputs.classes)

    def embed(self, features: Features) -> Tensor:
        """The mean of the projected class tokens of the modalities that are there; zeros where none is.

        The classifier is linear, so its logits are the mean of those by each modality.
        """
        tokens, there = self.fusion(features)
        share = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        return (self.project(tokens, there) * share[:, :, None]).sum(dim=1)
