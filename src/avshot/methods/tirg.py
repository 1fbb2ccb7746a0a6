"""TIRG: the word of an action, changed by that of an adverb through a gate and a residual, classifies clips.

Made for finding a picture by another one and a text that says what to change; here the action is what is changed and
the adverb says how. A clip, seen by its action, has to find its pair among those of the batch.

Paper: Vo et al., "Composing Text and Image for Image Retrieval - An Empirical Odyssey", CVPR 2019,
https://arxiv.org/abs/1812.07119; as a baseline for adverbs: Mercea, "Multimodal Data Efficient Learning", thesis,
Tübingen 2024, section 6.5. Program of the original read: google/tirg 0ad2fd9; of the adaptation none was released.

How ours differs: the thesis fixes the gate on the action, ReGaDa's video encoder, a batch-based classification loss,
epochs and rate. The rest is the original's: one layer in the gate and two in the residual behind a batch norm and a
ReLU, w_g = 1 and w_r = 10 at first, unit vectors times a learnt factor that starts at 4. Its softmax runs over the rows
of a batch, so that clips of one pair compete with each other; ours runs over distinct pairs (`distinct`).

A missing modality: as in `regada`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import VIEWS, Inputs, Method, Needs, Preset, Selection, method
from avshot.nn.action_attention import ActionVideo, VideoConfig
from avshot.nn.adverb_sets import own_recipe, same_for_all
from avshot.nn.autocast import exact, widened
from avshot.nn.pair_table import Form
from avshot.nn.pair_text import PairText, TextConfig
from avshot.nn.pairs import ActionGroups, parts_of, word_vectors
from avshot.nn.video_head import VideoHead
from avshot.types import MODALITIES, Batch, Classes, Features


@dataclass(frozen=True)
class Config(VideoConfig, TextConfig):
    """Settings of `tirg`: of the text of pairs, of the video encoder, and what follows."""

    main: str = "action"  # what is gated; thesis
    aux: str = "adverb"  # what changes it; thesis
    gate_layers: int = 1  # original
    residual_layers: int = 2  # original
    dropout_gate: float = 0.0  # original: none
    projection_layers: int = 2  # behind the attention, as ReGaDa's
    scale: float = 4.0  # first length of vectors, learnt; original
    distinct: bool = True  # a pair stands once in the softmax; False: as often as in the batch (original)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name
_FORM = Form(slope=0.0, relu_first=True, weights=(1.0, 10.0))


@method
class Tirg(Method):
    """Gated actions, and clips as attention by the action sees them, told apart within a batch."""

    needs = Needs(texts=1, temporal=True, pairs=True)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(
                dim=128,
                head_dim=32,
                dropout_video=0.2,
                scaling="standardise",
                feature_noise=0.2,
                drop_modality=0.3,
                audio=True,
                norm_over="seen",
            ),
            own_recipe(),
            "ours, for small own datasets: narrower, and with sound, as the default of regada; not tuned",
            Selection(views=VIEWS),
        ),
        **same_for_all(
            Config(),
            "ours in part: the thesis (section 6.5) states epochs, rate, gate and video encoder; the composer is that "
            "of google/tirg 0ad2fd9; batch and weight decay are those of ReGaDa d9d0bfb",
        ),
    }
    released: ClassVar[Mapping[str, Any]] = {
        "audio": False,
        "scaling": "none",
        "feature_noise": 0.0,
        "norm_over": "all",
        "distinct": False,
    }
    released_selection: ClassVar[Mapping[str, Any]] = {"views": ("both",)}
    paper = (
        "Vo et al., Composing Text and Image for Image Retrieval - An Empirical Odyssey, CVPR 2019, "
        "https://arxiv.org/abs/1812.07119; as adapted by Hummel et al., BMVC 2023, https://arxiv.org/abs/2309.15086"
    )

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        widths = {"audio": inputs.audio, "visual": inputs.visual}
        self.video = ActionVideo(config, widths, inputs.text_dim, config.dim)
        self.head = VideoHead(config.dim, config.projection_layers, dropout=config.dropout_video)
        self.text = PairText(config, inputs.text_dim, _FORM)
        self.scale = nn.Parameter(torch.tensor(config.scale))

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return MODALITIES if self.config.audio else ("visual",)

    @property
    def couples(self) -> str:
        """See `Method.couples`."""
        return "its softmax runs over the pairs of a batch"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of each clip over the pairs of the batch; vectors have the length `scale`."""
        classes = batch.classes
        action, adverb = parts_of(classes, batch.labels)
        clips = self.head(self.video(batch.features, word_vectors(classes, "action")[action][:, None]))[:, 0]
        if self.config.distinct:
            columns, own = torch.unique(batch.labels, return_inverse=True)
            action, adverb = parts_of(classes, columns)
        else:
            own = torch.arange(len(batch), device=action.device)
        rows = self.text(classes, action, adverb)
        with exact(rows):
            cosines = F.normalize(widened(clips), dim=1) @ F.normalize(widened(rows), dim=1).T
            return {"cross_entropy": F.cross_entropy(self.scale.square() * cosines, own)}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Cosine of each pair and the clip as the pair's action sees it: `[clip, class]`."""
        groups = ActionGroups.of(classes)
        clips = self.head(self.video(features, word_vectors(classes, "action")[groups.actions][None]))
        return groups.dots(F.normalize(clips, dim=2), F.normalize(self.text.of_classes(classes), dim=1))
