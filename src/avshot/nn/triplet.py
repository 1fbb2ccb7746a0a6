"""What CJME and AVGZSLNet share: a network per modality and for words, and means over clips that have a modality."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn.mlp import BatchNorm, _Rows


class Projection(_Rows):
    """A perceptron with one hidden layer into the common space: Linear, batch norm, ReLU, dropout, Linear.

    The layers sit in `fc` under the indices of the authors' code (AVCA-GZSL): `fc.0` and `fc.4` are linear, `fc.1` is
    the batch norm.

    Args:
        dim_in: Width of the input.
        hidden: Width of the hidden layer; 0 = none, one linear map.
        dim_out: Width of the output.
        dropout: Probability, on the hidden layer.
        batch_norm: False leaves the batch norm out.
        positive: End with a ReLU.
    """

    def __init__(
        self,
        dim_in: int,
        hidden: int,
        dim_out: int,
        *,
        dropout: float = 0.0,
        batch_norm: bool = True,
        positive: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(dim_in, hidden if hidden > 0 else dim_out)]
        if hidden > 0:
            norm = BatchNorm(hidden) if batch_norm else nn.Identity()
            layers += [norm, nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dim_out)]
        if positive:
            layers.append(nn.ReLU())
        self.fc = nn.Sequential(*layers)


class Gate(_Rows):
    """Logistic regression on batch-normalised input: `[..., dim]` to `[..., 1]`, each in (0, 1).

    Args:
        dim: Width of the input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(BatchNorm(dim), nn.Linear(dim, 1), nn.Sigmoid())


def triplets(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin) of every row: three `[clip, dim]` to `[clip]`."""
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin, reduction="none")
