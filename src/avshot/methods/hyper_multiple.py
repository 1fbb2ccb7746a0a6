"""Hyper-multiple: AVCA, with sound and picture aligned in several hyperbolic spaces whose curvatures each clip chooses.

As `hyper_single`, with two or three learnt curvatures of each clip; the alignments in each of them are averaged.

Paper: Hong et al., "Hyperbolic Audio-visual Zero-shot Learning", ICCV 2023, https://arxiv.org/abs/2308.12558. Code
read: JHome1/Hyper-AVZSL at 8460954, README at 0926a95; the formulas are those of the code.

How ours differs: as in `hyper_alignment`, clips are compared by their geodesic distance, in a ball whose curvature is
the mean of theirs. In the authors' code (`compare="cosine"`) curvature cancels out: the alignments that are averaged
are all the same one, and the map that makes the curvatures gets no gradient but rounding errors and weight decay. Run
scripts exist for Hyper-alignment alone; the presets take their settings, with 0.01 as the upper bound of curvatures,
and the numbers of curvatures from that README.

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
    """Settings of `hyper_multiple`: those of AVCA, of the alignment, and how many spaces it has."""

    curvatures: int = 2  # learnt for each clip, at least 1; README at 0926a95 has 2 or 3 by dataset


_Config = Config  # for annotations inside the class, whose attribute `Config` hides the name

# README at 0926a95, "Num of adaptive curvatures".
_COUNTS = {
    "vggsound-main": 2,
    "ucf-main": 3,
    "activitynet-main": 2,
    "vggsound-cls": 3,
    "ucf-cls": 2,
    "activitynet-cls": 3,
}


def _published(name: str) -> Preset:
    batch_size = 64 if name == "vggsound-main" else 256
    return Preset(
        replace_fields(Config(), {**PUBLISHED[name], "curvatures": _COUNTS[name]}),
        Recipe(epochs=50, batches_per_epoch=500, batch_size=batch_size, lr=1e-3, weight_decay=1e-5, schedule="plateau"),
        "Hyper-AVZSL 8460954, run scripts of Hyper-alignment; number of curvatures from the README at 0926a95",
    )


@method
class HyperMultiple(Method):
    """AVCA with an alignment of its modalities under several learnt curvatures of each clip."""

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
        if config.curvatures < 1:
            raise ValueError(f"curvatures is {config.curvatures}; expected at least 1. hyper_alignment learns none.")
        self.alignment = Alignment(config.width, config.curvature, learnt=config.curvatures, compare=config.compare)

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
