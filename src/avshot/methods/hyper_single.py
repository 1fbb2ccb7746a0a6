"""Hyper-single: AVCA, with sound and picture aligned in a hyperbolic space whose curvature each clip chooses.

As `hyper_alignment`, but the curvature is computed from the two embeddings of a clip, `curvature * sigmoid(linear)`,
and learnt with the rest.

Paper: Hong et al., "Hyperbolic Audio-visual Zero-shot Learning", ICCV 2023, https://arxiv.org/abs/2308.12558. Code
read: JHome1/Hyper-AVZSL at 8460954; the formulas are those of the code.

How ours differs: as in `hyper_alignment`, clips are compared by their geodesic distance, in a ball whose curvature is
the mean of theirs. In the authors' code (`compare="cosine"`) the curvature cancels out: the map that makes it gets no
gradient but rounding errors and weight decay, and the method is Hyper-alignment. Run scripts exist for Hyper-alignment
alone; the presets take their settings, with 0.01 as the upper bound of the curvature.

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
    """Settings of `hyper_single`: those of AVCA and of the alignment."""


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name


def _published(name: str) -> Preset:
    batch_size = 64 if name == "vggsound-main" else 256
    return Preset(
        replace_fields(Config(), PUBLISHED[name]),
        Recipe(epochs=50, batches_per_epoch=500, batch_size=batch_size, lr=1e-3, weight_decay=1e-5, schedule="plateau"),
        "Hyper-AVZSL 8460954, run scripts of Hyper-alignment (none of Hyper-single exist)",
    )


@method
class HyperSingle(Method):
    """AVCA with an alignment of its modalities under a learnt curvature of each clip."""

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
        self.alignment = Alignment(config.width, config.curvature, learnt=1, compare=config.compare)

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
