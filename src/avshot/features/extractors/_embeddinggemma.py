"""What the two extractors of EmbeddingGemma 2 share: a sequence of tokens around what a tower saw or heard, its mean.

A picture or sound takes the place of so many tokens between two marks, with the tokenizer's own first and last token
around all of it; the states of all tokens are averaged, as for a text.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.features.extractors._windows import Windowed

SECONDS = 10.0


class GemmaWindows(Windowed):
    """Windows of a clip through EmbeddingGemma 2.

    Attributes:
        without: The tower that is not needed, and is not loaded: "vision_config" or "audio_config".
    """

    text: ClassVar[str] = "embeddinggemma"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "random weights"
    without: ClassVar[str]

    @property
    def dim(self) -> int:
        """Width of the joint space."""
        return int(self._config.text_config.embedding_dim)

    def scale_and_bias(self) -> None:
        """None: the released weights hold neither."""

    @property
    def _usual(self) -> float:
        return SECONDS

    def _mean(self, content: list[str], **inputs: Tensor) -> Tensor:
        """The averaged states of one sequence for each content, all as long as each other: `[sequence, dim]`."""
        ids = self._tokenizer(content, return_tensors="pt")["input_ids"].to(self.device)
        state = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).last_hidden_state
        return torch.mean(state.float(), dim=1)

    def _token(self, number: int) -> str:
        return str(self._tokenizer.convert_ids_to_tokens(int(number)))

    @cached_property
    def _config(self) -> Any:
        from transformers import EmbeddingGemma2Config

        return self._load(EmbeddingGemma2Config)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer)

    @cached_property
    def _model(self) -> Any:
        from transformers import EmbeddingGemma2Config, EmbeddingGemma2Model

        config = self._load(EmbeddingGemma2Config)
        setattr(config, self.without, None)
        return self._load_model(EmbeddingGemma2Model, config=config)
