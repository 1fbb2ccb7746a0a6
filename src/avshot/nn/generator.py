"""Feature generators and their critics: noise and a class embedding in, a made-up feature vector out.

Shared by the generative methods f_vaegan_d2 and acfs. Widths and initial weights are those of f-VAEGAN-D2 in the AVCA
repository unless a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

OUTPUTS = ("sigmoid", "linear")


class Generator(nn.Module):
    """`G(z, t)`: one hidden ReLU layer.

    Args:
        noise: Width of z.
        text_dim: Width of class embeddings.
        hidden: Width of the hidden layer.
        dim: Width of what it makes.
        output: "sigmoid" (values in 0 to 1) or "linear".

    Raises:
        ValueError: Unknown output.
    """

    def __init__(self, noise: int, text_dim: int, hidden: int, dim: int, *, output: str = "sigmoid") -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f"output is {output!r}; expected one of {', '.join(OUTPUTS)}.")
        self.noise = noise
        last = nn.Sigmoid() if output == "sigmoid" else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(noise + text_dim, hidden), nn.ReLU(), nn.Linear(hidden, dim), last)

    def forward(self, noise: Tensor, text: Tensor) -> Tensor:
        """Map `noise [row, noise]` and `text [row, text_dim]` to `[row, dim]`."""
        return self.layers(torch.cat([noise, text], dim=1))

    def make(self, text: Tensor) -> Tensor:
        """One vector `[row, dim]` for each class embedding `text [row, text_dim]`, from fresh noise `N(0, 1)`."""
        return self(torch.randn(len(text), self.noise, device=text.device, dtype=text.dtype), text)


class VariationalEncoder(nn.Module):
    """`E(x, t)`: the Gaussian over the noise that would make x; one hidden ReLU layer.

    Args:
        dim: Width of x.
        text_dim: Width of class embeddings.
        hidden: Width of the hidden layer.
        noise: Width of the noise.
    """

    def __init__(self, dim: int, text_dim: int, hidden: int, noise: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(dim + text_dim, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, noise)
        self.log_variance = nn.Linear(hidden, noise)

    def forward(self, value: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance `[row, noise]` for `value [row, dim]` of classes `text [row, text_dim]`."""
        hidden = self.layer(torch.cat([value, text], dim=1))
        return self.mean(hidden), self.log_variance(hidden)


class Critic(nn.Module):
    """A score `[row]` for feature vectors, higher for real ones; one hidden layer with LeakyReLU(0.2).

    Args:
        dim: Width of the vectors.
        text_dim: Width of class embeddings that it is told; 0: it judges without knowing the class.
        hidden: Width of the hidden layer.
    """

    def __init__(self, dim: int, text_dim: int, hidden: int) -> None:
        super().__init__()
        first, last = nn.Linear(dim + text_dim, hidden), nn.Linear(hidden, 1)
        for layer in (first, last):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(first, nn.LeakyReLU(0.2), last)

    def forward(self, value: Tensor, text: Tensor | None = None) -> Tensor:
        """Judge `value [row, dim]` of classes `text [row, text_dim]`."""
        told = value if text is None else torch.cat([value, text], dim=1)
        return self.layers(told).squeeze(1)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """`(|d critic / d x| - 1)^2` at points x between real and made-up rows: `[row]`.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, eq. 3 (without its factor).

    Args:
        critic: Maps `[row, dim]` to `[row]`, each row by itself.
        real: `[row, dim]`.
        fake: `[row, dim]`; no gradient flows to what made it.
        mix: `[row, 1]` share of the real row in x, 0 to 1.
    """
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (torch.linalg.vector_norm(slope, dim=1) - 1).square()


def plays(*players: nn.Module | None) -> bool:
    """Whether any parameter of `players` trains at the moment.

    The trainer holds the parameters of the players whose turn it is not. Their loss terms would be thrown away, so a
    loss leaves them out: the second derivative of the gradient penalty is half the cost of a generator's step.
    """
    return any(p.requires_grad for player in players if player is not None for p in player.parameters())
