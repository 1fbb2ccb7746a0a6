"""Text encoders, and class names to `Classes`.

An encoder turns texts into unit vectors. It is named by a spec: `wordllama` (needs no download), `vectors:<file>`,
`clip:<id or folder>`, `clap:<id or folder>`, `sentence:<id or folder>`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.classes.phrase import phrases as default_phrases
from avshot.types import Classes


class TextEncoder(ABC):
    """Texts to unit vectors; weights are loaded when first needed.

    Attributes:
        spec: What `create_text_encoder` made it from; the same spec makes the same encoder.
        name: Short name, the key in `Classes.text`.
        dim: Width of a vector.
    """

    spec: str
    name: str
    dim: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: `[text, dim]` float32 with unit rows; no texts give `[0, dim]`.

        Raises:
            ValueError: A text cannot be embedded (it is empty, or none of its words is known); the message names it.
        """


class WordLlama(TextEncoder):
    """Averaged token vectors distilled from Llama 2's; 256 wide, its weights come with the package, nothing is fetched.

    Order of words is ignored: "dog bites man" and "man bites dog" nearly coincide.
    """

    def __init__(self) -> None:
        self.spec = self.name = "wordllama"
        self.dim = 256
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts; see `TextEncoder.encode`."""
        if len(texts) == 0:
            return torch.zeros(0, self.dim)
        if self._model is None:
            import wordllama

            # The weights lie in its wheel; without this folder it would look for its tokenizer on the network.
            home = Path(wordllama.__file__).parent
            self._model = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
        return unit_rows(torch.from_numpy(np.array(self._model.embed(list(texts)), dtype=np.float32)), texts)


def unit_rows(vectors: Tensor, texts: Sequence[str]) -> Tensor:
    """Scale rows `[text, dim]` to length 1. Raises ValueError naming a text whose vector is zero or not finite."""
    length = vectors.norm(dim=1)
    for text, size in zip(texts, length.tolist(), strict=True):
        if not 0.0 < size < float("inf"):
            raise ValueError(
                f"Text {text!r} has no direction in this encoder (its vector has length {size}); reword it."
            )
    return F.normalize(vectors, dim=1)


_KINDS = ("wordllama", "vectors", "clip", "clap", "sentence")


def create_text_encoder(spec: str) -> TextEncoder:
    """Make a text encoder from its spec.

    Args:
        spec: `wordllama`; `vectors:<file>` (word2vec, GloVe or fastText vectors, or a `.npy` dictionary); or `clip:`,
            `clap:`, `sentence:` followed by a Hugging Face id or a local folder.

    Raises:
        ValueError: Unknown kind, or a kind without the file or id it needs.

    Example:
        >>> create_text_encoder("wordllama").dim
        256
    """
    kind, _, place = spec.partition(":")
    if kind not in _KINDS:
        raise ValueError(
            f"Text encoder {spec!r} does not exist; write wordllama or one of {', '.join(_KINDS[1:])} + ':'."
        )
    if kind == "wordllama":
        if place:
            raise ValueError(f"Text encoder wordllama takes no file or id; got {spec!r}.")
        return WordLlama()
    raise ValueError(f"Text encoder {spec!r} does not exist.")


def embed_classes(
    names: Sequence[str],
    encoders: Sequence[str] = ("wordllama",),
    *,
    phrases: Mapping[str, str | Sequence[str]] | None = None,
    seen: Sequence[bool] | None = None,
) -> Classes:
    """Embed classes by name.

    The texts of a class are embedded, normalised, averaged and normalised again (the thesis' D.1.1).

    Args:
        names: Class names, unique.
        encoders: Specs of one or more text encoders; several give several entries of `Classes.text`.
        phrases: `{name: text or texts}` for all names, joined by name; the spoken names when None.
        seen: Which classes have training clips, in the order of `names`; none when None.

    Raises:
        ValueError: A class without a phrase or without a vector, by name.
    """
    if len(names) == 0:
        raise ValueError("No class names; give at least one.")
    texts = {name: [t] if isinstance(t, str) else list(t) for name, t in (phrases or default_phrases(names)).items()}
    missing = [name for name in names if not texts.get(name)]
    if missing:
        raise ValueError(f"No phrase for {len(missing)} classes: {', '.join(map(repr, missing[:10]))}.")
    made = [create_text_encoder(spec) for spec in encoders]
    text = {encoder.name: embed_texts(encoder, [texts[name] for name in names]) for encoder in made}
    flags = torch.zeros(len(names), dtype=torch.bool) if seen is None else torch.tensor(list(seen), dtype=torch.bool)
    return Classes(tuple(names), text, flags)


def embed_texts(encoder: TextEncoder, texts: Sequence[Sequence[str]]) -> Tensor:
    """One unit vector per list of texts, `[class, dim]`: the normalised mean of the texts' unit vectors."""
    flat = [text for group in texts for text in group]
    parts = encoder.encode(flat).split([len(group) for group in texts])
    return unit_rows(torch.stack([part.mean(dim=0) for part in parts]), [" / ".join(group) for group in texts])
