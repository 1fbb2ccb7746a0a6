"""Scoring clips, and judging a method after each epoch: which epoch, calibration and view to keep."""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.method import Method
from avshot.training.clips import ClipSource
from avshot.training.finite import checked_scores
from avshot.types import Classes

SCORING_BATCH = 256  # clips scored at a time


@torch.inference_mode()
def score_clips(model: Method, source: ClipSource, classes: Classes, view: str = "both") -> Tensor:
    """Scores `[clip, class]` of all clips of `source` on the CPU, in eval mode, a batch at a time.

    `view` is the modality to go by where a clip has it (see `Recipe.views`).

    Raises:
        ValueError: A score is NaN or infinite: no ranking follows from it.
    """
    device, parts = model.device, []
    there, was_training = classes.to(device), model.training
    model.eval()
    for ids, features in source.parts(SCORING_BATCH):
        scores = model.score(features.prefer(view).to(device), there).cpu()
        parts.append(checked_scores(model.name, scores, features, classes, ids))
    model.train(was_training)
    return torch.cat(parts) if parts else torch.zeros(0, len(classes))


@torch.inference_mode()
def embed_clips(model: Method, source: ClipSource, classes: Classes, view: str = "both") -> dict[str, Tensor]:
    """Pooled inputs of all clips of `source`, and clip and class embeddings where the method has a joint space."""
    device, rows = model.device, []
    classes = classes.to(device)
    for i in range(0, len(source), SCORING_BATCH):
        features = source.features(slice(i, i + SCORING_BATCH))
        joint = model.embeddings(features.prefer(view).to(device), classes)
        row = dict(zip(("audio", "visual"), features.pooled(), strict=True))
        rows.append(row if joint is None else row | {"clip": joint[0].cpu(), "class": joint[1].cpu()})
    tensors = {key: torch.cat([row[key] for row in rows]) for key in rows[0] if key != "class"}
    return tensors | ({"class": rows[0]["class"]} if "class" in rows[0] else {})
