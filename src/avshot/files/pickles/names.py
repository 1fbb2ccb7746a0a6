"""The names that a pickle of data may hold, and what each stands for. Nothing here is looked up: a name is an entry.

Arrays and dtypes come in two steps, as numpy writes them: a call that makes an empty one, and the state that fills it.
Between the two stands `Unfinished`, which has no content and is never part of a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avshot.files.pickles.arrays import (
    Damaged,
    Refused,
    array_of,
    checked_shape,
    objects_of,
    plain_dtype,
    scalar_of,
    shown,
)
from avshot.files.pickles.bounds import Bounds, check_key


@dataclass(frozen=True, eq=False)
class Name:
    """A name in the file, for example `numpy.dtype`; `meaning` is the key of what it does."""

    meaning: str


@dataclass(eq=False)
class Unfinished:
    """An array or a dtype whose state has not come yet.

    Attributes:
        code: Type code of a dtype; None for an array.
        kept: Where the machine has kept it.
    """

    code: str | None = None
    kept: list[int] = field(default_factory=list)


def named(module: Any, name: Any) -> Name:
    """The entry for `module.name`. Raises Refused for any other name, with the name."""
    try:
        return _NAMES[module, name]
    except (KeyError, TypeError):
        raise Refused(f"{shown(module)}.{shown(name)}") from None


def make(name: Name, arguments: tuple[Any, ...], bounds: Bounds) -> Any:
    """What a call of `name` gives. Raises Refused or Damaged where the arguments are not those that numpy writes."""
    bounds.container()
    return _CALLS[name.meaning](arguments, bounds)


def finish(blank: Unfinished, state: Any, bounds: Bounds) -> Any:
    """The array or dtype that `state` completes."""
    if type(state) is not tuple:
        raise Damaged("an array state that is none")
    return _array(state, bounds) if blank.code is None else _dtype(blank.code, state)


def _start_dtype(arguments: tuple[Any, ...], bounds: Bounds) -> Unfinished:
    if len(arguments) not in (1, 3) or not all(type(flag) in (bool, int) for flag in arguments[1:]):
        raise Damaged("a number type that is none")
    plain_dtype(arguments[0])
    return Unfinished(code=arguments[0])


def _dtype(code: str, state: tuple[Any, ...]) -> np.dtype[Any]:
    """Only the byte order is taken; sizes must agree with the code, fields and subarrays are refused."""
    if len(state) != 8 or type(state[0]) is not int or state[0] != 3:
        raise Refused("a number type with a description of its own")
    _, order, *fields, size, alignment, flags = state
    if any(part is not None for part in fields):
        raise Refused("an array of records")
    found = plain_dtype(code, order)
    if any(type(number) is not int for number in (size, alignment, flags)) or size not in (-1, found.itemsize):
        raise Damaged("a number type of another size")
    return found


def _start_array(arguments: tuple[Any, ...], bounds: Bounds) -> Unfinished:
    if len(arguments) != 3 or type(arguments[0]) is not Name or arguments[0].meaning != "array":
        raise Refused("an array subclass")
    if arguments[1:] not in (((0,), b"b"), ((0,), "b")):
        raise Damaged("an array that does not begin empty")
    return Unfinished()


def _array(state: tuple[Any, ...], bounds: Bounds) -> np.ndarray:
    if len(state) != 5 or type(state[0]) is not int or state[0] != 1 or not isinstance(state[2], np.dtype):
        raise Damaged("an array state that is none")
    _, shape, dtype, fortran, data = state
    if type(fortran) not in (bool, int):
        raise Damaged("an array state that is none")
    if dtype.hasobject:
        if type(data) is not list:
            raise Refused("bytes that are to be taken for objects")
        bounds.copy(8 * len(data))
        return objects_of(data, checked_shape(shape))
    return array_of(_bytes(data, bounds), dtype, checked_shape(shape), fortran=bool(fortran))


def _from_buffer(arguments: tuple[Any, ...], bounds: Bounds) -> np.ndarray:
    """Protocol 5: bytes (or a bytearray, which is used as it is), type, shape, order and an order of the axes."""
    if len(arguments) not in (4, 5) or not isinstance(arguments[1], np.dtype):
        raise Damaged("an array state that is none")
    data, dtype, shape, order = arguments[:4]
    shape, axes = checked_shape(shape), arguments[4] if len(arguments) == 5 else None
    if type(data) is not bytearray:
        data = _bytes(data, bounds)
    if order in ("C", "F") and axes is None:
        return array_of(data, dtype, shape, fortran=order == "F")
    if order != "K" or type(axes) is not tuple or sorted(checked_shape(axes)) != list(range(len(shape))):
        raise Damaged("an array without an order")
    return array_of(data, dtype, shape).transpose(axes)


def _scalar(arguments: tuple[Any, ...], bounds: Bounds) -> np.generic:
    if len(arguments) != 2 or not isinstance(arguments[0], np.dtype):
        raise Damaged("a number without a type")
    return scalar_of(_bytes(arguments[1], bounds), arguments[0])


def _bytes(data: Any, bounds: Bounds) -> bytes:
    """The content of an array: bytes, or text of one byte a letter, as Python 2 wrote it."""
    if type(data) not in (str, bytes):
        raise Damaged("an array without content")
    bounds.copy(len(data))
    return data if type(data) is bytes else _latin1(data)


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise Damaged("bytes written as text that no byte stands for") from None


def _encoded(arguments: tuple[Any, ...], bounds: Bounds) -> bytes:
    """How protocols 0 to 2 write bytes: text and the codec latin1; no other codec is used."""
    if len(arguments) != 2 or type(arguments[0]) is not str or arguments[1] not in ("latin1", "latin-1"):
        raise Refused("a codec other than latin1")
    bounds.copy(len(arguments[0]))
    return _latin1(arguments[0])


def _empty_bytes(arguments: tuple[Any, ...], bounds: Bounds) -> bytes:
    """How protocols 0 to 2 write `b""`; with an argument it could ask for any size."""
    if arguments:
        raise Refused("bytes of a size")
    return b""


def _bytearray(arguments: tuple[Any, ...], bounds: Bounds) -> bytearray:
    if len(arguments) == 2:
        return bytearray(_encoded(arguments, bounds))
    if arguments and (len(arguments) != 1 or type(arguments[0]) is not bytes):
        raise Refused("a bytearray of a size")
    bounds.copy(len(arguments[0]) if arguments else 0)
    return bytearray(*arguments)


def _collection(kind: type) -> Callable[[tuple[Any, ...], Bounds], Any]:
    def make_one(arguments: tuple[Any, ...], bounds: Bounds) -> Any:
        if len(arguments) > 1 or not all(type(items) is list for items in arguments):
            raise Refused(f"a {kind.__name__} of something that is no list")
        bounds.copy(sum(64 * len(items) for items in arguments))
        return kind(map(check_key, *arguments)) if arguments else kind()

    return make_one


def _complex(arguments: tuple[Any, ...], bounds: Bounds) -> complex:
    if len(arguments) != 2 or not all(type(part) is float for part in arguments):
        raise Damaged("a number that is none")
    return complex(*arguments)


def _no_call(arguments: tuple[Any, ...], bounds: Bounds) -> Any:
    raise Refused("an array made by a call")


_CALLS: dict[str, Callable[[tuple[Any, ...], Bounds], Any]] = {
    "dtype": _start_dtype,
    "start": _start_array,
    "array": _no_call,
    "scalar": _scalar,
    "buffer": _from_buffer,
    "encode": _encoded,
    "bytes": _empty_bytes,
    "bytearray": _bytearray,
    "set": _collection(set),
    "frozenset": _collection(frozenset),
    "complex": _complex,
}


def _table() -> dict[tuple[str, str], Name]:
    found = {("numpy", "dtype"): "dtype", ("numpy", "ndarray"): "array", ("_codecs", "encode"): "encode"}
    for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
        found[f"{core}.multiarray", "_reconstruct"] = "start"
        found[f"{core}.multiarray", "scalar"] = "scalar"
        found[f"{core}.numeric", "_frombuffer"] = "buffer"
    for module in ("builtins", "__builtin__"):  # the second is how protocols 0 to 2 spell it
        found |= {(module, name): name for name in ("bytes", "bytearray", "set", "frozenset", "complex")}
    return {key: Name(meaning) for key, meaning in found.items()}


_NAMES = _table()
