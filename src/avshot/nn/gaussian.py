"""Diagonal Gaussians `N(mean, exp(log_variance))`, row by row: draw from them, multiply them, compare with N(0, 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One sample of each row `[..., dim]`, through which gradients flow; noise from torch's global generator."""
    # In bf16 torch draws other numbers; the same seed is to mean the same noise in every precision.
    noise = torch.randn_like(mean, dtype=torch.promote_types(mean.dtype, torch.float32)).to(mean.dtype)
    return mean + (0.5 * log_variance).exp() * noise


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from `N(0, 1)` to each row of `[..., dim]`, summed over `dim`: `[...]`, in nats, never negative.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)


def product_of_experts(
    means: Sequence[Tensor], log_variances: Sequence[Tensor], real: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The product of Gaussian experts and the prior `N(0, 1)`, normalised: again a Gaussian.

    Precisions add up, and the mean is the average of the means weighted by precision. The prior is an expert too, as in
    Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018, section 2.

    Args:
        means: One `[row, dim]` per expert.
        log_variances: Of the same shape.
        real: One `[row]` bool per expert; False leaves the expert out of that row.

    Returns:
        Mean and log variance `[row, dim]`; a row without experts is the prior, zeros.
    """
    precision, weighted = torch.ones_like(means[0]), torch.zeros_like(means[0])
    for mean, log_variance, there in zip(means, log_variances, real, strict=True):
        own = torch.where(there[:, None], (-log_variance).exp(), torch.zeros_like(mean))
        precision, weighted = precision + own, weighted + own * mean
    return weighted / precision, -precision.log()
