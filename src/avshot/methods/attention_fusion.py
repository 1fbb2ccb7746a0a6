"""Attention fusion: encode every step, average over time, and mix sound and picture by learnt weights per channel.

The weights come from both averages through one layer and a sigmoid. The mix is projected beside the class embeddings
and trained as TCaF is, whose encoders and losses it has; a clip belongs to the class whose projection lies nearest.

Paper: Fayek and Kumar, "Large Scale Audiovisual Learning of Sounds with Weakly Labeled Data", IJCAI 2020,
https://arxiv.org/abs/2006.01595, adapted to zero-shot learning as a baseline of TCaF: Mercea, "Multimodal Data
Efficient Learning", thesis, Tübingen 2024, section 3.4.2 and appendix B.1.1. No code of the adaptation was released
(its flags in TCAF-GZSL lead nowhere).

How ours differs: from the classifier of Fayek and Kumar as the thesis does, which mixes encodings, not the class
scores of two classifiers trained before. From the thesis in nothing that it states. It is silent on epochs, batches and
schedules, which we take from TCaF along with the stated rate, losses and encoders, and on dropout around the mix: there
is none.

In few-shot learning (thesis section 4.3.3) a classifier takes the place of the nearest class: `readout="classifier"`,
in the presets `*-fsl`. The projection stays, a linear layer of the trained classes reads it, and cross-entropy is the
only loss. The thesis says that there is a classifier, and no more.

Missing modality (ours): the mix is the average of the other one alone. A clip with neither is a vector of zeros before
the projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avshot.method import (
    SMALL_SEQUENCES,
    TUNED,
    VIEWS,
    Inputs,
    Method,
    Needs,
    Preset,
    Recipe,
    Selection,
    method,
    replace_fields,
)
from avshot.nn.autocast import exact, widened
from avshot.nn.dropout import use_dropout
from avshot.nn.encoders import LONG_CLIPS, SMALL_ENCODERS, EncoderConfig, Encoders, padded
from avshot.nn.pool import pool
from avshot.nn.readout import classified, few_shot_presets
from avshot.nn.tcaf_heads import HeadsConfig, TcafHeads
from avshot.types import Features


@dataclass(frozen=True)
class Config(HeadsConfig, EncoderConfig):
    """Settings of `attention_fusion`: those of TCaF's encoders and heads; the mix itself has none."""

    readout: str = "nearest"  # the class whose text lies nearest; "classifier": linear, of trained classes (few shots)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(lr: float, schedule: str, **fields: Any) -> Preset:
    recipe = Recipe(epochs=50, batches_per_epoch=300, batch_size=64, lr=lr, weight_decay=1e-5, schedule=schedule)
    source = "thesis appendix B.1.1, with TCaF's settings for these features (TCAF-GZSL)"
    return Preset(replace_fields(Config(norm_over_padding=True), fields), recipe, source)


class _GatedAverage(Encoders):
    """TCaF's encoders, averages over time and their mix: `Features` to one vector per clip, `[clip, dim]`."""

    def __init__(self, config: Config, audio_dim: int, visual_dim: int) -> None:
        super().__init__(config, audio_dim, visual_dim)
        self.attention = nn.Linear(2 * config.dim, config.dim)  # f_attn of the thesis
        use_dropout(self)

    def forward(self, features: Features) -> Tensor:
        """Mix alpha * audio + (1 - alpha) * visual, where alpha = sigmoid(f_attn([audio, visual]))."""
        features = self.prepare(features)
        masks = (features.audio_mask, features.visual_mask)
        audio, visual = (
            pool(padded(widened(rows), mask), mask, "mean")
            for rows, mask in zip(self.encode(features), masks, strict=True)
        )
        has_a, has_v = features.has_audio[:, None], features.has_visual[:, None]
        with exact(audio):
            alpha = self.attention(torch.cat([audio, visual], dim=1)).sigmoid()
        alpha = torch.where(has_a & has_v, alpha, has_a.to(alpha.dtype))
        return alpha * audio + (1 - alpha) * visual


@method
class AttentionFusion(TcafHeads, Method):
    """A mix of averaged encodings with learnt weights, projected beside the class embeddings."""

    needs = Needs(texts=1, temporal=True)  # it averages encoded steps, so it must see the steps
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_ENCODERS, dim=128),
            replace(SMALL_SEQUENCES, epochs=9, lr=3e-3),
            f"ours, for small own datasets: smaller and regularised, as the default of tcaf; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-cls": _published(7e-5, "plateau"),
        "activitynet-cls": _published(7e-5, "plateau", train_visual_steps=60, test_visual_steps=300),
        "vggsound-cls": _published(6e-5, "constant", dropout_encoder=0.2, dropout_output=0.2),
        **few_shot_presets(
            Config(norm_over_padding=True, readout="classifier"),
            "ours: rates and epochs as of all methods (thesis 4.5.1), widths and dropout as for zero shots (B.1.1)",
            ucf={},
            activitynet=LONG_CLIPS,
            vggsound={"dropout_encoder": 0.2, "dropout_output": 0.2},
        ),
    }
    paper = (
        "Fayek and Kumar, Large Scale Audiovisual Learning of Sounds with Weakly Labeled Data, IJCAI 2020, "
        "https://arxiv.org/abs/2006.01595; as adapted by Mercea et al., ECCV 2022, https://arxiv.org/abs/2207.09966"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = _GatedAverage(config, inputs.audio, inputs.visual)
        self.add_heads(config, config.dim, inputs.text_dim, classes=classified(config.readout, inputs.classes))

    def fused(self, features: Features) -> Tensor:
        """The mix, c_o: `[clip, dim]`."""
        return self.fusion(features)
