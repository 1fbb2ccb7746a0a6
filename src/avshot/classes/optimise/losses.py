"""Loss terms as pure functions of tensors."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCES = ("cosine", "l2", "l1")
REDUCTIONS = ("mean", "sum")
_CHUNK_NUMBERS = 1 << 22  # distances held at a time where all of them would be too many: 32 MiB in double precision


def pairwise_distance(a: Tensor, b: Tensor, distance: str = "cosine") -> Tensor:
    """Distances `[row of a, row of b]` between rows `a [n, dim]` and `b [m, dim]`.

    Args:
        a: First rows; not zero for "cosine".
        b: Second rows.
        distance: "cosine" (1 - cosine similarity, 0 to 2), "l2" (Euclidean) or "l1" (sum of absolute differences). The
            gradient of "l2" between equal rows is 0.

    Raises:
        ValueError: Another name.
    """
    if distance == "cosine":
        return 1 - F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    if distance == "l2":
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")  # the other mode is inexact near 0
    if distance == "l1":
        return torch.cdist(a, b, p=1.0)
    raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}.")


def rowwise_distance(a: Tensor, b: Tensor, distance: str = "cosine") -> Tensor:
    """Distances `[row]` between each row of `a [n, dim]` and the same row of `b [n, dim]`; see `pairwise_distance`."""
    if distance == "cosine":
        return 1 - F.cosine_similarity(a, b, dim=1)
    if distance == "l2":
        return torch.linalg.vector_norm(a - b, dim=1)  # its gradient at 0 is 0
    if distance == "l1":
        return (a - b).abs().sum(dim=1)
    raise ValueError(f"distance is {distance!r}; expected one of {', '.join(DISTANCES)}.")


def widest(device: torch.device) -> torch.dtype:
    """Double precision, except on Apple's GPUs, which have none."""
    return torch.float32 if device.type == "mps" else torch.float64


def row_chunks(rows: int, columns: int, numbers: int | None = None) -> Iterator[slice]:
    """Slices of `rows` rows of `columns` numbers with at most `numbers` of them, and one row at least."""
    step = max(1, (_CHUNK_NUMBERS if numbers is None else numbers) // max(columns, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def own_entries(table: Tensor, rows: slice) -> Tensor:
    """View of what each class of `rows` has for itself in `table [class of rows, class]`."""
    return table[:, rows].diagonal()


def separation_loss(w: Tensor, *, distance: str = "cosine", reduction: str = "mean") -> Tensor:
    """Minus the distance of each class embedding to its nearest neighbour (EZ-AVGZL, eq. 1).

    The paper prints the Euclidean distance; its Table 8 and its best results (Table 10) are cosine distances. Equally
    near neighbours share the gradient. A single class has no neighbour and gives 0.

    Args:
        w: Class embeddings `[class, dim]`.
        distance: See `pairwise_distance`.
        reduction: "mean" or "sum" (printed) over classes.
    """
    if len(w) < 2:
        return w.sum() * 0
    pairs = []
    for rows in row_chunks(len(w), len(w)):
        between = pairwise_distance(w.detach()[rows], w.detach(), distance)
        own_entries(between, rows).fill_(float("inf"))
        near = (between == between.amin(dim=1, keepdim=True)).nonzero()
        pairs.append(near + near.new_tensor([rows.start, 0]))
    one, other = torch.cat(pairs).unbind(dim=1)
    share = 1 / torch.bincount(one, minlength=len(w)).to(w.dtype)[one]
    return -reduced((rowwise_distance(w[one], w[other], distance) * share).sum(), len(w), reduction)


def proximity_loss(w: Tensor, t: Tensor, *, distance: str = "cosine", reduction: str = "mean") -> Tensor:
    """Distance of each class embedding to the one it started from (EZ-AVGZL, eq. 2).

    Args:
        w: Class embeddings `[class, dim]`.
        t: The original embeddings `[class, dim]`.
        distance: See `pairwise_distance`.
        reduction: "mean" or "sum" (printed) over classes.
    """
    return reduced(rowwise_distance(w, t, distance).sum(), len(w), reduction)


def reduced(total: Tensor, count: int, reduction: str) -> Tensor:
    """`total`, divided by `count` for "mean"; as it is for "sum"."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}.")
    return total / max(count, 1) if reduction == "mean" else total
