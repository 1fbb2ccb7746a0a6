"""Hyper-AVZSL: AVCA, with sound and picture aligned in hyperbolic spaces whose curvature is fixed or learnt.

Between the encoders and the cross-attention of AVCA, embeddings of both modalities are placed in a Poincaré ball; the
clips of a batch should lie to one another by sound as they do by picture. The paper has three variants, which are also
methods by name: one fixed curvature (`hyper_alignment`), one that is computed from the two embeddings of a clip and
learnt with the rest (`hyper_single`), several of those, whose alignments are averaged (`hyper_multiple`).

Paper: Hong et al., "Hyperbolic Audio-visual Zero-shot Learning", ICCV 2023, https://arxiv.org/abs/2308.12558. Code
read: JHome1/Hyper-AVZSL at 8460954, README at 0926a95; the formulas are those of the code.

How ours differs: embeddings enter the ball by the exponential map and clips are compared by their geodesic distance, so
that curvature matters. The authors clip embeddings to the ball, map them back by the logarithm and compare cosines:
both maps are positive multiples of the vector, which a cosine does not see. Their loss is the alignment of plain
cosines whatever the curvature is, the alignments that are averaged are all the same one, and the map that makes learnt
curvatures gets no gradient but rounding errors and weight decay. `compare="cosine"` restores that. Run scripts exist
for Hyper-alignment alone; all presets take their settings, with 0.01 as the curvature or the upper bound of learnt
ones, and the numbers of curvatures from that README. The README also lists a curvature for each dataset; chosen under a
loss that does not depend on them, they say nothing about the geodesic form. The rest is as in `avca`, also what
`released` restores of it.

Missing modality: as in `avca`. Clips that lack one are left out of the alignment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.method import (
    AVCA_SELECTION,
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
from avshot.nn.avca import Avca, Branch
from avshot.nn.avca_config import PUBLISHED, RELEASED, AvcaConfig
from avshot.nn.hyperbolic import logmap0, project, tangent_distances
from avshot.types import Batch, Classes, Features

COMPARISONS = ("geodesic", "cosine")
VARIANTS = ("fixed", "single", "multiple")


@dataclass(frozen=True)
class Config(AvcaConfig):
    """Settings of `hyper_avzsl`: those of AVCA, and of the alignment added to it."""

    variant: str = "multiple"  # curvature: "fixed", or learnt for each clip, a "single" one or "multiple" ones; paper
    alignment: float = 1e-3  # weight of the alignment; code
    compare: str = "geodesic"  # clips by their distance in the ball; "cosine": as the code, blind to curvature
    curvature: float = 0.01  # minus the curvature, or the most a learnt one can be; run scripts
    curvatures: int = 2  # of each clip where they are "multiple", at least 1; README at 0926a95 has 2 or 3 by dataset


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
class HyperAvzsl(Method):
    """AVCA with an alignment of its modalities under a fixed curvature, or under learnt ones of each clip."""

    needs = Needs(texts=1, temporal=False, negatives=True)
    Config = Config
    aliases: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hyper_alignment": {"variant": "fixed"},
        "hyper_single": {"variant": "single"},
        "hyper_multiple": {"variant": "multiple"},
    }
    released: ClassVar[Mapping[str, Any]] = {**RELEASED, "compare": "cosine"}
    released_selection: ClassVar[Mapping[str, Any]] = AVCA_SELECTION
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            Config(dropout_projection=0.2, dropout_decoder=0.1, scaling="standardise"),
            Recipe(epochs=12, passes_per_epoch=5, batch_size=64, lr=3e-3, weight_decay=1e-5),
            f"ours, for small own datasets: that of avca, with the alignment; {TUNED}",
            Selection(beta_grid="exact", views=VIEWS),
        ),
        **{name: _published(name) for name in PUBLISHED},
    }
    paper = "Hong et al., Hyperbolic Audio-visual Zero-shot Learning, ICCV 2023, https://arxiv.org/abs/2308.12558"

    def __init__(self, config: _Config, inputs: Inputs) -> None:
        super().__init__(config, inputs)
        if config.variant not in VARIANTS:
            raise ValueError(f"variant is {config.variant!r}; expected one of {', '.join(VARIANTS)}.")
        if config.curvatures < 1:
            raise ValueError(
                f"curvatures is {config.curvatures}; expected at least 1. The variant 'fixed' learns none."
            )
        learnt = {"fixed": 0, "single": 1, "multiple": config.curvatures}[config.variant]
        self.net = Avca(config, inputs.audio, inputs.visual, inputs.text_dim)
        self.alignment = Alignment(config.width, config.curvature, learnt=learnt, compare=config.compare)

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


class Alignment(nn.Module):
    """Mean squared difference between the comparisons of clips by sound and by picture.

    `compare="geodesic"` (ours): embeddings are tangent vectors at the origin, mapped into the ball by the exponential
    map, and compared by their distance there. Two clips of different curvature are compared in a ball of their mean.

    `compare="cosine"` (the authors' code): embeddings are taken for points, drawn into the ball, mapped to the tangent
    space by the logarithm and compared by their cosine. Both maps only change the length of a vector and a cosine does
    not see lengths, so this is the alignment of plain cosines: curvature, fixed or learnt, changes nothing and a learnt
    one gets no gradient.

    Args:
        width: Width of an embedding.
        curvature: Minus the curvature, the same for all clips, or the upper bound of learnt ones.
        learnt: How many curvatures each clip gets, `curvature * sigmoid(linear([visual, audio]))`; the alignments in
            each of them are averaged. 0: none is learnt.
        compare: See above.

    Raises:
        ValueError: Unknown comparison, a curvature that is not positive, or a negative count.
    """

    def __init__(self, width: int, curvature: float, *, learnt: int = 0, compare: str = "geodesic") -> None:
        super().__init__()
        if compare not in COMPARISONS:
            raise ValueError(f"compare is {compare!r}; expected one of {', '.join(COMPARISONS)}.")
        if not curvature > 0 or learnt < 0:
            raise ValueError(f"curvature is {curvature} and {learnt} are learnt; expected > 0 and 0 or more.")
        self.curvature, self.compare = curvature, compare
        self.curve = nn.Linear(2 * width, learnt) if learnt else None

    def curvatures(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Minus the curvature of each clip: `[clip, learnt]`, or `[clip, 1]` when none is learnt."""
        if self.curve is None:
            return audio.new_full((len(audio), 1), self.curvature)
        return self.curvature * self.curve(torch.cat([visual, audio], dim=1)).sigmoid()

    def forward(self, audio: Branch, visual: Branch) -> Tensor:
        """The alignment of a batch, a scalar; clips that lack a modality are left out, and without others it is 0."""
        both = audio.real & visual.real
        phi_a, phi_v = audio.phi[both], visual.phi[both]
        pairs = max(len(phi_a) ** 2, 1)
        parts = [
            (self._compared(phi_v, c) - self._compared(phi_a, c)).square().sum() / pairs
            for c in self.curvatures(phi_a, phi_v).split(1, dim=1)
        ]
        return torch.stack(parts).mean()

    def _compared(self, phi: Tensor, c: Tensor) -> Tensor:
        """Comparisons of all clips `phi [clip, width]` with one another under `c [clip, 1]`: `[clip, clip]`."""
        if self.compare == "geodesic":
            return tangent_distances(phi, (c + c.T) / 2)
        unit = F.normalize(logmap0(project(phi, c), c), dim=1)
        return unit @ unit.T
