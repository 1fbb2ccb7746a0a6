"""What the training clips were like, so that prediction can say when a new clip is unlike all of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset

FEWEST = 8  # clips below which nothing is called usual
LEAST = 0.1  # least deviation of a feature, as a fraction of the root mean square deviation of all
AT_ONCE = 256  # clips read at a time
SLACK = 1.25  # one of n + 1 like clips is farther out than the other n, and features outnumber clips: allow for it


def distance_to_usual(pooled: Tensor, usual: dict[str, Tensor], modality: str) -> Tensor:
    """Root mean square of `[clip, dim]` pooled features in units of the training clips' deviation: `[clip]`."""
    z = (pooled - usual[f"{modality}/mean"]) / usual[f"{modality}/deviation"]
    return z.square().mean(dim=1).sqrt()


def what_is_usual(audio: Tensor, visual: Tensor, has_audio: Tensor, has_visual: Tensor) -> dict[str, Tensor]:
    """Statistics of training clips' pooled features that `Predictor` compares new clips with.

    Args:
        audio: `[clip, dim_a]` pooled.
        visual: `[clip, dim_v]` pooled.
        has_audio: `[clip]` bool.
        has_visual: `[clip]` bool.

    Returns:
        Per modality with at least `FEWEST` clips: mean and deviation `[dim]`, and `limit`, a scalar: `SLACK` times the
        largest distance of a training clip.
    """
    usual: dict[str, Tensor] = {}
    for name, pooled, real in (("audio", audio, has_audio), ("visual", visual, has_visual)):
        if int(real.sum()) < FEWEST:
            continue
        rows = pooled[real]
        usual[f"{name}/mean"] = rows.mean(dim=0)
        deviation = rows.std(dim=0)
        # A feature that hardly varied here may vary elsewhere without the clip being strange.
        least = max(LEAST * float(deviation.square().mean().sqrt()), 1e-6)
        usual[f"{name}/deviation"] = deviation.clamp(min=least)
        usual[f"{name}/limit"] = SLACK * distance_to_usual(rows, usual, name).max()
    return usual


def usual_of(dataset: Dataset, clips: np.ndarray, modality: str = "both") -> dict[str, Tensor]:
    """`what_is_usual` of clips (indices `[clip]` into the dataset's) that were shown with `modality`."""
    rows = []
    for i in range(0, len(clips), AT_ONCE):
        part = dataset.gather(clips[i : i + AT_ONCE]).only(modality)
        rows.append((*part.pooled(), part.has_audio, part.has_visual))  # not the sequences: they stay on disk
    audio, visual, has_audio, has_visual = (torch.cat(column) for column in zip(*rows, strict=True))
    return what_is_usual(audio, visual, has_audio, has_visual)
