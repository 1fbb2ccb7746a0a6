"""EmbeddingGemma 2's text side: the space that its sounds and videos lie in; the mean of the states of all tokens.

The model was trained with a sentence in front that names the task, and works without:
`embeddinggemma:google/embeddinggemma-2?instruction=task: search result | query: `.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avshot.classes.encoders._pretrained import TextTower

_OPTION = "?instruction="
_LONGEST = 8192  # tokens


class EmbeddingGemma(TextTower):
    """`embeddinggemma:<Hugging Face id or folder>`, and `?instruction=<text>` behind it; see `TextTower`."""

    def __init__(self, place: str) -> None:
        where, _, self._instruction = place.partition(_OPTION)
        super().__init__("embeddinggemma", where)
        self.spec = f"embeddinggemma:{place}"

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector."""
        return int(self._config.text_config.embedding_dim)

    @property
    def _architecture(self) -> str:
        return "EmbeddingGemma2Model"

    @property
    def _loading(self) -> dict[str, Any]:
        """The towers for pictures and sounds are left where they are."""
        from transformers import EmbeddingGemma2Config

        config = self._load(EmbeddingGemma2Config)
        config.vision_config = config.audio_config = None
        return {"config": config}

    def _used(self, key: str) -> bool:
        return True

    @property
    def _length(self) -> int:
        return min(super()._length, _LONGEST)

    def _tokens(self, texts: list[str]) -> Any:
        return super()._tokens([self._instruction + text for text in texts])

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        with torch.inference_mode():
            kept = {key: tokens[key] for key in ("input_ids", "attention_mask")}
            state, real = model(**kept).last_hidden_state.float(), tokens["attention_mask"][:, :, None].float()
            return ((state * real).sum(dim=1) / real.sum(dim=1)).clone()
