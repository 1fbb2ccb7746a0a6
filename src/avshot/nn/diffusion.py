"""A denoising diffusion model of feature vectors, conditioned on a vector: AV-Diff makes novel classes' clips with it.

Noise is added to a vector in T small steps; a network learns to tell the noise of any step; taking it away step by step
turns pure noise into a made-up vector. It knows nothing of methods: f_vaegan_d2 can use it in place of its generator.

Source: Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, https://arxiv.org/abs/2006.11239, in the
form of AV-Diff: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, section 4.4.2, eq. 4.6 to 4.9, and
its program (AVDIFF-GFSL). How ours differs from the program:

- The network gets the step as a share of T, `(t + 1) / T`; the program feeds the integer t, up to 299, beside numbers
  around 1 (`scale_time=False` restores that).
- The last step adds no noise, as Ho et al. have it; the program adds some (`noise_at_last_step`).
- The program's network starts with a LeakyReLU over its input, so it sees a hundredth of each negative number, of the
  noisy vector as of the class vector (`leaky_input`).
- The schedule of the program, 1e-4 to 0.02 whatever T is, was made for 1000 steps. With T = 100, 200, 300 a share of
  0.364, 0.132, 0.048 of a vector's variance is left where sampling starts from nothing but noise, so what is made has
  another mean and spread than what was learnt from. Published presets keep it; raise `beta_last` to mend it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DiffusionConfig:
    """Settings of a diffusion model; methods that use it inherit these fields. Defaults: AV-Diff on UCF, 5 shots."""

    diffusion_steps: int = 200  # T; code, by dataset and number of shots
    beta_first: float = 1e-4  # variance of the noise of the first step; code
    beta_last: float = 0.02  # of the last; linear between; code, made for 1000 steps
    diffusion_hidden: int = 128  # hidden width of the network that tells noise; code
    diffusion_dropout: float = 0.0  # in that network; code
    scale_time: bool = True  # the network gets the step as a share of T; False: as an integer (code)
    noise_at_last_step: bool = False  # True: the last step of making adds noise, too (code)
    leaky_input: bool = False  # True: a LeakyReLU before the network's first layer (code; not in the thesis)


def linear_schedule(steps: int, first: float, last: float) -> Tensor:
    """Variances beta of the noise of each step, `[steps]` in float64, evenly spaced.

    Raises:
        ValueError: No step, or a variance outside 0 to 1.
    """
    if steps < 1:
        raise ValueError(f"diffusion_steps is {steps}; expected at least 1.")
    if not 0 < first < 1 or not 0 < last < 1:
        raise ValueError(f"beta_first is {first} and beta_last {last}; expected variances between 0 and 1.")
    return torch.linspace(first, last, steps, dtype=torch.float64)


def noised(value: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """A draw of q(x_t | x_0): `sqrt(kept) x_0 + sqrt(1 - kept) noise` (thesis eq. 4.8).

    Args:
        value: `[row, dim]` x_0.
        noise: `[row, dim]` standard normal.
        kept: `[row, 1]` alpha-bar of the step, the share of the variance that is left.
    """
    return kept.sqrt() * value + (1 - kept).sqrt() * noise


def denoise(
    tell: Callable[[Tensor, int], Tensor],
    start: Tensor,
    beta: Tensor,
    *,
    noise_at_last_step: bool = False,
    real: Tensor | None = None,
) -> Tensor:
    """Walk back from noise to a made-up x_0 (thesis eq. 4.9, with sigma_t^2 = beta_t).

    Args:
        tell: The noise `[row, dim]` in x_t `[row, dim]` at step t, counted from 0.
        start: `[row, dim]` x_T.
        beta: `[steps]` variances.
        noise_at_last_step: Whether step 0 adds noise.
        real: Bool, broadcastable to `start`: where numbers exist; others are 0 in every step. None = everywhere.

    Returns:
        `[row, dim]`; gradients flow through all steps where they are switched on.
    """
    kept = torch.cumprod(1 - beta, dim=0).tolist()
    value = start if real is None else start * real
    for step, variance in reversed(list(enumerate(beta.tolist()))):
        told = tell(value, step)
        value = (value - variance / math.sqrt(1 - kept[step]) * told) / math.sqrt(1 - variance)
        if step > 0 or noise_at_last_step:
            value = value + math.sqrt(variance) * torch.randn_like(value)
        if real is not None:
            value = value * real
    return value


class Diffusion(nn.Module):
    """Learns and makes vectors of a class, given a vector that stands for it.

    Args:
        dim: Width of the vectors that it makes.
        condition: Width of the vector that it is told; 0 = nothing.
        config: The settings.

    Raises:
        ValueError: A setting is out of range; the message names it.
    """

    kept: Tensor

    def __init__(self, dim: int, condition: int, config: DiffusionConfig) -> None:
        super().__init__()
        self.config, self.dim = config, dim
        self.beta = linear_schedule(config.diffusion_steps, config.beta_first, config.beta_last)
        # A setting, not a weight: released files hold no schedule.
        self.register_buffer("kept", torch.cumprod(1 - self.beta, dim=0).float(), persistent=False)
        self.net = nn.Sequential(
            nn.LeakyReLU() if config.leaky_input else nn.Identity(),
            nn.Linear(dim + 1 + condition, config.diffusion_hidden),
            nn.LeakyReLU(),
            nn.Dropout(config.diffusion_dropout),
            nn.Linear(config.diffusion_hidden, dim),
        )

    def forward(self, value: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        """The noise in `value [row, dim]` at `step [row]` long, from 0, for `condition [row, condition]`."""
        time = step.to(value.dtype)
        if self.config.scale_time:
            time = (time + 1) / self.config.diffusion_steps
        return self.net(torch.cat([value, time[:, None], condition], dim=1))

    def loss(self, value: Tensor, condition: Tensor, real: Tensor | None = None) -> Tensor:
        """Squared error of the noise that is told at a random step (thesis eq. 4.8), mean over numbers: `[row]`.

        Args:
            value: `[row, dim]` vectors to learn from; they get a gradient unless detached.
            condition: `[row, condition]` what stands for the class of each.
            real: `[row, dim]` bool, numbers that exist; others are hidden from the network and count nothing, and a
                row without any has loss 0. None = all.
        """
        step = torch.randint(self.config.diffusion_steps, (len(value),), device=value.device)
        noise = torch.randn_like(value)
        shown = noised(value, noise, self.kept[step][:, None])
        if real is None:
            return (self(shown, step, condition) - noise).square().mean(dim=1)
        error = (self(shown * real, step, condition) - noise).square() * real
        return error.sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def make(self, condition: Tensor, real: Tensor | None = None) -> Tensor:
        """One vector `[row, dim]` for each of `condition [row, condition]`, from fresh noise N(0, 1).

        `real`: see `denoise`. Gradients flow through all steps where they are switched on.
        """
        start = torch.randn(len(condition), self.dim, device=condition.device, dtype=condition.dtype)

        def tell(value: Tensor, step: int) -> Tensor:
            return self(value, torch.full((len(value),), step, device=value.device), condition)

        last = self.config.noise_at_last_step
        return denoise(tell, start, self.beta, noise_at_last_step=last, real=real)
