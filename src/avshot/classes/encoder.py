"""The contract of a text encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadClassName

_SHOWN = 10  # texts named one by one in an error


class TextEncoder(ABC):
    """Texts to unit vectors; weights are loaded when first needed.

    Attributes:
        spec: What `create_text_encoder` made it from; the same spec makes the same encoder.
        name: Short name, the key in `Classes.text`.
        dim: Width of a vector.
        joint: Whether texts lie in one space with sounds or pictures.
        size: Of its weights in words, "19 MB"; empty for none, or where each checkpoint has its own.
        licence: Of its weights, in a word; likewise.
        checked: What the tests ran it with: "real weights", "random weights", or empty where it has none.
        place: What stands behind the colon of its spec, in words, and is passed to `__init__`; empty for nothing.
    """

    joint: ClassVar[bool] = False
    size: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    checked: ClassVar[str] = ""
    place: ClassVar[str] = ""
    spec: str
    name: str
    dim: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: `[text, dim]` float32 with unit rows; no texts give `[0, dim]`.

        Raises:
            ValueError: A text cannot be embedded (it is empty, or the encoder does not know it); the message names it.
        """


class MissingVectors(BadClassName):
    """Texts that an encoder has no vector for.

    Attributes:
        spec: The encoder's spec.
        reasons: `{text: why, or what is near}`.
    """

    def __init__(self, spec: str, reasons: Mapping[str, str]) -> None:
        self.spec, self.reasons = spec, dict(reasons)
        shown = "; ".join(f"{text!r} ({why})" for text, why in list(self.reasons.items())[:_SHOWN])
        more = f"; and {len(self.reasons) - _SHOWN} more" if len(self.reasons) > _SHOWN else ""
        super().__init__(f"{spec} has no vector for: {shown}{more}. Give these classes other words.")


def unit_rows(vectors: Tensor, texts: Sequence[str], encoder: str = "this encoder") -> Tensor:
    """Scale rows `[text, dim]` to length 1. Raises ValueError naming a text whose vector is zero or not finite."""
    for text, size in zip(texts, vectors.norm(dim=1).tolist(), strict=True):
        if not 0.0 < size < float("inf"):
            why = "reword it" if size == 0 else "its weights are damaged"
            raise BadClassName(f"Text {text!r} has no direction in {encoder} (its vector has length {size}); {why}.")
    return F.normalize(vectors, dim=1)
