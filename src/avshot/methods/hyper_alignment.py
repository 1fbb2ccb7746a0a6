"""Hyper-alignment: AVCA, with sound and picture aligned in a hyperbolic space of one fixed curvature.

Between the encoders and the cross-attention of AVCA, embeddings of both modalities are placed in a Poincaré ball; the
clips of a batch should lie to one another by sound as they do by picture. `hyper_single` and `hyper_multiple` learn the
curvature.

Paper: Hong et al., "Hyperbolic Audio-visual Zero-shot Learning", ICCV 2023, https://arxiv.org/abs/2308.12558. Code
read: JHome1/Hyper-AVZSL at 8460954; the formulas are those of the code.

How ours differs: embeddings enter the ball by the exponential map and clips are compared by their geodesic distance, so
that curvature matters. The authors clip embeddings to the ball, map them back by the logarithm and compare cosines:
both maps are positive multiples of the vector, which a cosine does not see, so their loss is the alignment of plain
cosines whatever the curvature is. `compare="cosine"` restores that. Their README at 0926a95 lists a curvature for each
dataset; chosen under a loss that does not depend on them, they say nothing about the geodesic form, and the presets
take the 0.01 of the run scripts. The rest, batch statistics included, is as in `avca`.

Missing modality: as in `avca`. Clips that lack one are left out of the alignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from avshot.method import Inputs, Method, Needs, Preset, Recipe, Selection, method, replace_fields
from avshot.nn.alignment import AlignedConfig, Alignment
from avshot.nn.avca import PUBLISHED, Avca
from avshot.types import Batch, Classes, Features


@dataclass(frozen=True)
class Config(AlignedConfig):
    """Settings of `hyper_alignment`: those of AVCA and of the alignment."""


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(name: str) -> Preset:
    batch_size = 64 if name == "vggsound-main" else 256
    return Preset(
        replace_fields(Config(), PUBLISHED[name]),
        Recipe(epochs=50, batches_per_epoch=500, batch_size=batch_size, lr=1e-3, weight_decay=1e-5, schedule="plateau"),
        "Hyper-AVZSL 8460954, run scripts of Hyper-alignment; but for the alignment those of AVCA",
    )


@method
class HyperAlignment(Method):
    """AVCA with an alignment of its modalities under one fixed curvature."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    released: ClassVar[Mapping[str, Any]] = {"compare": "cosine"}
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout_projection=0.2, dropout_decoder=0.1, scaling="standardise"),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=1e-3, weight_decay=1e-5),
            "ours, for small own datasets: that of avca, with the alignment",
            Selection(beta_grid="exact"),
        ),
        **{name: _published(name) for name in PUBLISHED},
    }
    paper = "Hong et al., Hyperbolic Audio-visual Zero-shot Learning, ICCV 2023, https://arxiv.org/abs/2308.12558"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        self.net = Avca(config, inputs.audio, inputs.visual, inputs.text_dim)
        self.alignment = Alignment(config.width, config.curvature, compare=config.compare)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """See `Method.decided_by`."""
        return self.net.branches

    @property
    def couples(self) -> str:
        """See `Method.couples`."""
        return "its alignment compares all clips of a batch with one another"

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """AVCA's terms, and the weighted `alignment` of the clips and of the negatives.

        Raises:
            ValueError: The batch has no negatives.
        """
        own, other = self.net.passed(batch)
        alignment = self.alignment(own.audio, own.visual) + self.alignment(other.audio, other.visual)
        return self.net.terms(own, other) | {"alignment": self.config.alignment * alignment}

    def score(self, features: Features, classes: Classes) -> Tensor:
        """As AVCA: negative Euclidean distance of `theta_v` (`theta_a` without picture) to every `theta_w`."""
        return self.net.score(features, classes)

    def embeddings(self, features: Features, classes: Classes) -> tuple[Tensor, Tensor]:
        """Clips as `theta_v` (`theta_a` without picture) and classes as `theta_w`."""
        return self.net.embeddings(features, classes)
