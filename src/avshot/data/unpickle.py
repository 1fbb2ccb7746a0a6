"""Read pickled arrays without running code from the file.

The released benchmark folders store class vectors as `.npy` files holding a pickled dictionary, and features as plain
pickles. Python's own unpickler calls whatever function such a file names. This one knows numpy arrays, dtypes and
scalars, bytes and the builtin containers, and refuses every other name before anything is called.

It protects against code in a file, not against a file that claims to be huge.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

_NPY_MAGIC = b"\x93NUMPY"
_CONTAINERS = (set, frozenset, bytearray, complex, slice, range)  # the rest of the builtins have opcodes of their own
_BUILTIN_MODULES = ("builtins", "__builtin__")  # the second is how protocol 2 spells it
_DAMAGE = (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError)


class _ArrayType:
    """Stands in for `numpy.ndarray` in the stream: an argument of `_empty_array`, and nothing that can be called."""


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    """What pickled arrays start from; their real shape and data follow in the stream."""
    if kind is not _ARRAY_TYPE:
        raise pickle.UnpicklingError("an array subclass")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _latin1_bytes(text: Any, encoding: Any = "latin1") -> bytes:
    """Protocol 2 writes bytes as text to be encoded; only that use of `codecs.encode` is allowed."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("a codec other than latin1")
    return text.encode("latin1")


def _empty_bytes(*values: Any) -> bytes:
    """Protocol 2 writes `b""` as a call of `bytes` without arguments; one with arguments could ask for any size."""
    if values:
        raise pickle.UnpicklingError("bytes with arguments")
    return b""


_ARRAY_TYPE = _ArrayType()


def _allowed_globals() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _ARRAY_TYPE,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1_bytes,
    }
    scalar, from_buffer = _numpy_constructors()
    for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
        allowed[f"{core}.multiarray", "_reconstruct"] = _empty_array
        allowed[f"{core}.multiarray", "scalar"] = scalar
        allowed[f"{core}.numeric", "_frombuffer"] = from_buffer
    for module in _BUILTIN_MODULES:
        allowed[module, "bytes"] = _empty_bytes
        for kind in _CONTAINERS:
            allowed[module, kind.__name__] = kind
        allowed[module, "xrange"] = range
    return allowed


def _numpy_constructors() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Numpy's own functions for scalars and protocol-5 arrays, got from numpy itself: their home is private."""
    scalar = np.float32(0).__reduce__()[0]
    from_buffer = np.zeros(1, np.float32).__reduce_ex__(5)[0]
    return scalar, from_buffer  # type: ignore[return-value]


_ALLOWED = _allowed_globals()


class _Refused(ValueError):
    pass


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def restricted_load(source: str | os.PathLike[str] | BinaryIO) -> Any:
    """Read a pickle (any protocol) or a `.npy` file of arrays, bytes and builtin containers; run nothing from it.

    Args:
        source: Path of a file, or an open seekable binary file.

    Returns:
        The object. A `.npy` file without objects gives its array; one that holds a single object (shape `()`, the form
        of the released class vectors) gives that object, e.g. `{name: float32[300]}`; an array of objects gives it.

    Raises:
        ValueError: The file names anything but numpy arrays, dtypes, scalars, bytes and builtin containers (the message
            names it), or is damaged.
        FileNotFoundError: There is no such file.
    """
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return _load(file, os.fspath(source))
    return _load(source, str(getattr(source, "name", "the given file")))


def _load(file: BinaryIO, name: str) -> Any:
    start = file.tell()
    magic = file.read(len(_NPY_MAGIC))
    file.seek(start)
    try:
        if magic == _NPY_MAGIC:
            return _load_npy(file)
        return _ArrayUnpickler(file, encoding="latin1").load()
    except _Refused as error:
        raise ValueError(
            f"{name} asks for {error} while being read; only numpy arrays, numbers, text, bytes and builtin containers "
            "are read from pickles. Convert it to .npz, .h5 or .safetensors where you trust it."
        ) from None
    except _DAMAGE as error:
        raise ValueError(f"{name} is not a readable pickle of arrays ({error}); fetch or convert it again.") from error


def _load_npy(file: BinaryIO) -> Any:
    start = file.tell()
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    if not dtype.hasobject:
        file.seek(start)
        return np.lib.format.read_array(file, allow_pickle=False)
    value = _ArrayUnpickler(
        io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file, encoding="latin1"
    ).load()
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise pickle.UnpicklingError(f"its header promises an array of shape {shape}")
    return value.item() if shape == () else value
