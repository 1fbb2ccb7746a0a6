"""Text towers through transformers: of joint models and sentence encoders, from a Hugging Face id or a local folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from avshot.classes.encoder import TextEncoder, unit_rows
from avshot.errors import BadClassName, BadSetting
from avshot.files.hub import load_pretrained

_BATCH = 64  # texts through the model at once
_WITHOUT_POSITIONS = 512  # tokens for models with relative positions (T5), which would take any number
_NO_LIMIT = 100_000  # tokenizers without a length of their own name a huge number


class BatchedEncoder(TextEncoder):
    """A text encoder whose model takes some texts at a time."""

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Embed texts; see `TextEncoder.encode`."""
        if not all(text.strip() for text in texts):
            raise BadClassName("Got an empty text; describe every class in words.")
        parts = [self._forward(list(texts[start : start + _BATCH])) for start in range(0, len(texts), _BATCH)]
        return unit_rows(torch.cat(parts), texts, self.spec) if parts else torch.zeros(0, self.dim)

    @abstractmethod
    def _forward(self, texts: list[str]) -> Tensor:
        """Some texts, none empty, as `[text, dim]` of any length."""


class TextTower(BatchedEncoder):
    """A transformer's text embedding. Texts beyond the model's length (CLIP: 77 tokens) are cut there.

    Args:
        kind: Name of the encoder. "clip" and "clap" are read here (projected text feature, in the space shared with the
            other modality); other kinds say in their files what differs.
        place: Hugging Face id, or a folder with model and tokenizer. No code from it is run.
    """

    place = "file, folder or id"

    def __init__(self, kind: str, place: str) -> None:
        self.spec, self.name = f"{kind}:{place}", kind
        self._kind, self._place = kind, place

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector; reads the model's configuration."""
        return int(self._config.projection_dim)

    def _forward(self, texts: list[str]) -> Tensor:
        model, _ = self._model, (self._tokenizer, self._length)  # what is wrong with one is said of that one
        try:
            return self._pooled(model, self._tokens(texts))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise BadSetting(
                f"Text encoder {self.spec!r} cannot embed what its tokenizer makes ({reason}); the tokenizer and the "
                "weights do not belong together."
            ) from error

    def _tokens(self, texts: list[str]) -> Any:
        """Some texts as the tokenizer's tensors."""
        return self._tokenizer(texts, padding=True, truncation=True, max_length=self._length, return_tensors="pt")

    def _pooled(self, model: Any, tokens: Any) -> Tensor:
        """The embedding of each text, not yet of unit length: `[text, dim]`."""
        with torch.inference_mode():
            kept = {key: tokens[key] for key in ("input_ids", "attention_mask")}
            return model.get_text_features(**kept).pooler_output.float().clone()

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        return self._load(AutoConfig)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._load(AutoTokenizer)

    @property
    def _architecture(self) -> str:
        """The class of transformers."""
        return {"clip": "CLIPModel", "clap": "ClapModel"}[self._kind]

    @property
    def _loading(self) -> dict[str, Any]:
        """Further arguments of `from_pretrained`."""
        return {}

    @cached_property
    def _model(self) -> Any:
        import transformers

        kind = getattr(transformers, self._architecture)
        # As numbers of 32 bits, whatever the checkpoint holds: those of 16 are slow on a CPU, and some models overflow.
        model, info = self._load(kind, output_loading_info=True, dtype=torch.float32, **self._loading)
        self._refuse(key for key in info["missing_keys"] if self._used(key))
        return model.eval()

    def _refuse(self, lacking: Iterable[str]) -> None:
        """Raise for weights that a checkpoint lacks: transformers fills them with random numbers."""
        names = sorted(lacking)
        if names:
            raise BadSetting(
                f"Text encoder {self.spec!r} lacks {len(names)} of its weights ({', '.join(names[:3])}); give the "
                "whole checkpoint of such a model."
            )

    def _used(self, key: str) -> bool:
        return key.startswith("text_")

    @property
    def _length(self) -> int:
        """Longest text in tokens."""
        stated = self._tokenizer.model_max_length
        if stated < _NO_LIMIT:
            return int(stated)
        text = getattr(self._config, "text_config", self._config)
        # RoBERTa (CLAP's tower) counts positions from its padding index on.
        offset = (text.pad_token_id or 0) + 1 if text.model_type in ("roberta", "xlm-roberta", "clap_text_model") else 0
        return int(getattr(text, "max_position_embeddings", _WITHOUT_POSITIONS)) - offset

    def _load(self, kind: Any, **more: Any) -> Any:
        return load_pretrained(kind, self._place, f"Text encoder {self.spec!r}", "tokenizer", **more)
