"""One vector per clip from a sequence of vectors."""

from __future__ import annotations

import torch
from torch import Tensor

POOLINGS = ("mean", "logsumexp")


def pool(values: Tensor, mask: Tensor, how: str, sharpness: float = 3.0) -> Tensor:
    """Pool over time.

    "logsumexp" is `log(mean(exp(s x))) / s` for each channel, with s = `sharpness`: between the mean (s to 0) and the
    maximum (s to infinity). A word or a knock fills a few steps of a clip; the mean drowns it, the maximum trains one
    step only. Source: Pinheiro and Collobert, "From Image-level to Pixel-level Labeling with Convolutional Networks",
    CVPR 2015, eq. 6.

    Args:
        values: `[clip, time, dim]`; those under a False mask are ignored.
        mask: `[clip, time]` bool.
        how: One of `POOLINGS`.
        sharpness: s above; only for "logsumexp".

    Returns:
        `[clip, dim]`; zeros for a clip without real steps.

    Raises:
        ValueError: Unknown pooling.
    """
    if how not in POOLINGS:
        raise ValueError(f"pooling is {how!r}; expected one of {', '.join(POOLINGS)}.")
    steps = mask.sum(dim=1, keepdim=True).clamp(min=1)
    if how == "mean":
        return torch.where(mask[..., None], values, torch.zeros_like(values)).sum(dim=1) / steps
    real = mask.any(dim=1, keepdim=True)
    # A clip without steps would give log 0: its rows are let through as zeros and dropped at the end.
    hidden = torch.where((mask | ~real)[..., None], sharpness * values, torch.full_like(values, -torch.inf))
    pooled = (torch.logsumexp(hidden, dim=1) - steps.to(values.dtype).log()) / sharpness
    return torch.where(real, pooled, torch.zeros_like(pooled))
