"""SJE: map audio-visual features linearly beside the class embeddings; the worst wrong class has to lose by a margin.

The averaged visual and audio features are concatenated and multiplied by one matrix. Where DeViSE sums over all wrong
classes that come too close, SJE takes only the closest, as a structured support vector machine does.

Paper: Akata et al., "Evaluation of Output Embeddings for Fine-Grained Image Classification", CVPR 2015,
https://arxiv.org/abs/1409.8403. Audio-visual form and settings: Mercea et al., "Audio-visual Generalised Zero-shot
Learning with Cross-modal Attention and Language" (AVCA), CVPR 2022, https://arxiv.org/abs/2203.03598. Code read:
AVCA-GZSL, 2711aeb.

How ours differs: nothing in the map and the loss. As in the authors' code, the margin is 0.1 (SJE: 1), plain Adam steps
replace SJE's, and the Euclidean distance ranks classes at test time; class embeddings of one length are ranked alike by
the dot product.

Missing modality: it enters as zeros, so the other one decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from avshot.method import AVCA_SELECTION, TUNED, VIEWS, Inputs, Method, Needs, Preset, Recipe, Selection, method
from avshot.nn.bilinear import BilinearMap, published, violations
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config:
    """Settings of `sje`."""

    margin: float = 0.1  # by which the true class has to win; AVCA code, in SJE eq. 5 it is the 0/1 loss
    dropout: float = 0.2  # on the inputs and on the class embeddings; AVCA code
    normalise_inputs: bool = True  # unit length of the joined input; the authors do it for "cls" features, not "main"
    distance: str = "euclidean"  # what ranks classes at test time: "euclidean" (authors) or "dot" (as trained)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class SJE(Method):
    """One linear map from `[visual, audio]` to the class embeddings, trained against the worst wrong class."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout=0.4),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets: as devise; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **published(Config(), "SJE", vggsound={"dropout": 0.0}),
    }
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    paper = (
        "Akata et al., Evaluation of Output Embeddings for Fine-Grained Image Classification, CVPR 2015, "
        "https://arxiv.org/abs/1409.8403"
    )

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
        """Largest of max(0, margin - s_true + s_wrong) over the wrong classes, mean over clips."""
        (text,) = batch.classes.text.values()
        scores = self.map.compatibility(batch.features, text)
        return {"hinge": violations(scores, batch.labels, self.config.margin).amax(dim=1).mean()}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative distance, or dot product, to every class embedding: `[clip, class]`."""
        (text,) = classes.text.values()
        return self.map.score(features, text)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips beside the class embeddings."""
        return self.map(features), next(iter(classes.text.values()))
