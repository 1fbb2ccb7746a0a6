"""Zorro: one transformer whose mask keeps sound and picture apart, while fusion tokens see both.

Tokens of a modality look at tokens of their own modality alone, never at a fusion token; fusion tokens look at
everything. The mean of the fusion tokens stands for the clip; a linear classifier reads its projection.

Paper: Recasens et al., "Zorro: the masked multimodal transformer", 2023, https://arxiv.org/abs/2301.09595, as a
baseline of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.3.3. No code of
either was released by its authors; code read: lucidrains/zorro-pytorch, a re-implementation, whose mask is meant to be
the same.

What the thesis says: two transformers that have no access to the bottleneck, and a classifier on the mean of the
bottleneck tokens. How ours differs, or what we assumed:

- *One set of weights* for sound, picture and fusion tokens, as in the paper; the thesis's "two transformers" can also
  be read as two sets.
- *16 fusion tokens*, as zorro-pytorch; as many layers as AV-Diff has.
- *No heads of single modalities*: the paper trains outputs of sound and of picture beside the fused one, the thesis
  reads the fused one.
- *Encoders and positions* are TCaF's, as in the other baselines. One LayerNorm before each part of a layer, none at
  the end, where the projection has its own.

A missing modality has no tokens; the fusion tokens then look at the other one and at themselves.
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
from avshot.nn.encoders import SMALL_TRANSFORMER, TokenConfig, TokenEncoders
from avshot.nn.readout import (
    ACTIVITYNET_TRANSFORMER,
    VGGSOUND_TRANSFORMER,
    ClassifierReadout,
    ReadoutConfig,
    few_shot_presets,
)
from avshot.types import Features


@dataclass(frozen=True)
class Config(ReadoutConfig, TokenConfig):
    """Settings of `zorro`: those of TCaF's encoders, of the transformer, and of the classifier's projection."""

    layers: int = 4  # of the transformer; ours: AV-Diff's L (5 on ActivityNet, 8 on VGGSound)
    fusion_tokens: int = 16  # tokens that see everything; zorro-pytorch
    heads: int = 8  # attention heads; TCaF's
    head_dim: int = 64  # width of a head; TCaF's
    feedforward: int = 128  # hidden width of the dense blocks; TCaF's d_ff
    dropout_transformer: float = 0.3  # after attentions and in dense blocks; TCaF's drop_prob


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of zorro; rates and epochs as it trains all methods (section 4.5.1), layers as "
    "AV-Diff's, widths and dropout as TCaF's for these features"
)


class _Masked(TokenEncoders):
    """TCaF's tokens beside fusion tokens in a masked transformer."""

    def __init__(self, config: Config, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        if config.fusion_tokens < 1:
            raise ValueError(f"fusion_tokens is {config.fusion_tokens}; expected at least 1.")
        self.fusion_tokens = nn.Parameter(torch.randn(config.fusion_tokens, config.dim))
        self.layers = transformer_layers(config, shared_norm=False)
        use_dropout(self)

    def forward(self, features: Features) -> tuple[Tensor, Tensor]:
        """Output tokens `[clip, token, dim]`: fusion, audio, visual; and which of them are fusion tokens, `[token]`."""
        tokens, mask, modality = self.tokens(features)
        first = self.fusion_tokens.expand(len(tokens), -1, -1)
        tokens = torch.cat([first, tokens.to(first.dtype)], dim=1)
        kind = torch.cat([modality.new_zeros(first.shape[1]), modality])
        seen = zorro_mask(torch.cat([mask.new_ones(len(mask), first.shape[1]), mask], dim=1), kind)
        for layer in self.layers:
            tokens = layer(tokens, seen)
        return tokens, kind == 0


def zorro_mask(real: Tensor, kind: Tensor) -> Tensor:
    """Who may look at whom: `[clip, token, token]` bool, True = the row may look at the column.

    Args:
        real: `[clip, token]` bool, True = real.
        kind: `[token]` long: 0 fusion, 1 audio, 2 visual.
    """
    allowed = (kind[:, None] == kind) | (kind[:, None] == 0)
    return allowed & real[:, None]


@method
class Zorro(ClassifierReadout, Method):
    """Fusion tokens that see sound and picture, which do not see each other, under a linear classifier."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_TRANSFORMER, layers=2, fusion_tokens=8, project_hidden=128),
            SMALL_SEQUENCES,
            "ours, for small own datasets: smaller and regularised, as the default of perceiver; not tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(
            Config(norm_over_padding=True),
            _SOURCE,
            ucf={},
            activitynet={"layers": 5, **ACTIVITYNET_TRANSFORMER},
            vggsound={"layers": 8, **VGGSOUND_TRANSFORMER},
        ),
    }
    paper = (
        "Recasens et al., Zorro: the masked multimodal transformer, 2023, https://arxiv.org/abs/2301.09595; as adapted "
        "by Mercea et al., DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = _Masked(config, inputs.audio, inputs.visual)
        self.add_readout(config, config.dim, inputs.classes)

    def embed(self, features: Features) -> Tensor:
        """The projection of the mean of the fusion tokens."""
        tokens, fusion = self.fusion(features)
        return self.project(tokens[:, fusion].mean(dim=1))
