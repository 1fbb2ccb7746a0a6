"""Texts from files of word vectors: the mean of their words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from avshot.classes.encoder import MissingVectors, TextEncoder, unit_rows
from avshot.classes.encoders._vector_files import inspect_vectors

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
_MOST_KEPT = 1 << 20  # words sought, after which all are forgotten: a service embeds what strangers type
_KNOWN_SHARE = 0.75  # of a text's content words that must have a vector
# An apostrophe, straight or curly, and an ampersand join; what tells C# and C++ from C belongs to the word.
_WORD = re.compile(r"[^\W_]+(?:['\u2019&][^\W_]+)*[#+*]*")


class WordVectors(TextEncoder):
    """A file of word vectors. A text is the mean of its words' unit vectors, scaled to length 1.

    Rules: an entry for the whole text, its words joined by `_` (word2vec has such phrases), wins. Each word is looked
    up as written, then in small letters, then capitalised, then in capitals. A word without a vector is left out if it
    is a function word ("of", "the") or a number, or if three quarters of the text's other words have vectors; otherwise
    the text has no vector, and the error says which words are missing. (The released benchmark vectors are made
    differently: fastText's subword model on the whole phrase. They are in the `.npy` dictionaries.)

    The file is read through once for each call of `encode` that brings new words; only wanted words are kept.
    """

    def __init__(self, path: str) -> None:
        self.spec, self.name = f"vectors:{path}", "vectors"
        self._file = inspect_vectors(path)
        self.dim = self._file.dim
        self._found: dict[str, np.ndarray] = {}
        self._sought: set[str] = set()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Average the words; see `TextEncoder.encode`."""
        words = {text: _WORD.findall(text) for text in texts}
        wanted = {v for group in words.values() for word in [*group, "_".join(group)] for v in _spellings(word)}
        if len(self._sought) > _MOST_KEPT:
            self._sought, self._found = set(), {}
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
        written = _written(wanted)
        for entry, vector in self._file.entries(written):
            wide = vector.astype(np.float64)  # the square of a float32 may be none
            if (length := float(np.linalg.norm(wide))) > 0:
                self._found.setdefault(written[entry], (wide / length).astype(np.float32))
        self._sought |= wanted


def _spellings(word: str) -> list[str]:
    return list(dict.fromkeys([word, word.lower(), word.capitalize(), word.title(), word.upper()]))


def _written(words: Iterable[str]) -> dict[bytes, str]:
    """The bytes that a word may be in a file, and the word: UTF-8, accents apart from their letters, or Latin-1."""
    found: dict[bytes, str] = {}
    for form in ("NFC", "NFD"):
        found |= {unicodedata.normalize(form, word).encode("utf-8", "replace"): word for word in words}
    for word in words:
        old = unicodedata.normalize("NFC", word).encode("latin-1", "ignore")
        if not word.isascii() and old.decode("latin-1") == word and not _is_utf8(old):
            found[old] = word
    return found


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
