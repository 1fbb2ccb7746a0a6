"""SigLIP's text tower: the space that SigLIP's pictures lie in.

A text is read in small letters and padded to the tower's whole length without a mask, as the model was trained: it is
pooled at the last token, so that a shorter padding would give another vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avshot.classes.encoders._pretrained import TextTower
from avshot.errors import BadSetting

_MODELS = {"siglip": "SiglipModel", "siglip2": "Siglip2Model"}  # siglip2: NaFlex alone


class SiglipText(TextTower):
    """`siglip:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("siglip", place)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector."""
        return int(self._config.text_config.projection_size)

    @property
    def _architecture(self) -> str:
        kind = self._config.model_type
        if kind not in _MODELS:
            raise BadSetting(f"Text encoder {self.spec!r} is of the kind {kind}; expected siglip or siglip2.")
        return _MODELS[kind]

    @property
    def _length(self) -> int:
        return int(self._config.text_config.max_position_embeddings)

    def _tokens(self, texts: list[str]) -> Any:
        small = [text.lower() for text in texts]
        return self._tokenizer(
            small,
            padding="max_length",
            padding_side="right",
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        )

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        with torch.inference_mode():
            return model.get_text_features(input_ids=tokens["input_ids"]).pooler_output.float().clone()
