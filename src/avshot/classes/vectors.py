"""Class vectors from word-vector files: word2vec (text and binary), GloVe, fastText `.vec`, and `.npy` dictionaries."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from avshot.classes.encoder import MissingVectors, TextEncoder, unit_rows
from avshot.classes.phrase import join_key
from avshot.data.unpickle import restricted_load

# Words that carry little meaning; the widest used word2vec file lacks several of them ("a", "and", "of", "to").
_FUNCTION_WORDS = frozenset(
    (
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "of",
        "off",
        "on",
        "or",
        "the",
        "to",
        "with",
    )
)
_KNOWN_SHARE = 0.75  # of a text's content words that must have a vector
_FASTTEXT_MODEL = (793712314).to_bytes(4, "little")  # first bytes of fastText's own .bin
_BLOCK = 1 << 20
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")  # an apostrophe, straight or curly, joins


class VectorDictionary(TextEncoder):
    """A `.npy` dictionary `{text: vector}`, as the released benchmarks have it: whole texts, no words.

    A text is found whatever its case, spaces and punctuation. The file is read without running code from it.
    """

    def __init__(self, path: str) -> None:
        self.spec, self.name = f"vectors:{path}", "vectors"
        entries = restricted_load(path)
        if not isinstance(entries, dict) or len(entries) == 0:
            raise ValueError(f"{path} holds {type(entries).__name__}; expected a dictionary of texts and vectors.")
        shapes = {np.shape(vector) for vector in entries.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"{path} holds vectors of shapes {sorted(shapes)[:3]}; expected one shape (dim,).")
        self._texts = {join_key(str(text)): str(text) for text in entries}
        if len(self._texts) != len(entries):
            raise ValueError(f"{path} holds texts that differ in case or spaces alone; keep one of each.")
        self._vectors = {join_key(str(text)): np.asarray(v, dtype=np.float32) for text, v in entries.items()}
        ((self.dim,),) = shapes

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Look texts up; see `TextEncoder.encode`."""
        missing = {text: self._near(text) for text in texts if join_key(text) not in self._vectors}
        if missing:
            raise MissingVectors(self.spec, missing)
        rows = [self._vectors[join_key(text)] for text in texts]
        return unit_rows(torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, self.dim)), texts)

    def _near(self, text: str) -> str:
        near = [self._texts[key] for key in get_close_matches(join_key(text), list(self._texts), n=3)]
        return f"nearest: {', '.join(map(repr, near))}" if near else "nothing near"


class WordVectors(TextEncoder):
    """A file of word vectors. A text is the mean of its words' unit vectors, scaled to length 1.

    Rules: an entry for the whole text, its words joined by `_` (word2vec has such phrases), wins. Each word is looked
    up as written, then in small letters, then capitalised. A word without a vector is left out if it is a function
    word ("of", "the") or a number, or if three quarters of the text's other words have vectors; otherwise the text has
    no vector, and the error says which words are missing. (The released benchmark vectors are made
    differently: fastText's subword model on the whole phrase. They are in the `.npy` dictionaries.)

    The file is read through once for each call of `encode` that brings new words; only wanted words are kept.
    """

    def __init__(self, path: str) -> None:
        self.spec, self.name = f"vectors:{path}", "vectors"
        self._path = path
        self._binary, self._header, self.dim = _format(path)
        self._found: dict[str, np.ndarray] = {}
        self._sought: set[str] = set()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Average the words; see `TextEncoder.encode`."""
        words = {text: _WORD.findall(text) for text in texts}
        wanted = {v for group in words.values() for word in [*group, "_".join(group)] for v in _spellings(word)}
        self._scan(wanted - self._sought)
        missing: dict[str, str] = {}
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors, absent = self._text_vectors(words[text])
            if absent or not vectors:
                missing[text] = f"no vector for {', '.join(absent)}" if absent else "no word with a vector"
            else:
                rows[row] = np.mean(vectors, axis=0)
        if missing:
            raise MissingVectors(self.spec, missing)
        return unit_rows(torch.from_numpy(rows), texts)

    def _text_vectors(self, words: Sequence[str]) -> tuple[list[np.ndarray], list[str]]:
        """Unit vectors of the text, and the missing words if they are too many to leave out."""
        whole = self._vector("_".join(words))
        if whole is not None:
            return [whole], []
        vectors = {word: self._vector(word) for word in words}
        content = [word for word in words if word.lower() not in _FUNCTION_WORDS and not word.isdigit()]
        absent = [word for word in content if vectors[word] is None]
        found = [vector for word in words if (vector := vectors[word]) is not None]
        enough = len(content) - len(absent) >= _KNOWN_SHARE * len(content)
        return found, [] if enough else absent

    def _vector(self, word: str) -> np.ndarray | None:
        for spelling in _spellings(word):
            if spelling in self._found:
                return self._found[spelling]
        return None

    def _scan(self, wanted: set[str]) -> None:
        if not wanted:
            return
        read = _binary_entries if self._binary else _text_entries
        with _open(self._path) as file:
            if self._header:
                file.readline()
            for word, vector in read(file, self.dim, {word.encode() for word in wanted}, self._path):
                length = float(np.linalg.norm(vector))
                if length > 0:
                    self._found.setdefault(word.decode(), vector / length)
        self._sought |= wanted


def load_vectors(path: str) -> TextEncoder:
    """The encoder of a vector file, its format read from its content; `.gz` is unpacked on the fly.

    Raises:
        ValueError: The file is not in one of the formats, or is fastText's own binary model.
        FileNotFoundError: There is no such file.
    """
    return VectorDictionary(path) if path.endswith(".npy") else WordVectors(path)


def _spellings(word: str) -> list[str]:
    return list(dict.fromkeys([word, word.lower(), word.capitalize(), word.title(), word.upper()]))


def _open(path: str) -> BinaryIO:
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _format(path: str) -> tuple[bool, bool, int]:
    """`(binary, has a header line, dim)` of a word-vector file."""
    with _open(path) as file:
        start = file.read(_BLOCK)
    if start.startswith(_FASTTEXT_MODEL):
        raise ValueError(f"{path} is fastText's own binary model; use the .vec text file that comes with it.")
    lines = start.split(b"\n", 2)
    head = lines[0].split()
    if len(head) == 2 and head[0].isdigit() and head[1].isdigit() and int(head[1]) > 0:
        dim = int(head[1])
        return len(lines) > 1 and _numbers(lines[1], dim) is None, True, dim
    dim = len(head) - 1
    if dim < 2 or _numbers(lines[0], dim) is None:
        raise ValueError(
            f"{path} does not begin like word vectors; expected word2vec, GloVe or fastText (.vec) format."
        )
    return False, False, dim


def _numbers(line: bytes, dim: int) -> tuple[bytes, np.ndarray] | None:
    """`(word, vector)` of a text line, None if it does not hold `dim` numbers. A word may hold spaces (GloVe)."""
    parts = line.rstrip().rsplit(b" ", dim)
    if len(parts) != dim + 1:
        return None
    try:
        return parts[0], np.array([float(part) for part in parts[1:]], dtype=np.float32)
    except ValueError:
        return None


def _text_entries(file: BinaryIO, dim: int, wanted: set[bytes], path: str) -> Iterator[tuple[bytes, np.ndarray]]:
    for line in file:
        word = line[: line.find(b" ")]
        if word not in wanted:
            continue
        entry = _numbers(line, dim)
        if entry is None:
            raise ValueError(
                f"{path} has a damaged line for {word.decode(errors='replace')!r}; expected {dim} numbers."
            )
        if entry[0] == word:
            yield entry


def _binary_entries(file: BinaryIO, dim: int, wanted: set[bytes], path: str) -> Iterator[tuple[bytes, np.ndarray]]:
    size, rest, position = 4 * dim, b"", 0
    while True:
        space = rest.find(b" ", position)
        if space < 0 or len(rest) < space + 1 + size:
            block = file.read(_BLOCK)
            rest, position = rest[position:] + block, 0
            if block:
                continue
            if rest.strip(b"\n"):
                raise ValueError(f"{path} ends in the middle of a vector; fetch it again.")
            return
        word = rest[position:space].lstrip(b"\n")
        position = space + 1 + size
        if word in wanted:
            yield word, np.frombuffer(rest, dtype="<f4", count=dim, offset=space + 1).copy()
