"""Counting for the exact ranking loss in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.losses import row_chunks
from avshot.ranking.rows import sort_rows

_BLOCK = 64  # bits of the integer that holds a whole leaf of the wavelet matrix
_COUNTED = 1 << 17  # numbers counted at a time: the temporaries stay in the cache of the processor
_COUNTED_GPU = 1 << 24


def count_torch(new: Tensor, place: Tensor, low: Tensor, high: Tensor, margin: float) -> tuple[Tensor, int]:
    """Counts in plain torch.

    Args:
        new: Distances `[anchor, class]`, the anchor's own infinite.
        place: As in `Order`, of the same anchors; so `low` and `high`.
        low: Classes strictly nearer before.
        high: Classes at most as far before.
        margin: m.

    Returns:
        Integers `[anchor, class]`: active hinges as the near class minus as the far class (the anchor's own entry is
        of no meaning), and the number of active hinges.
    """
    numbers = _COUNTED if new.device.type == "cpu" else _COUNTED_GPU
    counts, pairs = torch.empty(new.shape, dtype=torch.int64, device=new.device), 0
    for rows in row_chunks(len(new), new.shape[1], numbers):
        values, nearest = sort_rows(new[rows])
        bound = values + margin
        prefix = torch.stack([torch.searchsorted(values, bound), torch.searchsorted(bound, values, right=True)])
        places, lows, highs = (table[rows].long().gather(1, nearest) for table in (place, low, high))
        inside = _dominated(places, prefix, torch.stack([highs, lows]))
        near = (prefix[0] - inside[0]).masked_fill_(places == new.shape[1] - 1, 0)
        pairs += int(near.sum())
        counts[rows] = torch.empty_like(near).scatter_(1, nearest, near - lows + inside[1])
    return counts, pairs


def _dominated(places: Tensor, prefix: Tensor, below: Tensor) -> Tensor:
    """How many of the first `prefix` entries of a row are less than `below`.

    A wavelet matrix: from the top bit down every block of places is parted, keeping its order, into its lower and its
    upper half, and each question follows its bound to one half. Blocks of 64 are left whole: there the places seen so
    far are the bits of one integer.

    Args:
        places: Permutations of 0 ... n - 1, `[row, n]`.
        prefix: `[question, row, n]`, 0 ... n.
        below: The same, 0 ... n.
    """
    rows, count = places.shape
    size = -(-(count + 1) // _BLOCK) * _BLOCK
    at = torch.arange(size, device=places.device)
    places = torch.cat([places, at[count:].expand(rows, -1)], dim=1)
    position, block, found = prefix.clone(), torch.zeros_like(prefix), torch.zeros_like(prefix)
    half = 1 << (size - 1).bit_length() - 1
    while half >= _BLOCK:
        lower = places & half == 0
        before = torch.zeros(rows, size + 1, dtype=torch.int64, device=places.device)
        torch.cumsum(lower, dim=1, out=before[:, 1:])
        # Blocks before this one are full, so half of their entries are in lower halves.
        start = at & -2 * half
        to_lower = before[:, :-1] + start // 2
        places = torch.empty_like(places).scatter_(
            1, torch.where(lower, to_lower, at + start + half - to_lower), places
        )
        left = _look_up(before, position) - block // 2
        goes_up = below & half != 0
        found += torch.where(goes_up, left, 0)
        position = torch.where(goes_up, position + half - left, block + left)
        block += torch.where(goes_up, half, 0)
        half //= 2
    seen = torch.zeros(rows, size + 1, dtype=torch.int64, device=places.device)
    torch.cumsum(1 << (places & _BLOCK - 1), dim=1, out=seen[:, 1:])  # whole blocks before sum to -1 each
    bits = (_look_up(seen, position) + block // _BLOCK) & ((1 << (below & _BLOCK - 1)) - 1)
    return found + _ones(bits)


def _look_up(table: Tensor, position: Tensor) -> Tensor:
    """`table [row, n]` at `position [question, row, any]`."""
    return table.expand(len(position), -1, -1).gather(2, position)


def _ones(bits: Tensor) -> Tensor:
    """Number of bits set in 64-bit integers, added in pairs, fours and bytes."""
    bits = bits - (bits >> 1 & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333)
    return ((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56
