"""Counting for the exact ranking loss in plain torch, on any device.

Comparisons, selections by mask and `where` cost several times what integer arithmetic does on a CPU, so there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.classes.optimise.losses import row_chunks
from avshot.classes.optimise.rows import sort_rows

_BITS = 6  # a leaf of the wavelet matrix holds 64 places: the bits of one integer
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
    count, pairs = new.shape[1], 0
    counts = torch.empty(new.shape, dtype=torch.int32, device=new.device)
    for rows in row_chunks(len(new), count, _COUNTED if new.device.type == "cpu" else _COUNTED_GPU):
        values, nearest = sort_rows(new[rows])
        # Active far partners of each class are the first so many, active near ones all but the first so many.
        far = torch.searchsorted(values, values + margin, out_int32=True)
        ends = torch.zeros(len(values), count + 1, dtype=torch.int32, device=new.device)
        ends.scatter_add_(1, far.long(), torch.ones_like(far))
        near = ends.cumsum(dim=1, dtype=torch.int32)[:, :count]
        places, lows, highs = (table[rows].int().gather(1, nearest) for table in (place, low, high))
        inside = _dominated(places.long(), torch.stack([far, near]), torch.stack([highs, lows]))
        active = (far - inside[0]).masked_fill_(places == count - 1, 0)
        pairs += int(active.sum())
        counts[rows] = torch.empty_like(active).scatter_(1, nearest, active - lows + inside[1])
    return counts, pairs


def _dominated(places: Tensor, prefix: Tensor, below: Tensor) -> Tensor:
    """How many of the first `prefix` entries of a row are less than `below`.

    A wavelet matrix of all rows at once: from the top bit down the entries with 0 there go before those with 1, in the
    order they had, and each question follows its bound. The places are padded to a power of two, so that every node is
    full and where it starts needs no looking up. In a leaf the places seen so far are the bits of one integer.

    Args:
        places: Permutations of 0 ... n - 1, `[row, n]`, 64 bits.
        prefix: `[question, row, n]`, 0 ... n, 32 bits.
        below: The same, 0 ... n.
    """
    (rows, count), device = places.shape, places.device
    size = 1 << max(_BITS, count.bit_length())
    total, level = rows * size, size.bit_length() - 2
    row = torch.arange(rows, dtype=torch.int32, device=device)[:, None]
    places = torch.cat([places, torch.arange(count, size, device=device).expand(rows, -1)], dim=1).flatten()
    at = torch.arange(total, device=device)
    before = torch.zeros(total + 1, dtype=torch.int32, device=device)  # entries with 1 before each
    position, bound = (prefix + row * size).flatten(), below.flatten()
    found = torch.zeros_like(position)
    for bit in range(level, _BITS - 1, -1):
        one = places >> bit & 1
        ones = one.cumsum(dim=0)
        before[1:] = ones
        ones -= one
        to = (2 * ones).sub_(at).add_(total // 2).mul_(one).add_(at).sub_(ones)  # at - ones, or total / 2 + ones
        places = torch.empty_like(places).scatter_(0, to, places)
        ones, up = before.index_select(0, position), bound >> bit & 1
        position -= ones  # entries with 0 before it: where it goes for a bound with 0
        found.addcmul_(position, up)
        position.addcmul_(ones.add_(total // 2).sub_(position), up)
    first, surplus = _leaves(size >> _BITS, rows, device)
    leaf = bound >> _BITS
    seen = torch.zeros(total + 1, dtype=torch.int64, device=device)
    torch.cumsum(1 << (places & (1 << _BITS) - 1), dim=0, out=seen[1:])  # a whole leaf sums to -1
    bits = seen.index_select(0, position).view(below.shape) + (first.index_select(0, leaf).view(below.shape) + row)
    bits &= (1 << (below & (1 << _BITS) - 1).long()) - 1
    # `found` began to count at the start of the layout instead of at that of the node.
    found = found.view(below.shape) - surplus.index_select(0, leaf).view(below.shape) - row * (below >> _BITS << _BITS)
    return found + _ones(bits)


def _leaves(leaves: int, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each leaf of the first row: leaves before it in the last layout, and what `found` has too much."""
    leaf = torch.arange(leaves, dtype=torch.int32, device=device)
    start, surplus = torch.zeros_like(leaf), torch.zeros_like(leaf)
    total = rows * leaves << _BITS
    for bit in range(leaves.bit_length() - 2, -1, -1):
        one = leaf >> bit & 1
        surplus += (start >> 1) * one  # every node before this one is full, and half of it has 0
        start = (start >> 1) + one * (total // 2)
    return start >> _BITS, surplus


def _ones(bits: Tensor) -> Tensor:
    """Number of bits set in 64-bit integers, added in pairs, fours and bytes."""
    bits = bits - (bits >> 1 & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333)
    return (((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F) * 0x0101010101010101 >> 56).int()
