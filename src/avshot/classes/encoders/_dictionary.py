"""Whole texts from a `.npy` dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import torch
from torch import Tensor

from avshot.classes.dictionary import read_class_vectors
from avshot.classes.encoder import MissingVectors, TextEncoder, unit_rows
from avshot.classes.phrase import join_key
from avshot.errors import BadSetting


class VectorDictionary(TextEncoder):
    """A `.npy` dictionary `{text: vector}`, as the released benchmarks have it: whole texts, no words.

    A text is found whatever its case, spaces and punctuation. The file is read without running code from it.
    """

    def __init__(self, path: str) -> None:
        self.spec, self.name = f"vectors:{path}", "vectors"
        entries = read_class_vectors(path)
        self._texts = {join_key(text): text for text in entries}
        if len(self._texts) != len(entries):
            raise BadSetting(f"{path} holds texts that differ in case or spaces alone; keep one of each.")
        self._vectors = {join_key(text): vector for text, vector in entries.items()}
        self.dim = len(next(iter(self._vectors.values())))

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
