"""The layers behind the attention of ReGaDa's video encoder (thesis eq. 6.3)."""

from __future__ import annotations

from torch import Tensor, nn

from avshot.errors import BadSetting


class VideoHead(nn.Module):
    """So many times linear, layer norm, ReLU, with dropout between them: what comes out is never negative.

    The layers sit in `network` under the indices of the authors' code: 0, 1 and 4, 5 have weights. The thesis has a
    dropout behind the last ReLU, too, the code does not.

    Args:
        dim: Width of input, layers and output.
        layers: How many, at least 1.
        dropout: Probability.

    Raises:
        ValueError: No layers.
    """

    def __init__(self, dim: int, layers: int, *, dropout: float) -> None:
        super().__init__()
        if layers < 1:
            raise BadSetting(f"projection_layers is {layers}; expected at least 1.")
        found: list[nn.Module] = []
        for _ in range(layers):
            found += [nn.Linear(dim, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Dropout(dropout)]
        self.network = nn.Sequential(*found[:-1])

    def forward(self, value: Tensor) -> Tensor:
        """Map `[..., dim]` to `[..., dim]`."""
        return self.network(value)
