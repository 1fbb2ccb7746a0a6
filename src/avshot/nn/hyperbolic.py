"""The Poincaré ball: its map to the tangent space at its origin, and distances in it, as pure functions.

The ball of curvature -c holds the vectors `[..., dim]` of Euclidean length below `1 / sqrt(c)`. `c` is a positive
tensor that broadcasts against lengths with a last axis of 1 (a scalar, or `[row, 1]` for a curvature of each row), and
a gradient flows into it. The exponential map `exp0(v) = tanh(sqrt(c) |v|) v / (sqrt(c) |v|)` takes tangent vectors into
the ball. One of length r lies there at distance 2r from the origin, whatever c: the factor 2 is that of the ball's
metric, and why distances become twice the Euclidean ones as c goes to 0. Ganea et al., "Hyperbolic neural networks",
NeurIPS 2018, section 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# sinh(40) squared is 1e34, which float32 still holds.
_FARTHEST = 40.0
_RIM = 1e-3  # share of the radius that `project` keeps free; as the Hyper-AVZSL code


def logmap0(point: Tensor, c: Tensor) -> Tensor:
    """Points -> tangent vectors at the origin, the inverse of `exp0`: `artanh(sqrt(c) |x|) x / (sqrt(c) |x|)`.

    Args:
        point: `[..., dim]` inside the ball. Points on its rim or beyond count as the last ones before it (see
            `project`).
        c: Minus the curvature; see above.
    """
    reach = _inside(c.sqrt() * _length(point))
    return torch.atanh(reach) / (c.sqrt() * _length(point)) * point


def project(point: Tensor, c: Tensor) -> Tensor:
    """Draw vectors that lie outside the ball, or on the last thousandth of its radius, straight back to there.

    Args:
        point: `[..., dim]`, of any length.
        c: Minus the curvature; see above.
    """
    return point * ((1 - _RIM) / (c.sqrt() * _length(point))).clamp(max=1)


def tangent_distances(tangent: Tensor, c: Tensor) -> Tensor:
    """Geodesic distances between all `exp0(v_i)`: `[row, row]`, symmetric when `c` is, with a diagonal of zeros.

    By the law of cosines in half angles, `sinh(sqrt(c) d / 2)^2 = sinh((r_i - r_j) / 2)^2 + sinh(r_i) sinh(r_j)
    sin(angle / 2)^2` with `r = 2 sqrt(c) |v|`: no point has to be written down near the rim of the ball, and no terms
    cancel.

    Args:
        tangent: `[row, dim]` tangent vectors at the origin. Those with `2 sqrt(c) |v|` above 40 count as that long.
        c: Minus the curvature, a scalar or `[row, row]`: that of the ball in which each pair is compared.
    """
    length = _length(tangent)
    left, right = ((2 * c.sqrt() * x).clamp(max=_FARTHEST) for x in (length, length.T))
    unit = F.normalize(tangent, dim=1)
    half_angle = ((1 - unit @ unit.T) / 2).clamp(min=0)
    square = ((left - right) / 2).sinh().square() + left.sinh() * right.sinh() * half_angle
    # The root has no slope at zero, where a vector meets itself or its like.
    same = torch.eye(len(tangent), dtype=torch.bool, device=tangent.device)
    square = square.masked_fill(same, 1).clamp(min=torch.finfo(square.dtype).tiny)
    return (2 / c.sqrt() * square.sqrt().asinh()).masked_fill(same, 0)


def _length(vector: Tensor) -> Tensor:
    """Euclidean length with a last axis of 1, kept from zero so that one can divide by it."""
    smallest = torch.finfo(vector.dtype).tiny ** 0.5
    return torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp(min=smallest)


def _inside(reach: Tensor) -> Tensor:
    """Keep shares of the radius below 1, where artanh ends."""
    return reach.clamp(max=1 - torch.finfo(reach.dtype).eps)
