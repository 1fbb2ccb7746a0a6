"""SLDG: averages over time, each weighted by a learnt normal distribution, side by side for sound and picture.

Every weighting favours another stretch of the clip, so a few averages tell what came first and what last, however long
the clip is. They are joined, projected and read by a linear classifier.

Paper: Bo, Lu and He, "Few-Shot Learning of Video Action Recognition Only Based on Video Contents", WACV 2020, as a
baseline of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.3.3, whose name
for it is SLDG. Neither has released code.

What the thesis says: it weighs frame features according to normal distributions, and audio features take the place of
optical flow. Of the paper we know its abstract alone, and that of the authors' next one (CLTA, 2021): "temporal
attention vectors" make one description of videos of any length, on features of networks that never saw a video; a
Gaussian likelihood is their template, with learnt mean and deviation. How ours differs, or what we assumed:

- *Time* of the i-th of n steps is (i - 0.5) / n, so weightings move with the length of the clip, and a step that is
  hidden in training leaves no gap.
- *Means* start evenly over the clip, deviations at half the distance between two of them (`normals` of each); they are
  trained and are the same for all clips and channels, one set for each modality. Weights of a clip add up to 1.
- *Encoders* of TCaF before the averages and the projection of the other baselines after them.

A missing modality: its averages are zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from avshot.method import SMALL_SEQUENCES, VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.autocast import exact, widened
from avshot.nn.dropout import use_dropout
from avshot.nn.encoders import LONG_CLIPS, SMALL_ENCODERS, EncoderConfig, Encoders, padded
from avshot.nn.readout import ClassifierReadout, ReadoutConfig, few_shot_presets
from avshot.types import Features


@dataclass(frozen=True)
class Config(ReadoutConfig, EncoderConfig):
    """Settings of `sldg`: those of TCaF's encoders, of the weightings, and of the classifier's projection."""

    normals: int = 5  # weightings of each modality; ours, the paper's number is not known to us


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_SOURCE = (
    "ours: the thesis states no setting of sldg; rates and epochs as it trains all methods (section 4.5.1), widths and "
    "dropout as TCaF's for these features"
)


class Normals(nn.Module):
    """Weights of the steps of a clip by normal distributions over its length.

    Args:
        count: How many distributions.

    Raises:
        ValueError: No distribution.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"normals is {count}; expected at least 1.")
        self.mean = nn.Parameter((torch.arange(count) + 0.5) / count)
        self.log_deviation = nn.Parameter(torch.full((count,), -math.log(2 * count)))

    def forward(self, mask: Tensor) -> Tensor:
        """Weights `[clip, normal, time]` under `mask [clip, time]`; they add up to 1, or to 0 without steps."""
        length = mask.sum(dim=1, keepdim=True).clamp(min=1)
        time = (mask.cumsum(dim=1) - 0.5) / length
        away = (time[:, None] - self.mean[:, None]) / self.log_deviation.exp()[:, None]
        real = mask[:, None].expand_as(away)
        # A far-away density is 0 in float32 for all steps; a softmax of its logarithm never is.
        some = real.any(dim=2, keepdim=True)
        weights = torch.where(real | ~some, -0.5 * away.square(), -torch.inf).softmax(dim=2)
        return torch.where(real, weights, 0.0)


class _Weighted(Encoders):
    """TCaF's encoders and weighted averages of what they make: `Features` to `[clip, 2 * normals * dim]`."""

    def __init__(self, config: Config, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        self.audio_normals, self.visual_normals = Normals(config.normals), Normals(config.normals)
        use_dropout(self)

    def forward(self, features: Features) -> Tensor:
        """Averages by the audio weightings, then by the visual ones."""
        features = self.prepare(features)
        masks, found = (features.audio_mask, features.visual_mask), []
        for normals, rows, mask in zip(
            (self.audio_normals, self.visual_normals), self.encode(features), masks, strict=True
        ):
            steps = padded(widened(rows), mask)
            with exact(steps):
                found.append((normals(mask) @ steps).flatten(1))
        return torch.cat(found, dim=1)


@method
class SLDG(ClassifierReadout, Method):
    """Averages over time by normal distributions, under a linear classifier."""

    needs = Needs(texts=1, temporal=True, open_vocabulary=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_ENCODERS, dim=64, normals=3, project_hidden=128),
            SMALL_SEQUENCES,
            "ours, for small own datasets: smaller and regularised, as the default of attention_fusion; not tuned",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **few_shot_presets(
            Config(norm_over_padding=True),
            _SOURCE,
            ucf={},
            activitynet=LONG_CLIPS,
            vggsound={"dropout_encoder": 0.2, "dropout_output": 0.2},
        ),
    }
    paper = (
        "Bo, Lu and He, Few-Shot Learning of Video Action Recognition Only Based on Video Contents, WACV 2020; as "
        "adapted by Mercea et al., DAGM GCPR 2023, https://arxiv.org/abs/2309.03869"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = _Weighted(config, inputs.audio, inputs.visual)
        self.add_readout(config, 2 * config.normals * config.dim, inputs.classes)

    def embed(self, features: Features) -> Tensor:
        """The projection of the weighted averages."""
        return self.project(self.fusion(features))
