"""The instructions of a pickle that hold a value themselves: numbers, text and bytes."""

from __future__ import annotations

import codecs
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any

from avshot.files.pickles.arrays import Damaged, Refused
from avshot.files.pickles.reader import ByteReader

_MAX_DIGITS = 400  # of numbers written as text
_MAX_BYTES = 128  # of numbers written as bytes
_QUOTED = re.compile(rb"""(['"])((?:[^\\]|\\[\\'"nrt]|\\x[0-9a-fA-F]{2})*)\1""")  # what Python 2's repr writes
_TRUTH = {b"00": False, b"01": True}


def _integer(line: bytes) -> int:
    if len(line) > _MAX_DIGITS:
        raise Refused(f"a number of {len(line)} digits")
    try:
        return int(line)
    except ValueError:
        raise Damaged("a number that is none") from None


def _int_line(reader: ByteReader) -> int:
    line = reader.line()
    return _TRUTH[line] if line in _TRUTH else _integer(line)


def _long_line(reader: ByteReader) -> int:
    return _integer(reader.line().removesuffix(b"L"))


def _float_line(reader: ByteReader) -> float:
    line = reader.line()
    try:
        return float(line[:_MAX_DIGITS])
    except ValueError:
        raise Damaged("a number that is none") from None


def _long(width: int) -> Callable[[ByteReader], int]:
    def read(reader: ByteReader) -> int:
        count = reader.number(width)
        if count > _MAX_BYTES:
            raise Refused(f"a number of {count} bytes")
        return reader.number(count, signed=True)

    return read


def _float(reader: ByteReader) -> float:
    return struct.unpack(">d", reader.take(8))[0]


def _quoted(reader: ByteReader) -> str:
    """Python 2 text, as its repr shows it."""
    found = _QUOTED.fullmatch(reader.line())
    if found is None:
        raise Damaged("text without quotes, or with a broken escape")
    return codecs.escape_decode(found[2])[0].decode("latin1")


def _escaped(reader: ByteReader) -> str:
    try:
        return reader.line().decode("raw-unicode-escape")
    except UnicodeDecodeError:
        raise Damaged("text with a broken escape") from None


def _old_text(width: int) -> Callable[[ByteReader], str]:
    return lambda reader: reader.take(reader.number(width)).decode("latin1")


def _text(width: int) -> Callable[[ByteReader], str]:
    def read(reader: ByteReader) -> str:
        try:
            return reader.take(reader.number(width)).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Damaged("text that is not UTF-8") from None

    return read


def _bytes(width: int) -> Callable[[ByteReader], bytes]:
    return lambda reader: reader.take(reader.number(width))


LITERALS: dict[bytes, Callable[[ByteReader], Any]] = {
    pickle.NONE: lambda reader: None,
    pickle.NEWTRUE: lambda reader: True,
    pickle.NEWFALSE: lambda reader: False,
    pickle.INT: _int_line,
    pickle.LONG: _long_line,
    pickle.BININT: lambda reader: reader.number(4, signed=True),
    pickle.BININT1: lambda reader: reader.number(1),
    pickle.BININT2: lambda reader: reader.number(2),
    pickle.LONG1: _long(1),
    pickle.LONG4: _long(4),
    pickle.FLOAT: _float_line,
    pickle.BINFLOAT: _float,
    pickle.STRING: _quoted,
    pickle.BINSTRING: _old_text(4),
    pickle.SHORT_BINSTRING: _old_text(1),
    pickle.UNICODE: _escaped,
    pickle.SHORT_BINUNICODE: _text(1),
    pickle.BINUNICODE: _text(4),
    pickle.BINUNICODE8: _text(8),
    pickle.SHORT_BINBYTES: _bytes(1),
    pickle.BINBYTES: _bytes(4),
    pickle.BINBYTES8: _bytes(8),
    pickle.BYTEARRAY8: lambda reader: reader.fill(reader.number(8)),
}
