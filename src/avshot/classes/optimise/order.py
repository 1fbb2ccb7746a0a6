"""In which order each class sees the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.classes.optimise.losses import own_entries, pairwise_distance, row_chunks
from avshot.classes.optimise.rows import sort_rows, tied_ranges


@dataclass(frozen=True)
class Order:
    """In which order each class sees the others; computed once, valid as long as the original embeddings.

    Integers `[anchor, class]`, 16 bits wide below 32,768 classes, else 32. An anchor's own column comes last.

    Attributes:
        place: Position of a class among the others, near to far; tied ones in any order.
        low: Number of strictly nearer classes; None where no anchor sees a tie: then `place`.
        high: Number of classes at most as far, itself included; None likewise: then `place + 1`.
    """

    place: Tensor
    low: Tensor | None
    high: Tensor | None

    @classmethod
    def of(cls, t: Tensor, distance: str = "cosine") -> Order:
        """Order of the rows of `t [class, dim]`.

        Always in double precision. Neighbours in the order that differ by rounding (8 units in the last place of a
        row's largest distance, or of 1) are tied.
        """
        exact = t.detach().to("cpu" if t.device.type == "mps" else t.device, torch.float64)
        count = len(exact)
        kind = torch.int16 if count < 1 << 15 else torch.int32
        place, low, high = (torch.empty(count, count, dtype=kind, device=exact.device) for _ in range(3))
        for rows in row_chunks(count, count):
            before = pairwise_distance(exact[rows], exact, distance)
            largest = before.amax(dim=1, keepdim=True).clamp(min=1)
            own_entries(before, rows).fill_(math.inf)
            old, near_to_far = sort_rows(before)
            start, end = tied_ranges(old, 8 * torch.finfo(torch.float64).eps * largest)
            at = torch.arange(count, device=exact.device)
            for table, values in ((place, at), (low, start), (high, end)):
                table[rows] = torch.empty_like(table[rows]).scatter_(1, near_to_far, values.to(kind).expand_as(old))
        if torch.equal(low, place):
            return cls(place.to(t.device), None, None)
        return cls(place.to(t.device), low.to(t.device), high.to(t.device))

    def __len__(self) -> int:
        return len(self.place)

    def rows(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """`place`, `low` and `high` of some anchors."""
        place = self.place[rows]
        if self.low is None or self.high is None:
            return place, place, place + 1
        return place, self.low[rows], self.high[rows]
