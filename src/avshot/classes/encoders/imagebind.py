"""ImageBind's text tower: the space that its pictures and sounds lie in.

The checkpoint is a file, and holds no tokenizer; CLIP's is taken from the hub, or from a folder:
`imagebind:imagebind_huge.pth?tokenizer=FOLDER`. A text is the state at its last token, of at most 77.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from avshot.classes.encoders._pretrained import BatchedEncoder
from avshot.errors import BadSetting, MissingFile
from avshot.files.hub import load_pretrained
from avshot.files.imagebind import Tower, read_tower

_OPTION, _TOKENIZER = "?tokenizer=", "openai/clip-vit-base-patch32"


class ImageBindText(BatchedEncoder):
    """`imagebind:<file>`, and `?tokenizer=<folder or id>` behind it where the hub is not to be asked."""

    place = "checkpoint file"

    def __init__(self, place: str) -> None:
        self.spec, self.name = f"imagebind:{place}", "imagebind"
        self._path, _, tokenizer = place.partition(_OPTION)
        self._place = tokenizer or _TOKENIZER

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector; reads the file."""
        return self._model.dim

    def _forward(self, texts: list[str]) -> Tensor:
        options = {"padding": True, "padding_side": "right", "truncation": True, "max_length": self._model.places}
        tokens = self._tokenizer(texts, return_tensors="pt", **options)
        if int(tokens["input_ids"].max()) >= self._model.words:
            raise BadSetting(f"Text encoder {self.spec!r}: the tokenizer {self._place} does not belong to its weights.")
        with torch.inference_mode():
            return self._model(tokens["input_ids"], last=tokens["attention_mask"].sum(dim=1) - 1).clone()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return load_pretrained(AutoTokenizer, self._place, f"The tokenizer of text encoder {self.spec!r}", "tokenizer")

    @cached_property
    def _model(self) -> Tower:
        try:
            return read_tower(self._path, "text")
        except FileNotFoundError:
            raise MissingFile(f"Text encoder {self.spec!r}: there is no file {self._path}.") from None
