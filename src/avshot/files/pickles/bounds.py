"""How much a file may make of its bytes, and what may be a key: bounds on data that somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused

MAX_DEPTH = 100
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_NUMBERS = frozenset((int, float, complex, bool, type(None)))
_KEY_BITS = 64
_FREE_CONTAINERS, _BYTES_PER_CONTAINER = 100_000, 4
_FREE_BYTES, _GROWTH = 64 << 20, 16


class Bounds:
    """What is left to spend while a file of `size` bytes is read.

    One container for four bytes (the shortest way to write a list that holds something); 16 bytes of copies for each
    byte; a little for small files on top. Files that programs write need a tenth of either.
    """

    def __init__(self, size: int) -> None:
        self._containers = _FREE_CONTAINERS + size // _BYTES_PER_CONTAINER
        self.bytes = _FREE_BYTES + _GROWTH * size

    def container(self, share: int = 1) -> None:
        """Count one list, tuple, dictionary, set or array. Raises Refused when there are too many.

        Args:
            share: What it takes when it is empty, in those of a list (56 bytes); a set takes 4.
        """
        self._containers -= share
        if self._containers < 0:
            raise Refused("more lists, tuples and arrays than its bytes can hold")

    def copy(self, count: int) -> None:
        """Count `count` bytes of memory. Raises Refused when there are too many."""
        self.bytes -= count
        if self.bytes < 0:
            raise Refused("the same bytes over and over")


def check_key(key: Any) -> Any:
    """`key` if it can be one: text, bytes or a plain number, whose hash takes no time and cannot be aimed at."""
    if type(key) not in _PLAIN and not isinstance(key, np.generic):
        raise Refused(f"a key of the type {type(key).__name__}")
    if type(key) is int and key.bit_length() > _KEY_BITS:
        raise Refused("a key of more than 64 bits")
    return key


def check_tree(value: Any, bounds: Bounds) -> None:
    """See that `value` holds finished data only, is no deeper than 100 levels and no larger than the bounds allow.

    A part that is referred to many times counts as often: whoever goes through the data meets it as often.

    Raises:
        Refused: It is too deep or too large.
        Damaged: A part of it holds itself, or is a name or an array without content.
    """
    _, weight = _weigh(value, {}, MAX_DEPTH)
    if weight > bounds.bytes:
        raise Refused("parts that are repeated until they no longer fit")


def _weigh(value: Any, known: dict[int, tuple[int, int]], levels: int) -> tuple[int, int]:
    """`(levels below it, bytes)` of a value, each container gone through once."""
    if (parts := _parts(value)) is None:
        return 0, _size(value)
    if id(value) in known:
        found = known[id(value)]
        if found[0] < 0:
            raise Damaged("a part that holds itself")
    else:
        if levels <= 0:
            raise Refused(f"data nested more than {MAX_DEPTH} deep")
        known[id(value)] = (-1, 0)
        deep, weight = 0, 8
        for part in parts:
            if type(part) in _NUMBERS:
                weight += 8
                continue
            below, size = _weigh(part, known, levels - 1)
            deep, weight = max(deep, below), weight + size
        found = known[id(value)] = (deep + 1, weight)
    if found[0] > levels:
        raise Refused(f"data nested more than {MAX_DEPTH} deep")
    return found


def _parts(value: Any) -> Iterable[Any] | None:
    """What a container holds; None for everything else."""
    kind = type(value)
    if kind is list or kind is tuple:
        return value
    if kind is dict:
        return _both(value)
    if kind is np.ndarray and value.dtype == object:
        return value.flat
    return None


def _both(content: dict[Any, Any]) -> Iterator[Any]:
    yield from content
    yield from content.values()


def _size(value: Any) -> int:
    """Bytes of a value that holds no others."""
    kind = type(value)
    if kind in _NUMBERS:
        return 8
    if kind in (str, bytes, bytearray):
        return 8 + len(value)
    if kind in (set, frozenset):
        return 8 + 8 * len(value)
    if isinstance(value, np.dtype):
        return 8
    if kind is np.ndarray or isinstance(value, np.generic):
        return 8 + int(value.nbytes)
    raise Damaged("a name or an array without its content")
