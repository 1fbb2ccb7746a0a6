"""Arrays from bytes that somebody else wrote: plain kinds only, and never more memory than there are bytes.

Nothing of numpy's own unpickling is used: a dtype is looked up in a list of plain ones, an array is the bytes that lie
in the file, and both are refused where a shape or a size does not fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_KINDS = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|O[48]?|[SU]\d{1,9}")
_ONE_BYTE = ("b1", "i1", "u1")
_MAX_DIMENSIONS = 32
_MAX_EMPTY = 2**31  # product of the other sizes where one of them is 0
_MAX_CODE_POINT = 0x10FFFF

Shape = tuple[int, ...]


class Refused(ValueError):
    """Something that may be legal in the format, but is not read. The text says what: "an array subclass"."""


class Damaged(ValueError):
    """Something that no program writes. The text says what: "it ends too early"."""


def shown(text: Any, most: int = 60) -> str:
    """Text of a file as it may stand in a message: printable, and not long."""
    written = text if isinstance(text, str) else type(text).__name__
    safe = "".join(letter if letter.isprintable() else "?" for letter in written[: most + 1])
    return safe if len(safe) <= most else safe[:most] + "..."


def plain_dtype(code: Any, order: Any = "=") -> np.dtype[Any]:
    """The dtype of a code such as "f4", "U12" or "O8", in byte order "<", ">", "=" or "|" (no order).

    Raises:
        Refused: Not truth values, integers, floats to 64 bits, complex numbers to 128, text, bytes or objects.
    """
    if not isinstance(code, str) or _KINDS.fullmatch(code) is None:
        raise Refused(f"numbers of the type {shown(code)}")
    if order not in ("<", ">", "=", "|"):
        raise Damaged("a byte order that does not exist")
    if code[0] == "O":
        return np.dtype(object)
    found = np.dtype(code)
    return found if code in _ONE_BYTE or code[0] == "S" or order == "|" else found.newbyteorder(order)


def checked_shape(shape: Any) -> Shape:
    """`shape` if it is one: a tuple of at most 32 integers from 0. Raises Damaged otherwise."""
    fits = isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS
    if not fits or not all(type(size) is int and size >= 0 for size in shape):
        raise Damaged("an array shape that is none")
    if math.prod(size for size in shape if size) > _MAX_EMPTY and 0 in shape:
        raise Damaged(f"an empty array of the shape {shown(str(shape))}")
    return shape


def array_of(data: bytes | bytearray, dtype: np.dtype[Any], shape: Shape, *, fortran: bool = False) -> np.ndarray:
    """An array whose numbers are `data`; a bytearray is used in place, bytes are copied.

    Args:
        data: As many bytes as the array has.
        dtype: From `plain_dtype`, not of objects.
        shape: From `checked_shape`.
        fortran: The first index runs fastest in `data`.

    Raises:
        Damaged: There are more or fewer bytes than the shape needs, or text with characters that do not exist.
    """
    count = math.prod(shape)
    if dtype.hasobject:
        raise Refused("bytes that are to be taken for objects")
    if dtype.itemsize == 0 or count * dtype.itemsize != len(data):
        raise Damaged(f"{len(data)} bytes for an array of shape {shown(str(shape))} and type {dtype}")
    flat = np.frombuffer(data, dtype=dtype, count=count) if count else np.empty(0, dtype)
    if not flat.flags.writeable:
        flat = flat.copy()
    return _cleaned(flat).reshape(shape, order="F" if fortran else "C")


def objects_of(items: Sequence[Any], shape: Shape) -> np.ndarray:
    """An array of objects, filled one by one: numpy must not look into them. Raises Damaged for another number."""
    if len(items) != math.prod(shape):
        raise Damaged(f"{len(items)} objects for an array of shape {shown(str(shape))}")
    flat = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        flat[i] = item
    return flat.reshape(shape)


def scalar_of(data: bytes, dtype: np.dtype[Any]) -> np.generic:
    """One number, text or bytes as numpy's own scalar, for example `np.float32(1.5)`."""
    if dtype.itemsize == 0 and not data:
        return dtype.type()
    return array_of(data, dtype, (1,))[0]


def _cleaned(flat: np.ndarray) -> np.ndarray:
    """Truth values made 0 or 1, text looked through: other bytes in either are not what numpy expects."""
    if flat.dtype.kind == "b":
        return flat.view(np.uint8) != 0
    if flat.dtype.kind == "U" and flat.size:
        points = flat.view(np.dtype("u4").newbyteorder(flat.dtype.byteorder))
        if points.max() > _MAX_CODE_POINT:
            raise Damaged("text with characters that do not exist")
    return flat


def as_numbers(array: ArrayLike) -> np.ndarray:
    """Truth values, integers or floats as float32; too large ones become infinite.

    Raises:
        ValueError: Complex numbers, text, objects or lists of unequal lengths; the message says what there is.
    """
    try:
        found = np.asarray(array)
    except ValueError:
        raise ValueError("lists of unequal lengths, expected numbers") from None
    if found.dtype.kind not in "biuf":
        raise ValueError(f"values of the type {found.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        return found.astype(np.float32, copy=False)
