"""Counting for the exact ranking loss, compiled by numba (`avshot[fast]`); imported only where it is used."""

# numba reads these functions, mypy does not: they are untyped, and unsigned integers are what its indices like best.
# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from avshot.classes.optimise.rows import on_threads

_U = np.uint64


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled without the interpreter's lock, kept on disk where any folder for that can be written."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found nowhere to write
        return numba.njit(nogil=True)(function)


def count_compiled(new: Tensor, place: Tensor, low: Tensor, high: Tensor, margin: float) -> tuple[Tensor, int]:
    """Counts as `avshot.classes.optimise.wavelet.count_torch` gives them, on as many threads as torch has; CPU only."""
    tables = [table.numpy() for table in (new, place, low, high)]
    counts = np.empty(new.shape, np.int32)

    def part(rows: slice) -> int:
        values, places, lows, highs = (table[rows] for table in tables)
        nearest = np.argsort(values, axis=1)
        return int(_sweep(values, nearest, places, lows, highs, values.dtype.type(margin), counts[rows]))

    pairs = sum(on_threads(part, len(new)))
    return torch.from_numpy(counts), pairs


@_compiled
def _sweep(values, nearest, place, low, high, margin, counts):
    """Enter the classes of each anchor by new distance and ask, when the first p are in, how many lie below a place.

    A place is entered as a bit of its 64, and in running counts of whole 64s within their 2048, and of whole 2048s.
    """
    rows, count = values.shape
    others, pairs = count - 1, 0
    ordered, bound = np.empty(count, values.dtype), np.empty(count, values.dtype)
    at, lows, highs = np.empty(count, _U), np.empty(count, _U), np.empty(count, _U)
    found = np.empty(count, np.int32)
    bits = np.empty(((count >> 11) + 1) * 32, _U)
    middle, outer = np.empty(len(bits), np.int16), np.empty((count >> 11) + 1, np.int32)
    for row in range(rows):
        for x in range(count):
            k = nearest[row, x]
            ordered[x] = values[row, k]
            bound[x] = ordered[x] + margin
            at[x], lows[x], highs[x] = _U(place[row, k]), _U(low[row, k]), _U(high[row, k])
            found[x] = 0
        bits[:], middle[:], outer[:] = 0, 0, 0
        near = far = 0
        for entered in range(others + 1):
            while near < others and (entered == others or ordered[entered] >= bound[near]):
                active = entered - _below(bits, middle, outer, highs[near])
                found[near] += active
                pairs += active
                near += 1
            while far < others and (entered == others or bound[entered] > ordered[far]):
                found[far] -= np.int64(lows[far]) - _below(bits, middle, outer, lows[far])
                far += 1
            if entered < others:
                _enter(bits, middle, outer, at[entered])
        for x in range(count):
            counts[row, nearest[row, x]] = found[x]
    return pairs


@_compiled
def _enter(bits, middle, outer, at):
    bits[at >> _U(6)] |= _U(1) << (at & _U(63))
    start, own = at >> _U(11) << _U(5), np.int16(at >> _U(6) & _U(31))
    for k in range(32):
        middle[start + _U(k)] += np.int16(np.int16(k) > own)
    for k in range(np.int64(at >> _U(11)) + 1, len(outer)):
        outer[k] += 1


@_compiled
def _below(bits, middle, outer, place):
    inside = bits[place >> _U(6)] & ((_U(1) << (place & _U(63))) - _U(1))
    # Bits set, added in pairs, fours and bytes: the compiler knows this form and uses one instruction.
    inside = inside - (inside >> _U(1) & _U(0x5555555555555555))
    inside = (inside & _U(0x3333333333333333)) + (inside >> _U(2) & _U(0x3333333333333333))
    inside = (inside + (inside >> _U(4))) & _U(0x0F0F0F0F0F0F0F0F)
    inside = np.int64(inside * _U(0x0101010101010101) >> _U(56))
    return inside + middle[place >> _U(6)] + outer[place >> _U(11)]
