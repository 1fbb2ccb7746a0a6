"""HiP: a hierarchy of latents, each group of which looks at its own part of the tokens before the parts are merged.

Tokens of sound and picture lie in four groups, two of each. In every level the latents of a group look at what lies in
it, then at one another; between levels neighbouring groups are merged, so that sound and picture meet in the last one.
The first latent of the last level stands for the clip; a linear classifier reads its projection.

Paper: Carreira et al., "Hierarchical Perceiver", 2022, https://arxiv.org/abs/2202.10890, as a baseline of AV-Diff:
Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.3.3. No code of the adaptation was
released; code read: google-deepmind/hierarchical_perceiver.

What the thesis says: HiP is implemented as its Perceiver is (appendix B.1.2: encoders and positions of TCaF, 64
latents as wide as the tokens, as many layers as TCaF has). How ours differs, or what we assumed:

- *Groups 4, 2, 1* (`groups`). HiP-16 has 16, 4, 1; a clip here has some dozen tokens, not the paper's tens of
  thousands. As there, no group of the first level holds tokens of two modalities; half of the groups belong to each,
  where the code shares them out by length, which differs from clip to clip. A group holds consecutive steps.
- *64 latents in each level*, shared out evenly among its groups, and all levels of one width. The paper widens them
  from level to level.
- *Two self-attentions in a level* ("layers" of the Perceiver: six); HiP has 2, 2, 18 or so.
- *Encoder only*: the decoder and the masked auto-encoding that learns positions in HiP have no place in a classifier of
  extracted features.
- *GELU* for its squared ReLU; dropout, norms and the projection are those of the other baselines.

A missing modality leaves its groups empty; latents of an empty group are hidden from the levels above.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from avshot.method import SMALL_SEQUENCES, VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.attention import Attention, FeedForward, TransformerLayer
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
    """Settings of `hip`: those of TCaF's encoders, of the latents, and of the classifier's projection."""

    groups: tuple[int, ...] = (4, 2, 1)  # of each level, the first even, the last 1; ours, HiP-16: 16, 4, 1
    latents: int = 64  # of each level; thesis: the Perceiver's, ours: in every level
    latent_deviation: float = 1.0  # of their first values; ours, as in our perceiver
    self_layers: int = 2  # self-attentions of a level; ours
    cross_heads: int = 1  # heads that look at what lies in a group; HiP
    cross_head_dim: int = 64  # width of such a head; as in our perceiver
    heads: int = 8  # heads among latents; TCaF's
    head_dim: int = 64  # width of such a head; TCaF's
    feedforward: int = 128  # hidden width of the dense blocks; TCaF's d_ff
    dropout_transformer: float = 0.3  # after attentions and in dense blocks; TCaF's drop_prob


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of hip; rates and epochs as it trains all methods (section 4.5.1), widths and "
    "dropout as TCaF's for these features"
)


class _Level(nn.Module):
    """Latents of each group look at what lies in it, then at one another; no two groups meet."""

    def __init__(self, config: Config, groups: int) -> None:
        super().__init__()
        dim, rate, each = config.dim, config.dropout_transformer, config.latents // groups
        self.latents = nn.Parameter(config.latent_deviation * torch.randn(groups, each, dim))
        self.norm_latents, self.norm_read, self.norm_ff = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.look = Attention(dim, config.cross_heads, config.cross_head_dim, dropout=rate)
        self.ff = FeedForward(dim, config.feedforward, dropout=rate)
        self.among = nn.ModuleList(
            TransformerLayer(
                dim,
                heads=config.heads,
                head_dim=config.head_dim,
                feedforward=config.feedforward,
                dropout=rate,
                shared_norm=False,
            )
            for _ in range(config.self_layers)
        )

    def forward(self, read: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Latents given what they read.

        Args:
            read: `[clip, token, dim]`.
            group: `[clip, token]` long, the group that a token lies in; -1 for none.

        Returns:
            `[clip, latent, dim]`, and `[clip, latent]` bool, True where the group of a latent held something. Latents
            of one group lie side by side.
        """
        groups, each, dim = self.latents.shape
        latents = self.latents.flatten(0, 1).expand(len(read), -1, -1)
        mine = torch.arange(groups, device=group.device).repeat_interleave(each)
        mask = group[:, None] == mine[:, None]
        latents = latents + self.look(self.norm_latents(latents), self.norm_read(read), mask)
        latents = latents + self.ff(self.norm_ff(latents))
        apart = latents.reshape(len(read) * groups, each, dim)
        for layer in self.among:
            apart = layer(apart)
        return apart.reshape(len(read), groups * each, dim), mask.any(dim=2)


class _Hierarchy(TokenEncoders):
    """TCaF's tokens under a hierarchy of latents: `Features` to one vector per clip, `[clip, dim]`."""

    def __init__(self, config: Config, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        _check(config)
        self.groups = config.groups
        self.levels = nn.ModuleList(_Level(config, groups) for groups in config.groups)
        use_dropout(self)

    def forward(self, features: Features) -> Tensor:
        """The first latent of the last level."""
        read, mask, modality = self.tokens(features)
        group = parts(mask, modality, self.groups[0] // 2)
        below = self.groups[0]
        for level, groups in zip(self.levels, self.groups, strict=True):
            read, there = level(read, torch.where(group < 0, -1, group * groups // below))
            group, below = self._own(there, groups), groups
        return read[:, 0]

    def _own(self, there: Tensor, groups: int) -> Tensor:
        """`[clip, latent]` long: the group of each latent of a level, -1 where it held nothing."""
        own = torch.arange(there.shape[1], device=there.device) * groups // there.shape[1]
        return torch.where(there, own, -1)


def parts(mask: Tensor, modality: Tensor, count: int) -> Tensor:
    """Cut the real tokens of each modality of a clip into `count` consecutive parts of like size.

    Args:
        mask: `[clip, token]` bool, True = real.
        modality: `[token]` long, 1 for audio and 2 for visual.
        count: Parts of each modality; with fewer tokens some stay empty.

    Returns:
        `[clip, token]` long: 0 to `count - 1` for audio, `count` to `2 count - 1` for visual, -1 for padding.
    """
    found = torch.full(mask.shape, -1, dtype=torch.long, device=mask.device)
    for side in (0, 1):
        real = mask & (modality == side + 1)
        place = real.cumsum(dim=1) - 1
        part = side * count + place * count // real.sum(dim=1, keepdim=True).clamp(min=1)
        found = torch.where(real, part, found)
    return found


def _check(config: Config) -> None:
    groups = config.groups
    merge = all(below % max(above, 1) == 0 for below, above in itertools.pairwise(groups))
    if not groups or min(groups) < 1 or groups[0] % 2 != 0 or groups[-1] != 1 or not merge:
        raise ValueError(
            f"groups are {groups}; expected an even number first (half of it for each modality), then numbers that "
            "each divide the one before, 1 at the end."
        )
    if config.latents < 1 or config.latents % groups[0] != 0:
        raise ValueError(f"latents is {config.latents}; expected a multiple of the {groups[0]} groups of level one.")


@method
class HiP(ClassifierReadout, Method):
    """Latents in groups that merge level by level, under a linear classifier."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_TRANSFORMER, latents=16, self_layers=1, cross_head_dim=32, project_hidden=128),
            SMALL_SEQUENCES,
            "ours, for small own datasets: smaller and regularised, as the default of perceiver; not tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(
            Config(norm_over_padding=True),
            _SOURCE,
            ucf={},
            activitynet=ACTIVITYNET_TRANSFORMER,
            vggsound={"self_layers": 3, **VGGSOUND_TRANSFORMER},
        ),
    }
    paper = (
        "Carreira et al., Hierarchical Perceiver, 2022, https://arxiv.org/abs/2202.10890; as adapted by Mercea et al., "
        "DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = _Hierarchy(config, inputs.audio, inputs.visual)
        self.add_readout(config, config.dim, inputs.classes)

    def embed(self, features: Features) -> Tensor:
        """The projection of the first latent of the last level."""
        return self.project(self.fusion(features))
