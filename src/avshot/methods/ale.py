"""ALE: map audio-visual features linearly beside the class embeddings, with a hinge that weighs ranks.

The averaged visual and audio features are concatenated and multiplied by one matrix. As in DeViSE each wrong class that
comes too close adds to the loss, but the more of them there are the less each counts: what matters is a true class near
the top.

Paper: Akata et al., "Label-Embedding for Image Classification", TPAMI 2016, https://arxiv.org/abs/1503.08677 (the rank
weights: Usunier et al., ICML 2009). Audio-visual form and settings: Mercea et al., "Audio-visual Generalised Zero-shot
Learning with Cross-modal Attention and Language" (AVCA), CVPR 2022, https://arxiv.org/abs/2203.03598. Code read:
AVCA-GZSL, 2711aeb.

How ours differs: nothing in the map and the loss, which the authors' code computes over all classes (ALE's own training
samples them). Their table of rank weights ends at 700 classes; ours has no end. As in their code, the margin is 0.1
(ALE: 1) and the Euclidean distance ranks classes at test time; class embeddings of one length are ranked alike by the
dot product.

Missing modality: it enters as zeros, so the other one decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.method import AVCA_SELECTION, TUNED, VIEWS, Inputs, Method, Needs, Preset, Recipe, Selection, method
from avshot.nn.bilinear import BilinearMap, published, violations
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `ale`."""

    margin: float = 0.1  # by which the true class has to win; AVCA code, in ALE it is the 0/1 loss
    dropout: float = 0.2  # on the inputs and on the class embeddings; AVCA code
    normalise_inputs: bool = True  # unit length of the joined input; the authors do it for "cls" features, not "main"
    distance: str = "euclidean"  # what ranks classes at test time: "euclidean" (authors) or "dot" (as trained)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class ALE(Method):
    """One linear map from `[visual, audio]` to the class embeddings, trained by a rank-weighted hinge."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(),
            Recipe(epochs=24, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets: as devise; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **published(Config(), "ALE", vggsound={"dropout": 0.0}),
    }
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    paper = "Akata et al., Label-Embedding for Image Classification, TPAMI 2016, https://arxiv.org/abs/1503.08677"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.map = BilinearMap(
            inputs.audio,
            inputs.visual,
            inputs.text_dim,
            normalise=config.normalise_inputs,
            dropout=config.dropout,
            distance=config.distance,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Sum over wrong classes of max(0, margin - s_true + s_wrong) times a rank weight, mean over clips."""
        (text,) = batch.classes.text.values()
        scores = self.map.compatibility(batch.features, text)
        violation = violations(scores, batch.labels, self.config.margin)
        return {"weighted_hinge": (violation.sum(dim=1) * _rank_weight(violation)).mean()}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative distance, or dot product, to every class embedding: `[clip, class]`."""
        (text,) = classes.text.values()
        return self.map.score(features, text)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips beside the class embeddings."""
        return self.map(features), next(iter(classes.text.values()))


def _rank_weight(violation: Tensor) -> Tensor:
    """`beta_r / r [clip]`: r = number of violations of the clip, `beta_r = 1 + 1/2 + ... + 1/r`; 0 without any."""
    rank = (violation > 0).sum(dim=1)
    steps = torch.arange(1, violation.shape[1] + 1, dtype=violation.dtype, device=violation.device)
    beta = F.pad(torch.cumsum(1 / steps, dim=0), (1, 0))
    return beta[rank] / rank.clamp(min=1)
