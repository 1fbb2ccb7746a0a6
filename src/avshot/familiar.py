"""What the training clips were like, so that prediction can say when a new clip is unlike all of them."""

from __future__ import annotations

from torch import Tensor

FEWEST = 8  # clips below which nothing is called usual


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
        Per modality with at least `FEWEST` clips: mean and deviation `[dim]`, and the largest distance of a training
        clip (`limit`, a scalar).
    """
    usual: dict[str, Tensor] = {}
    for name, pooled, real in (("audio", audio, has_audio), ("visual", visual, has_visual)):
        if int(real.sum()) < FEWEST:
            continue
        rows = pooled[real]
        usual[f"{name}/mean"] = rows.mean(dim=0)
        usual[f"{name}/deviation"] = rows.std(dim=0).clamp(min=1e-3)
        usual[f"{name}/limit"] = distance_to_usual(rows, usual, name).max()
    return usual
