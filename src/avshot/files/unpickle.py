"""Read pickled arrays without running code from the file.

The released benchmark folders store class vectors as `.npy` files holding a pickled dictionary, and features as plain
pickles. Python's own unpickler calls whatever such a file names and fills whatever object it likes. Here the file is
read by an interpreter that can only build data (`avshot.files.pickles.machine`): numbers, text, bytes, lists, tuples,
dictionaries, sets, and numpy arrays of plain kinds. Depth, sizes and memory are bounded by the file's own size.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, BinaryIO

import numpy as np

from avshot.files.pickles.arrays import Damaged, Refused, Shape, array_of, checked_shape, plain_dtype
from avshot.files.pickles.machine import run
from avshot.files.pickles.reader import ByteReader, check_regular

_NPY_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # of the header, in each version of the format
_MAX_HEADER = 10_000
_MAX_SIZE_DIGITS = 18
_ENTRY = re.compile(
    r"""\s*(['"])(descr|fortran_order|shape)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([\d\s,L]*\))\s*(?:,|(?=}))"""
)
_ORDERED = re.compile(r"([<>|=]?)(\w+)")


def restricted_load(source: str | os.PathLike[str] | BinaryIO) -> Any:
    """Read a pickle (any protocol) or a `.npy` file of arrays, numbers, text and containers; run nothing from it.

    Arrays are of truth values, integers, floats (16 to 64 bits), complex numbers, text or bytes in either byte order,
    or of objects that are such values themselves. Not read: records, dates, array subclasses, parts that hold
    themselves, keys other than text, bytes and numbers, and more than 100 levels of containers. Text of Python 2 is
    read as latin1.

    Args:
        source: Path of a file, or an open seekable binary file; it is read from where it stands.

    Returns:
        The object. A `.npy` file without objects gives its array; one that holds a single object (shape `()`, the form
        of the released class vectors) gives that object, e.g. `{name: float32[300]}`; an array of objects gives it.
        Memory: at most some 20 times the size of the file, whatever it says.

    Raises:
        ValueError: The file asks for anything but such data (the message names it), or is damaged.
        OSError: There is no such file, or it cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        check_regular(source)
        with open(source, "rb") as file:
            return _load(file, os.fspath(source))
    return _load(source, str(getattr(source, "name", "the given file")))


def _load(file: BinaryIO, name: str) -> Any:
    start = file.tell()
    magic = file.read(len(_NPY_MAGIC))
    file.seek(start)
    try:
        reader = ByteReader(file)
        return _load_npy(reader) if magic == _NPY_MAGIC else run(reader)
    except Refused as error:
        raise ValueError(
            f"{name} asks for {error} while being read; only numpy arrays of plain numbers and text, numbers, text, "
            "bytes and builtin containers are read from pickles. Convert it to .npz, .h5 or .safetensors where you "
            "trust it."
        ) from None
    except Damaged as error:
        raise ValueError(f"{name} is not a readable pickle of arrays ({error}); fetch or convert it again.") from None


def _load_npy(reader: ByteReader) -> Any:
    dtype, fortran, shape = npy_header(reader)
    if not dtype.hasobject:
        return array_of(reader.fill(math.prod(shape) * dtype.itemsize), dtype, shape, fortran=fortran)
    value = run(reader)
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise Damaged(f"its header promises an array of shape {shape}")
    return value.item() if shape == () else value


def npy_header(reader: ByteReader) -> tuple[np.dtype[Any], bool, Shape]:
    """Read the header of a `.npy` file: `(dtype, Fortran order, shape)`.

    It is a Python dictionary, of which the one form that numpy writes is read.

    Args:
        reader: At the beginning of the file; then at the first number.

    Raises:
        Refused: Records, or a version or type that is not read.
        Damaged: It is cut off, or states no shape.
    """
    reader.take(len(_NPY_MAGIC))
    length = _LENGTH_BYTES.get(reader.take(2))
    if length is None:
        raise Refused("a version of .npy beyond 3.0")
    if (size := reader.number(length)) > _MAX_HEADER:
        raise Refused(f"a .npy header of {size} bytes")
    text = reader.take(size).decode("latin1").strip()
    entries, place = {}, 1
    while (found := _ENTRY.match(text, place)) is not None:
        entries[found[2]], place = found[3], found.end()
    if not text.startswith("{") or text[place:].strip() != "}" or len(entries) != 3:
        raise Refused("a .npy header with anything but a plain type, an order and a shape")
    kind = _ORDERED.fullmatch(entries["descr"][1:-1])
    order, shape = entries["fortran_order"], entries["shape"]
    if kind is None or order not in ("True", "False") or not shape.startswith("("):
        raise Refused("a .npy header with anything but a plain type, an order and a shape")
    return plain_dtype(kind[2], kind[1] or "="), order == "True", _npy_shape(shape)


def _npy_shape(text: str) -> Shape:
    """`(3, 4)` as numbers; Python 2 wrote `(3L, 4L)`."""
    sizes = [part.strip().removesuffix("L") for part in text[1:-1].split(",") if part.strip()]
    if not all(size.isdigit() and len(size) <= _MAX_SIZE_DIGITS for size in sizes):
        raise Damaged("a .npy header with a shape that is none")
    return checked_shape(tuple(int(size) for size in sizes))
