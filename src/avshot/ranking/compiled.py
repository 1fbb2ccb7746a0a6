"""Counting for the exact ranking loss, compiled by numba (`avshot[fast]`); imported only where it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from avshot.ranking.rows import on_threads


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled without the interpreter's lock, kept on disk where any folder for that can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found nowhere to write
        return numba.njit(nogil=True)(function)


def count_compiled(new: Tensor, place: Tensor, low: Tensor, high: Tensor, margin: float) -> tuple[Tensor, int]:
    """Counts as `avshot.ranking.wavelet.count_torch` gives them, on as many threads as torch has; CPU only."""
    tables = [table.numpy() for table in (new, place, low, high)]
    counts = np.empty(new.shape, np.int64)

    def part(rows: slice) -> int:
        values, places, lows, highs = (table[rows] for table in tables)
        nearest = np.argsort(values, axis=1)
        return int(_sweep(values, nearest, places, lows, highs, values.dtype.type(margin), counts[rows]))

    return torch.from_numpy(counts), sum(on_threads(part, len(new)))


@_compiled
def _sweep(values, nearest, place, low, high, margin, counts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Enter the classes of each anchor by new distance and ask, when the first p are in, how many lie below a place.

    A place is entered into running counts within its 32, within its 1024, and over these: three sums answer.
    """
    rows, count = values.shape
    pairs = 0
    ordered = np.empty(count, values.dtype)
    bound = np.empty(count, values.dtype)
    for row in range(rows):
        inner = np.zeros((count >> 5) * 32 + 32, np.int8)
        middle = np.zeros((count >> 10) * 32 + 32, np.int16)
        outer = np.zeros((count >> 10) + 1, np.int32)
        for x in range(count):
            ordered[x] = values[row, nearest[row, x]]
            bound[x] = ordered[x] + margin
            counts[row, x] = 0
        near = far = 0
        for entered in range(count + 1):
            while near < count and (entered == count or ordered[entered] >= bound[near]):
                j = nearest[row, near]
                if place[row, j] < count - 1:
                    top = high[row, j]
                    active = entered - (inner[top] + middle[top >> 5] + outer[top >> 10])
                    counts[row, j] += active
                    pairs += active
                near += 1
            while far < count and (entered == count or bound[entered] > ordered[far]):
                i = nearest[row, far]
                top = low[row, i]
                counts[row, i] -= top - (inner[top] + middle[top >> 5] + outer[top >> 10])
                far += 1
            if entered < count:
                at = place[row, nearest[row, entered]]
                start = at >> 5 << 5
                for k in range(32):
                    inner[start + k] += np.int8(k > at & 31)
                start = at >> 10 << 5
                for k in range(32):
                    middle[start + k] += np.int16(k > at >> 5 & 31)
                for k in range((at >> 10) + 1, len(outer)):
                    outer[k] += 1
    return pairs
