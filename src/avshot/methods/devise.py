"""DeViSE: map audio-visual features linearly into the space of class embeddings, with a hinge ranking loss.

The averaged visual and audio features are concatenated and multiplied by one matrix; a clip belongs to the class whose
embedding lies nearest. It is the shortest method here: read it first.

Paper: Frome et al., "DeViSE: A Deep Visual-Semantic Embedding Model", NeurIPS 2013. Audio-visual form and settings:
Mercea et al., "Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language" (AVCA), CVPR 2022,
https://arxiv.org/abs/2203.03598, and the authors' code (AVCA-GZSL, 2711aeb).

How ours differs: nothing in the map and the loss. The authors evaluate with the Euclidean distance to the class
embeddings although training ranks dot products; so do we by default (`distance="euclidean"`), because published numbers
come from it. Class embeddings of one length are ranked alike by both. The map is `avshot.nn.bilinear`, which `sje`,
`ale` and `apn` use too: they differ in the loss. A missing modality enters as zeros, so the other one decides alone.
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
    """Settings of `devise`."""

    margin: float = 0.1  # hinge margin; AVCA code
    dropout: float = 0.2  # on the inputs and on the class embeddings; AVCA code
    normalise_inputs: bool = True  # unit length of the joined input; the authors do it for "cls" features, not "main"
    distance: str = "euclidean"  # what ranks classes at test time: "euclidean" (authors) or "dot" (as trained)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class Devise(Method):
    """One linear map from `[visual, audio]` to the class-embedding space."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout=0.4),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **published(Config(), "DeViSE", vggsound={"dropout": 0.0}),
    }
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    paper = "Frome et al., DeViSE: A Deep Visual-Semantic Embedding Model, NeurIPS 2013"

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
        """Sum over wrong classes of max(0, margin - s_true + s_wrong), mean over clips (AVCA code; DeViSE eq. 1)."""
        (text,) = batch.classes.text.values()
        scores = self.map.compatibility(batch.features, text)
        return {"hinge": violations(scores, batch.labels, self.config.margin).sum(dim=1).mean()}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative distance, or dot product, to every class embedding: `[clip, class]`."""
        (text,) = classes.text.values()
        return self.map.score(features, text)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips beside the class embeddings."""
        return self.map(features), next(iter(classes.text.values()))
