"""Files of word vectors, line by line: word2vec (text and binary), GloVe and fastText `.vec`, packed with gzip or not.

What a line means is settled here: spaces or tabs between numbers, a byte order mark, line ends of any system. What
cannot be right is an error that names the file and the line, and no line, number or file takes more memory than it can
be worth.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.errors import BadSetting
from avshot.files.pickles.arrays import shown
from avshot.files.pickles.reader import check_regular

_FASTTEXT_MODEL = (793712314).to_bytes(4, "little")  # first bytes of fastText's own .bin
_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BLOCK = 1 << 20
_MAX_DIM = 100_000
_WORD_BYTES, _NUMBER_BYTES = 1 << 16, 64  # of the longest line: its word, and each of its numbers
_FREE_BYTES, _GROWTH = 64 << 20, 100  # unpacked; word vectors shrink to a third
_COUNT = re.compile(rb"-?\d{1,18}")
_NOT_TEXT = re.compile(rb"[^\t\r\n\x20-\x7e]")


@dataclass(frozen=True)
class VectorFile:
    """What the first lines of a file say.

    Attributes:
        path: The file.
        binary: word2vec's binary form; else lines of text.
        header: The first line holds the number of words and of dimensions.
        words: That number of words; None without a header.
        dim: Width of a vector.
    """

    path: str
    binary: bool
    header: bool
    words: int | None
    dim: int

    def entries(self, wanted: Collection[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """`(word, float32[dim])` of each entry whose word is wanted, in the order of the file, read to its end.

        Raises:
            ValueError: The file is damaged or shorter than its header says, or a wanted vector is not of finite
                numbers; the message names file and line.
        """
        with _opened(self.path) as file:
            _skip_mark(file)
            if self.header:
                file.readline()
            yield from _binary_entries(self, file, wanted) if self.binary else _text_entries(self, file, wanted)


def inspect_vectors(path: str) -> VectorFile:
    """Find out the format of a file from its beginning.

    Raises:
        ValueError: It is none of the formats; the message says what stands there.
        OSError: There is no such file.
    """
    with _opened(path) as file:
        _skip_mark(file)
        start = file.read(_BLOCK)
    if start.startswith(_FASTTEXT_MODEL):
        raise BadSetting(f"{path} is fastText's own binary model; use the .vec text file that comes with it.")
    if start.startswith(_WIDE_MARKS):
        raise BadSetting(f"{path} is text of 16 bits a letter; save it as UTF-8.")
    first, _, rest = start.partition(b"\n")
    head = first.split()
    if len(head) == 2 and all(map(_COUNT.fullmatch, head)):
        return _with_header(path, int(head[0]), int(head[1]), rest)
    dim = len(head) - 1
    if dim < 2 or len(first) > _line_limit(min(dim, _MAX_DIM)):
        raise BadSetting(
            f"{path} does not begin like word vectors; expected word2vec, GloVe or fastText (.vec) format, got "
            f"{shown(first[:80].decode('latin1')) or 'nothing'!r}."
        )
    _numbers(head[1:], f"{path} line 1")
    return VectorFile(path, False, False, None, dim)


def _with_header(path: str, words: int, dim: int, rest: bytes) -> VectorFile:
    if words < 1 or not 1 <= dim <= _MAX_DIM:
        raise BadSetting(f"{path} begins with {words} words of {dim} numbers, which cannot be; fetch it again.")
    entry = rest.lstrip()
    parts = entry.partition(b"\n")[0].split()
    if len(parts) > dim and _all_numbers(parts[-dim:]):
        return VectorFile(path, False, True, words, dim)
    numbers = entry[len(parts[0]) :][: 1 + 4 * dim] if parts else b""  # a binary number may look like a line feed
    binary = _NOT_TEXT.search(numbers) is not None
    if not binary and parts:
        number = 2 + rest[: len(rest) - len(entry)].count(b"\n")
        _check_line(parts, dim, f"{path} line {number}")
    return VectorFile(path, binary, True, words, dim)


def _text_entries(
    about: VectorFile, file: io.BufferedReader, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, np.ndarray]]:
    limit, number, count = _line_limit(about.dim), int(about.header), 0
    while line := file.readline(limit):
        number += 1
        if len(line) >= limit:
            raise BadSetting(f"{about.path} line {number} is longer than {about.dim} numbers can be; fetch it again.")
        parts = line.split(None, 1)
        count += bool(parts)
        if parts and parts[0] in wanted:
            parts = line.split()
            if len(parts) > about.dim + 1 and not _all_numbers(parts[1:]):
                continue  # a word with spaces in it, of which only the first is wanted
            yield parts[0], _check_line(parts, about.dim, f"{about.path} line {number}")
    _check_count(about, count)


def _binary_entries(
    about: VectorFile, file: io.BufferedReader, wanted: Collection[bytes]
) -> Iterator[tuple[bytes, np.ndarray]]:
    size, rest, position, count = 4 * about.dim, b"", 0, 0
    while True:
        space = rest.find(b" ", position)
        if space < 0 or len(rest) < space + 1 + size:
            if len(rest) - position > _WORD_BYTES + size:
                raise BadSetting(f"{about.path} has a word of more than {_WORD_BYTES} bytes; fetch it again.")
            block = file.read(_BLOCK)
            rest, position = rest[position:] + block, 0
            if block:
                continue
            if rest.strip(b"\n"):
                raise BadSetting(f"{about.path} ends in the middle of a vector; fetch it again.")
            break
        word = rest[position:space].lstrip(b"\n")
        position, count = space + 1 + size, count + 1
        if word in wanted:
            vector = np.frombuffer(rest, dtype="<f4", count=about.dim, offset=space + 1).copy()
            if not np.isfinite(vector).all():
                name = shown(word.decode(errors="replace"))
                raise BadSetting(f"{about.path} holds nan or inf in the vector of {name!r}; fetch it again.")
            yield word, vector
    _check_count(about, count)


def _check_count(about: VectorFile, count: int) -> None:
    """A text file may have more words than its header says (somebody added some), a binary one may not."""
    if about.words is not None and (count < about.words or (about.binary and count != about.words)):
        raise BadSetting(
            f"{about.path} holds {count} words and its first line promises {about.words}; fetch it again, or correct "
            "the first line."
        )


def _check_line(parts: list[bytes], dim: int, place: str) -> np.ndarray:
    """The numbers behind a word, float32[dim]. Raises ValueError where one is none, or there are more or fewer."""
    found = _numbers(parts[1:], place)
    if len(found) != dim:
        word = shown(parts[0].decode(errors="replace"))
        raise BadSetting(f"{place} has {len(found)} numbers for {word!r}; expected {dim}.")
    return found


def _numbers(parts: list[bytes], place: str) -> np.ndarray:
    """Float32 of numbers as text. Raises ValueError where one is none, or not finite."""
    try:
        numbers = np.array([float(part) for part in parts])
    except ValueError:
        wrong = next(part for part in parts if not _all_numbers([part]))
        comma = "; write decimals with a point" if wrong.count(b",") == 1 else ""
        said = shown(wrong.decode(errors="replace"))
        raise BadSetting(f"{place} holds {said!r} where a number should be{comma}.") from None
    with np.errstate(over="ignore"):
        found = numbers.astype(np.float32)
    if not np.isfinite(found).all():
        said = shown(parts[int(np.flatnonzero(~np.isfinite(found))[0])].decode())
        raise BadSetting(f"{place} holds {said!r}, no finite 32-bit number; fetch it again.")
    return found


def _all_numbers(parts: list[bytes]) -> bool:
    try:
        for part in parts:
            float(part)
    except ValueError:
        return False
    return True


def _line_limit(dim: int) -> int:
    return _WORD_BYTES + _NUMBER_BYTES * dim


def _skip_mark(file: io.BufferedReader) -> None:
    """Go behind a byte order mark, where there is one."""
    if file.peek(len(_MARK)).startswith(_MARK):
        file.read(len(_MARK))


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader[Any]]:
    """The file, unpacked where it is packed; what gzip finds wrong is said with the file's name."""
    check_regular(path)
    with open(path, "rb") as plain:
        if not plain.peek(len(_GZIP)).startswith(_GZIP):
            yield plain
            return
        try:
            with gzip.GzipFile(fileobj=plain) as packed, io.BufferedReader(_Unpacked(packed, path), _BLOCK) as file:
                yield file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadSetting(f"{path} is not a whole gzip file ({error}); fetch it again.") from None


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, up to what a file of its size can be worth: a few bytes may unpack without end."""

    def __init__(self, packed: gzip.GzipFile, path: str) -> None:
        self._packed, self._path = packed, path
        self._left = _FREE_BYTES + _GROWTH * os.path.getsize(path)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        count = self._packed.readinto(target)
        self._left -= count
        if self._left < 0:
            raise BadSetting(f"{self._path} unpacks to more than {_GROWTH} times its size, as no word vectors do.")
        return count
