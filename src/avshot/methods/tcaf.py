"""TCaF: a transformer in which sound and picture look at each other across time, matched to class embeddings.

Audio and visual steps become tokens with their real time stamps; in every layer a token looks only at tokens of the
*other* modality and at a class token, whose output is projected beside the projected class embeddings. A clip
belongs to the class whose projection lies nearest.

Paper: Mercea, Hummel, Koepke, Akata, "Temporal and cross-modal attention for audio-visual zero-shot learning", ECCV
2022, https://arxiv.org/abs/2207.09966; thesis chapter 3. Authors' code: https://github.com/ExplainableML/TCAF-GZSL.

How ours differs from the authors' code, and why:

- Time stamps are real in testing too. Theirs are real in training, but the function used for validation and test passes
  none, so both modalities get 0, 1, 2, ...; `index_time_at_inference=True` (`released`) restores that.
- Padded steps enter neither batch statistics nor outputs (`norm_over_padding=True` restores the former), so a clip's
  score does not depend on what it is batched with. Their embedding of padding is left out: nothing reads it.
- Their visual features are normalised over *time* (a default argument); kept in the published presets
  (`visual_scaling="time"`) because released weights and numbers come from it, not for own features.
- One LayerNorm serves both parts of a layer: kept (`shared_norm`).
- Cropping of long clips (ActivityNet) goes by time stamps (see `avshot.nn.augment.crop_window`). Other clips are padded
  to the longest of the batch, without any limit.
- Theirs runs that function in train mode after each step too, for a log, which moves the running statistics of batch
  normalisation; `unread_passes=True` (`released`) restores that, with the weights before the step.
- Thesis eq. 3.10 to 3.12 print 0 where a pair of one modality stands in the matrix under the softmax. A 0 there masks
  nothing: it weighs exp(0) = 1. The code fills in the least number there is, and so a weight of 0, as ours does by
  computing only what may be read (`docs/findings.md`).

`W_proj` runs twice per step, as theirs does: over the words of the batch's clips (regression, reconstruction) and over
the list of classes (cross-entropy); the two passes have different batch statistics. `project_per_clip=False` runs it
once over the classes.

Rows of the thesis' ablations that add or replace something: `triplet` takes its negatives from the batch (drawn
balanced over classes, as AVCA's negatives are); `average_input` averages before the encoders, where normalisation over
time would leave nothing but ones, so it wants another `visual_scaling`.

A missing modality has no tokens; the class token then looks at the other one alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.method import (
    AVCA_SELECTION,
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
from avshot.nn.encoders import LONG_CLIPS, SMALL_TRANSFORMER
from avshot.nn.fusion import FusionConfig, TemporalFusion
from avshot.nn.fusion_weights import FUSION_NAMES, fusion_sizes, shape_of, without_copies
from avshot.nn.released_weights import fill
from avshot.nn.tcaf_heads import HeadsConfig, TcafHeads
from avshot.types import Batch, Features


@dataclass(frozen=True)
class Config(HeadsConfig, FusionConfig):
    """Settings of `tcaf`: those of the fusion, and of the matching to class embeddings."""

    unread_passes: bool = False  # True: pass each batch once more, which only moves batch statistics (code)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(source: str, lr: float, schedule: str, **fields: Any) -> Preset:
    recipe = Recipe(epochs=50, batches_per_epoch=300, batch_size=64, lr=lr, weight_decay=1e-5, schedule=schedule)
    return Preset(replace_fields(Config(norm_over_padding=True), fields), recipe, f"TCAF-GZSL, {source}")


_CLS = "configuration of the C3D + VGGish features; dropouts as thesis section 3.4.1"
_MAIN = "configuration of the SeLaVi features (in the code alone, not in the thesis)"


@method
class Tcaf(TcafHeads, Method):
    """Temporal cross-modal attention, projected beside the class embeddings."""

    needs = Needs(texts=1, temporal=True)
    Config = Config
    config: _Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(**SMALL_TRANSFORMER, layers=2, dropout_encoder=0.3),
            replace(SMALL_SEQUENCES, epochs=18),
            f"ours, for small own datasets: smaller and regularised; token, attention and losses as published; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        "ucf-cls": _published(_CLS, 7e-5, "plateau"),
        "activitynet-cls": _published(
            _CLS + ", except drop_enc: 0.3 in the code (here), 0.1 in the thesis",
            7e-5,
            "plateau",
            dropout_transformer=0.4,
            **LONG_CLIPS,
        ),
        "vggsound-cls": _published(
            _CLS,
            6e-5,
            "constant",
            layers=8,
            dropout_encoder=0.2,
            dropout_position=0.1,
            dropout_transformer=0.5,
            dropout_output=0.2,
        ),
        "ucf-main": _published(
            _MAIN, 5e-5, "plateau", layers=5, encoder_hidden=256, dropout_encoder=0.4, dropout_output=0.2
        ),
        "activitynet-main": _published(
            _MAIN,
            7e-5,
            "plateau",
            layers=8,
            heads=3,
            head_dim=128,
            encoder_hidden=128,
            dropout_encoder=0.2,
            **LONG_CLIPS,
        ),
        "vggsound-main": _published(
            _MAIN,
            7e-5,
            "constant",
            layers=8,
            heads=6,
            head_dim=128,
            encoder_hidden=128,
            dropout_encoder=0.2,
            dropout_transformer=0.5,
            dropout_output=0.2,
            dropout_text=0.2,
        ),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "audio_scaling": "over255",
        "visual_scaling": "time",
        "norm_over_padding": True,
        "shared_norm": True,
        "project_per_clip": True,
        "index_time_at_inference": True,
        "unread_passes": True,
    }
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    paper = "Mercea et al., Temporal and cross-modal attention for audio-visual zero-shot learning, ECCV 2022"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.fusion = TemporalFusion(config, inputs.audio, inputs.visual)
        self.add_heads(config, config.dim, inputs.text_dim)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """See `TcafHeads.loss`."""
        terms = super().loss(batch)
        if self.training and self.config.unread_passes:
            self._pass_unread(batch)
        return terms

    @torch.no_grad()
    def _pass_unread(self, batch: Batch) -> None:
        """The batch once more, as it is scored: times as in testing, words of its clips. A crop is drawn anew."""
        indexed = self.config.index_time_at_inference
        fused = widened(self.fusion(batch.features, tokens=False, indexed=indexed).clip)
        (text,) = batch.classes.text.values()
        with exact(fused):
            self.project_output(fused)
            self.project_text(text[batch.labels])

    def fused(self, features: Features) -> Tensor:
        """The output class token, or the pooled tokens without one: `[clip, dim]`."""
        return self.fusion(features, tokens=False).clip


_OFFICIAL = FUSION_NAMES | {
    "project_output": "O_proj",
    "project_text": "W_proj",
    "decode_output": "D_o",
    "decode_text": "D_w",
}


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> Tcaf:
    """Make a `Tcaf` from weights in the layout of the authors' code.

    Every size is read from the tensors but the split of the attention's width into heads (`head_dim`, 64 by default;
    128 for the "main" features of ActivityNet and VGGSound). The text encoder is named "w2v".

    Args:
        state_dict: What the authors' checkpoint holds under "model".
        overrides: Fields of `Config`, for example `head_dim=128`, `index_time_at_inference=True`.

    Returns:
        The method in eval mode: `-score(features, classes)` are the authors' class distances for raw features (they
        are scaled inside: audio / 255, visual normalised over time) with time stamps in seconds.

    Raises:
        ValueError: A tensor is missing, unknown or of a wrong shape; the message names it.
    """
    weights = without_copies(state_dict)
    sizes, (audio, visual) = fusion_sizes(weights, head_dim=overrides.pop("head_dim", 64))
    out, text = shape_of(weights, "W_proj.fc.0.weight")
    sizes |= {"dim_out": out, "decoder_hidden": shape_of(weights, "O_proj.fc.0.weight")[0]}
    model = Tcaf(replace_fields(Config(), {**sizes, **overrides}), Inputs(audio, visual, {"w2v": text}))
    fill(model, weights, _OFFICIAL)
    return model.eval()
