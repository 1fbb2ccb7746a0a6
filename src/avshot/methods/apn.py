"""APN: regress the class embedding from audio-visual features and classify by its dot product with all of them.

In the image method, prototypes look for each attribute in the places of a feature map. The audio-visual form has one
averaged vector per clip and no places, so two linear maps are left: the one that is evaluated, and the prototypes.

Paper: Xu et al., "Attribute Prototype Network for Zero-Shot Learning", NeurIPS 2020, https://arxiv.org/abs/2008.08290.
Audio-visual form and settings: Mercea et al., "Audio-visual Generalised Zero-shot Learning with Cross-modal Attention
and Language" (AVCA), CVPR 2022, https://arxiv.org/abs/2203.03598. Code read: AVCA-GZSL, 2711aeb.

How ours differs: the authors hand probabilities to a cross-entropy that takes logits, so the softmax runs twice and the
gradient nearly vanishes; ours hands it the dot products (`double_softmax=True` restores theirs). Their prototypes share
nothing with the evaluated map, because the features are fixed, and so change no score; the published presets train
them, the default leaves them out (`prototypes=False`). Training ranks dot products, evaluation the Euclidean distance;
class embeddings of one length are ranked alike by both.

Missing modality: it enters as zeros, so the other one decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import AVCA_SELECTION, TUNED, VIEWS, Inputs, Method, Needs, Preset, Recipe, Selection, method
from avshot.nn.bilinear import BilinearMap, published
from avshot.types import Batch, Classes, Features

LARGEST_FIRST_WEIGHT = 2e-4  # AVCA code: both maps start uniform between 0 and this


@dataclass(frozen=True)
class Config:
    """Settings of `apn`."""

    normalise_inputs: bool = True  # unit length of the joined input; the authors do it for "cls" features, not "main"
    double_softmax: bool = False  # cross-entropy of softmax(logits) in place of logits; True: the released code
    prototypes: bool = True  # train the second map, which nothing reads at test time; code
    distance: str = "euclidean"  # what ranks classes at test time: "euclidean" (authors) or "dot" (as trained)


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


@method
class APN(Method):
    """A linear map from `[visual, audio]` to the class embeddings, by regression and cross-entropy."""

    needs = Needs(texts=1, temporal=False)
    Config = Config
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(prototypes=False, normalise_inputs=False),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3),
            f"ours, for small own datasets: without the prototypes, which change no score; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **published(Config(), "APN"),
    }
    paper = (
        "Xu et al., Attribute Prototype Network for Zero-Shot Learning, NeurIPS 2020, https://arxiv.org/abs/2008.08290"
    )
    released: ClassVar[Mapping[str, Any]] = {"double_softmax": True, "prototypes": True}
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)

        def small_map() -> BilinearMap:
            made = BilinearMap(
                inputs.audio,
                inputs.visual,
                inputs.text_dim,
                normalise=config.normalise_inputs,
                distance=config.distance,
            )
            nn.init.uniform_(made.weight, 0.0, LARGEST_FIRST_WEIGHT)
            return made

        self.map = small_map()
        self.prototypes = small_map() if config.prototypes else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy over the training classes plus mean squared error to the class embedding, for each map."""
        (text,) = batch.classes.text.values()
        terms = {}
        for prefix, linear in (("", self.map), ("prototype_", self.prototypes)):
            if linear is None:
                continue
            embedded = linear(batch.features)
            logits = embedded @ text.T
            if self.config.double_softmax:
                logits = logits.softmax(dim=1)
            terms[f"{prefix}cross_entropy"] = F.cross_entropy(logits, batch.labels)
            terms[f"{prefix}regression"] = F.mse_loss(embedded, text[batch.labels])
        return terms

    def score(self, features: Features, classes: Classes) -> Tensor:
        """Negative distance, or dot product, of the first map to every class embedding: `[clip, class]`."""
        (text,) = classes.text.values()
        return self.map.score(features, text)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Embedded clips beside the class embeddings."""
        return self.map(features), next(iter(classes.text.values()))
