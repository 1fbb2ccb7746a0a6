"""The linear map shared by the image zero-shot methods in their audio-visual form: DeViSE, SJE, ALE and APN.

All multiply the joined averages of picture and sound by a matrix and compare the result with class embeddings; they
differ in the loss. The bilinear form of the papers, `F(x, y) = x' W phi(y)`, is `compatibility`. AVCA's run scripts
train all of them alike (`published`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.recipe import Preset, Recipe, Selection
from avshot.settings import replace_fields
from avshot.types import Features

DISTANCES = ("euclidean", "dot")


def published(config: Any, baseline: str, *, vggsound: Mapping[str, Any] | None = None) -> dict[str, Preset]:
    """Presets of one of AVCA's baselines, by dataset: all are trained alike, and "cls" features get unit length.

    Args:
        config: The method's settings; it has a field `normalise_inputs`.
        baseline: Which of the run scripts.
        vggsound: What is different on VGGSound; None = nothing.
    """
    found = {}
    for split in ("cls", "main"):
        for dataset in ("ucf", "activitynet", "vggsound"):
            own = vggsound if dataset == "vggsound" and vggsound else {}
            found[f"{dataset}-{split}"] = Preset(
                replace_fields(config, {"normalise_inputs": split == "cls", **own}),
                Recipe(epochs=50, batches_per_epoch=500, batch_size=256, lr=1e-3, schedule="plateau"),
                f"AVCA-GZSL 2711aeb, run scripts of the {baseline} baseline",
                Selection(beta_grid="avca"),
            )
    return found


class BilinearMap(nn.Module):
    """One matrix from `[visual, audio]`, both averaged over time, into the space of class embeddings; no bias.

    A missing modality enters as zeros, so the other one decides alone.

    Args:
        audio: Width of the audio features.
        visual: Width of the visual features.
        text: Width of the class embeddings.
        normalise: Give the joined input unit length.
        dropout: Probability, on the joined input and, in `compatibility`, on the class embeddings.
        distance: What `score` ranks classes by: "euclidean" (negative distance) or "dot" (dot product). Both rank alike
            where all class embeddings have the same length; calibration is in units of the score.

    Raises:
        ValueError: Another distance.
    """

    def __init__(
        self, audio: int, visual: int, text: int, *, normalise: bool, dropout: float = 0.0, distance: str = "euclidean"
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}.")
        self.normalise, self.distance = normalise, distance
        self.weight = nn.Parameter(torch.empty(text, visual + audio))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch.nn.Linear, which the authors' code uses
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Features) -> Tensor:
        """Clips in the class-embedding space: `[clip, text_dim]`."""
        audio, visual = features.pooled()
        joined = torch.cat([visual, audio], dim=1)
        if self.normalise:
            joined = F.normalize(joined, dim=1)
        return F.linear(self.dropout(joined), self.weight)

    def compatibility(self, features: Features, text: Tensor) -> Tensor:
        """Dot products `[clip, class]` with the class embeddings `text [class, text_dim]`: what training ranks."""
        return self(features) @ self.dropout(text).T

    def score(self, features: Features, text: Tensor) -> Tensor:
        """Scores `[clip, class]` by the chosen distance, higher is better."""
        embedded = self(features)
        if self.distance == "dot":
            return embedded @ text.T
        # Exact differences: the matrix-product shortcut of cdist loses digits where distances are small.
        return -torch.cdist(embedded, text, compute_mode="donot_use_mm_for_euclid_dist")


def violations(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """By how much each wrong class comes too close: `max(0, margin - s_true + s_wrong)`, and 0 for the true class.

    Args:
        scores: `[clip, class]`.
        labels: `[clip]` long, the true column.
        margin: By how much the true class has to win.

    Returns:
        `[clip, class]`, never negative.
    """
    true = scores.gather(1, labels[:, None])
    return (margin - true + scores).clamp(min=0).scatter(1, labels[:, None], 0.0)
