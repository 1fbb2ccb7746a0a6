"""Gaussian classes with one shared covariance, of which some have many clips, some few, and some nothing but a name.

Of a class with few clips it is not known where its mean lies; a prior says where to expect it. Two hypotheses about the
name compete: that it says what the names of other classes say (the mean that ridge regression predicts, as far off as
it was for known classes when they were left out), and that it says nothing (the mean of all known means, as far off as
these lie apart). The clips decide between them by their evidence, and each gives a mean between its own expectation and
the clips' mean. So a name helps where it can, and one like "class A" does no harm.

In coordinates in which the shared covariance is the identity, with n clips of mean x, an expected mean m of variance v:

```
posterior mean   (n x + m / v) / (n + 1 / v)       variance of a new clip   1 + 1 / (n + 1 / v)
evidence         x ~ N(m, v + 1 / n)
```

Source: the normal model with known variance, Gelman et al., "Bayesian Data Analysis", third edition, section 2.5;
weights of hypotheses by their evidence, section 7.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.nn.named_means import NamedMeans, fit_named_means
from avshot.nn.shared_covariance import shrunk

SHRINKAGE = 0.1  # of the shared covariance
LEAST = 1e-6  # of a variance between class means


@dataclass(frozen=True)
class Few:
    """Classes with few clips, or none, in the same coordinates.

    Attributes:
        mean: `[class, dim]` of the clips; does not matter where there are none.
        count: `[class]` clips.
        text: `[class, text_dim]`.
    """

    mean: Tensor
    count: Tensor
    text: Tensor


@dataclass(frozen=True)
class Known:
    """Classes with many clips, in coordinates in which their shared covariance is the identity.

    Attributes:
        white: `[dim, dim]`, what a value is multiplied with to get there.
        means: `[class, dim]`.
        named: What their names say of their means.
    """

    white: Tensor
    means: Tensor
    named: NamedMeans

    @classmethod
    def of(cls, means: Tensor, covariance: Tensor, text: Tensor) -> Known:
        """From `means [class, dim]`, their shared `covariance [dim, dim]` and class embeddings `[class, text_dim]`."""
        factor = torch.linalg.cholesky(shrunk(covariance, SHRINKAGE))
        white = torch.linalg.inv(factor).T
        return cls(white, means @ white, fit_named_means(text, means @ white))

    @property
    def variances(self) -> tuple[float, float]:
        """How far from its mean a class is expected by its name, and without any: mean squares of a coordinate."""
        count, dim = self.means.shape
        by_name = float((self.named.left_out - self.means).square().mean())
        apart = float((self.means - self.means.mean(dim=0)).square().sum()) / (dim * max(count - 1, 1))
        return max(by_name, LEAST), max(apart * (1 + 1 / count), LEAST)

    def log_densities(self, value: Tensor, widening: float = 1.0) -> Tensor:
        """Log densities `[clip, class]` of white values `[clip, dim]`, up to what all classes share.

        `widening` multiplies the covariance.
        """
        return _log_normal(value, self.means, torch.full((len(self.means),), widening).to(value))

    def log_densities_of(self, few: Few, value: Tensor, widening: float = 1.0) -> Tensor:
        """The same `[clip, class]` for classes with few clips or none."""
        centres = (few.text @ self.named.map + self.named.offset, self.named.mean.expand(len(few.text), -1))
        count, found = few.count.to(value), []
        for centre, variance in zip(centres, self.variances, strict=True):
            rest = variance + widening / count.clamp(min=1)
            evidence = -((few.mean - centre).square().sum(dim=1) / rest + centre.shape[1] * rest.log()) / 2
            trust = widening / variance  # of the expectation, in clips
            mean = (count[:, None] * few.mean + trust * centre) / (count + trust)[:, None]
            density = _log_normal(value, mean, widening * (1 + 1 / (count + trust)))
            found.append((torch.where(count > 0, evidence, torch.zeros_like(evidence)), density))
        weight = torch.log_softmax(torch.stack([evidence for evidence, _ in found]), dim=0)
        return torch.logsumexp(torch.stack([density for _, density in found]) + weight[:, None], dim=0)

    def drawn(self, clips: int, widening: float = 1.0) -> tuple[Tensor, Tensor]:
        """White values `[clip, dim]` of at least so many clips, as many of each class, and their classes `[clip]`.

        The draw is always the same.
        """
        classes, dim = self.means.shape
        noise = torch.randn(-(-clips // classes), dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        value = (self.means[:, None] + widening**0.5 * noise.to(self.means)).flatten(0, 1)
        return value, torch.arange(classes, device=value.device).repeat_interleave(len(noise))


def widening_of(scatter: Tensor, count: Tensor, dim: int) -> float:
    """By how much clips of taught classes lie farther apart than the covariance of the trained ones says; at least 1.

    A method knows its training clips better than others; all classes are as wide as what it was not trained on.

    Args:
        scatter: `[class]`, sum of squared distances of white clips to the mean of their class.
        count: `[class]` clips; where no class has two nothing is known, and it is 1.
        dim: Width of a clip.
    """
    freedom = float((count - 1).clamp(min=0).sum()) * dim
    return max(1.0, float(scatter.sum()) / freedom) if freedom > 0 else 1.0


def _log_normal(value: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """Log density `[clip, class]` under `N(means [class, dim], variances [class] I)`, without the constant of 2 pi."""
    distances = torch.cdist(value, means, compute_mode="donot_use_mm_for_euclid_dist").square()
    return -(distances / variances + value.shape[1] * variances.log()) / 2
