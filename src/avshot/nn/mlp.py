"""The two dense blocks of the AVCA family (AVCA, TCaF, ClipClap, AV-Diff): Linear, batch norm, ReLU, dropout.

The layers sit in `fc` under the indices of the authors' code, so released weights load by name: `fc.0` and `fc.4` are
linear, `fc.1` and `fc.5` are batch norms.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.nn import batch_means as together


class BatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over `[row, dim]` that also accepts fewer than two rows while training.

    The variance of one row is undefined and PyTorch raises; a batch with one audible clip is legal here, so such a
    batch is normalised with the running statistics and does not update them. Several processes that train on slices of
    one batch normalise with the statistics of all its rows (`torch.nn.SyncBatchNorm` does so on CUDA alone).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise `[row, dim]`, zero rows included."""
        found = together.moments(input) if self.training else None
        if found is not None:
            return self._shared(input, *found)
        if len(input) == 0:
            return input
        if self.training and len(input) < 2:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)

    def _shared(self, input: Tensor, number: int, mean: Tensor, variance: Tensor) -> Tensor:
        """The same with `mean` and `variance [dim]` of the `number` rows of all processes."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        if number < 2:
            mean, variance = self.running_mean, self.running_var
        else:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum or 0.0)
                self.running_var.lerp_(variance * (number / (number - 1)), self.momentum or 0.0)
                self.num_batches_tracked.add_(1)
        scaled = (input - mean) * torch.rsqrt(variance + self.eps)
        scaled = scaled if self.weight is None else scaled * self.weight + self.bias
        return scaled.to(input.dtype)


class _Rows(nn.Module):
    """Applies `fc` to the rows of `[..., dim]`, or to those of them that a mask marks as real."""

    fc: nn.Sequential

    def forward(self, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map vectors `[..., in]` to `[..., out]`.

        Args:
            value: Vectors.
            mask: `[...]` bool, True = real. Only real rows pass, so that padding neither costs time nor enters the
                batch statistics; the others come out as zeros. None takes every row (as the authors' code does).
        """
        if mask is None:
            # The number of rows by name: torch cannot infer it where the width is 0 (a modality that does not exist).
            rows = self.fc(value.reshape(value.shape[:-1].numel(), value.shape[-1]))
            return rows.reshape(*value.shape[:-1], rows.shape[-1])
        rows = self.fc(value[mask])
        out = rows.new_zeros(*mask.shape, rows.shape[-1])
        out[mask] = rows
        return out

    def with_padding(self, rows: Tensor, padding: int) -> Tensor:
        """Map real rows `[row, in]` while so many rows of zeros enter the batch statistics (as in the authors' code).

        The first layer makes its bias of zeros, so they need not pass through it.
        """
        first, rest = self.fc[0], self.fc[1:]
        hidden = first(rows)
        zeros = first.get_parameter("bias").to(hidden.dtype).expand(padding, -1)
        return rest(torch.cat([hidden, zeros]))[: len(rows)]


class EmbNet1(_Rows):
    """One dense layer: Linear, batch norm, ReLU, dropout.

    Args:
        dim_in: Width of the input.
        dim_out: Width of the output, which is never negative (ReLU is last but for dropout).
        dropout: Probability.
    """

    def __init__(self, dim_in: int, dim_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(dim_in, dim_out), BatchNorm(dim_out), nn.ReLU(), nn.Dropout(dropout))


class EmbNet2(_Rows):
    """Two dense layers, each Linear, batch norm, ReLU, dropout.

    Args:
        dim_in: Width of the input.
        hidden: Width of the hidden layer.
        dim_out: Width of the output, which is never negative (ReLU is last but for dropout).
        dropout: Probability, after both layers.
        momentum: Of the running statistics of the *second* batch norm alone (as AVCA's flag does); the first uses 0.1.
    """

    def __init__(self, dim_in: int, hidden: int, dim_out: int, *, dropout: float = 0.0, momentum: float = 0.1) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(dim_in, hidden),
            BatchNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim_out),
            BatchNorm(dim_out, momentum=momentum),
            nn.ReLU(),
            nn.Dropout(dropout),
        )


class InputScaling(nn.Module):
    """Bring raw features to a common scale before the first layer.

    Kinds: `"none"`; `"over255"` divides by 255 (TCaF does so to its audio features, which come as bytes);
    `"time"` gives every channel unit L2 norm over the real steps of the clip (TCaF does so to its visual features: a
    default argument of `F.normalize` that on `[clip, time, dim]` runs over time); `"features"` gives every step unit L2
    norm; `"standardise"` subtracts mean and divides by deviation per channel, both running averages over training. The
    variance has 1e-5 added, so a channel whose deviation is far below 0.003, rounding for example, stays near zero.

    Args:
        kind: One of the above.
        dim: Width of the features.

    Raises:
        ValueError: Unknown kind.
    """

    kinds = ("none", "over255", "time", "features", "standardise")

    def __init__(self, kind: str, dim: int) -> None:
        super().__init__()
        if kind not in self.kinds:
            raise ValueError(f"Input scaling is {kind!r}; expected one of {', '.join(self.kinds)}.")
        self.kind = kind
        self.norm = BatchNorm(dim, affine=False) if kind == "standardise" else None

    def forward(self, value: Tensor, mask: Tensor) -> Tensor:
        """Scale `[clip, time, dim]`; values where `mask [clip, time]` is False come out as zeros."""
        if self.kind == "none":
            return torch.where(mask[..., None], value, torch.zeros_like(value))
        out = torch.zeros_like(value)
        out[mask] = self.rows(value, mask)
        return out

    def rows(self, value: Tensor, mask: Tensor) -> Tensor:
        """Scale the real steps of `[clip, time, dim]` alone: `[real step, dim]` in the order of `mask`."""
        rows = value[mask]
        if self.kind == "over255":
            return rows / 255
        if self.kind == "time":
            # Clip by clip, each small enough to stay near the processor.
            return torch.cat([_unit_channels(part) for part in rows.split(mask.sum(dim=1).tolist())])
        if self.kind == "features":
            return F.normalize(rows, dim=1)
        return rows if self.norm is None else self.norm(rows)


def _unit_channels(clip: Tensor) -> Tensor:
    """Unit L2 norm over time of every channel of `[time, dim]`; a channel of zeros stays."""
    return clip / clip.square().sum(dim=0).sqrt().clamp(min=1e-12)
