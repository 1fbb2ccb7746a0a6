"""Class vectors from files: word2vec (text and binary), GloVe, fastText `.vec`, and files of named vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from avshot.classes.encoder import TextEncoder
from avshot.classes.encoders._dictionary import VectorDictionary
from avshot.classes.encoders._word_vectors import WordVectors
from avshot.classes.named_vectors import SUFFIXES


class VectorFile(TextEncoder):
    """The encoder of a vector file, its format read from its content; `.gz` is unpacked on the fly.

    Raises:
        ValueError: The file is not in one of the formats, or is fastText's own binary model.
        FileNotFoundError: There is no such file.
    """

    place = "file"

    def __init__(self, path: str) -> None:
        self._encoder = load_vectors(path)
        self.spec, self.name, self.dim = self._encoder.spec, self._encoder.name, self._encoder.dim

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Look texts or their words up; see `TextEncoder.encode`."""
        return self._encoder.encode(texts)


def load_vectors(path: str) -> VectorDictionary | WordVectors:
    """What `VectorFile` asks: whole texts of a file of named vectors, or the words of a text."""
    return VectorDictionary(path) if path.endswith(SUFFIXES) else WordVectors(path)
