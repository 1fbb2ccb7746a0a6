"""Class vectors from a language model such as LLaMA: the mean of its last hidden states over the tokens of a text.

EZ-AVGZL (Mo and Morgado, ECCV 2024, Table 7) takes LLaMA's vectors and does not say how a text becomes one. The mean is
over the words' tokens alone: at the first token, which every text begins with, such models put states that are far
longer than all others and the same for any text (Sun et al., COLM 2024, https://arxiv.org/abs/2402.17762).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.classes.encoders._pretrained import TextTower
from avshot.errors import BadClassName, BadSetting


class LlamaText(TextTower):
    """`llama:<Hugging Face id or folder>`: any decoder of transformers that has hidden states; see `TextTower`."""

    licence: ClassVar[str] = "Llama licence, or that of the model that is named"
    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        super().__init__("llama", place)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a hidden state."""
        return int(getattr(self._config, "text_config", self._config).hidden_size)

    @property
    def _architecture(self) -> str:
        return "AutoModel"

    def _used(self, key: str) -> bool:
        return True

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = self._load(AutoTokenizer)
        if tokenizer.pad_token is None:  # LLaMA has none; what stands there is not looked at
            if tokenizer.eos_token is None:
                raise BadSetting(f"Text encoder {self.spec!r}: its tokenizer has neither padding nor an end of text.")
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"  # so that a text has the same positions whatever stands beside it
        return tokenizer

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        ids, real = tokens["input_ids"], tokens["attention_mask"]
        special = torch.isin(ids, torch.tensor(self._tokenizer.all_special_ids))
        kept = (real.bool() & ~special)[:, :, None]
        if not bool(kept.any(dim=1).all()):
            raise BadClassName(f"Text encoder {self.spec!r} finds no words in a text; describe every class in words.")
        with torch.inference_mode():
            state = model(input_ids=ids, attention_mask=real).last_hidden_state.float()
            return ((state * kept).sum(dim=1) / kept.sum(dim=1)).clone()
