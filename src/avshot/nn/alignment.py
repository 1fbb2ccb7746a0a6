"""Alignment of sound and picture in hyperbolic space (Hong et al., ICCV 2023), the term that hyper_* add to AVCA.

The clips of a batch should lie to one another in one modality as they do in the other: the matrix of comparisons
between all clips by their audio embeddings is drawn to that by their visual ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.avca import AvcaConfig, Branch
from avshot.nn.hyperbolic import logmap0, project, tangent_distances

COMPARISONS = ("geodesic", "cosine")


@dataclass(frozen=True)
class AlignedConfig(AvcaConfig):
    """Settings of AVCA and of the alignment added to it."""

    alignment: float = 1e-3  # weight of the alignment; code
    compare: str = "geodesic"  # clips by their distance in the ball; "cosine": as the code, blind to curvature
    curvature: float = 0.01  # minus the curvature, or the most a learnt one can be; run scripts


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
