"""The text tower of WavCaps' CLAP: the space that `wavcaps` audio features lie in (ClipClap's class vectors for sound).

The checkpoint holds BERT's weights and no tokenizer; that of bert-base-uncased is taken from the hub, or from a folder:
`wavcaps:HTSAT-BERT-zero-shot.pt?tokenizer=FOLDER`. A text is the state at [CLS] of its first 30 tokens, through two
layers, at unit length (retrieval/models of XinhaoMei/WavCaps).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from avshot.classes.encoders._pretrained import BatchedEncoder
from avshot.errors import BadSetting, MissingFile
from avshot.files.hub import load_pretrained
from avshot.files.released import filled
from avshot.files.wavcaps import WavCaps, projection, read_wavcaps

_OPTION, _TOKENIZER = "?tokenizer=", "google-bert/bert-base-uncased"
_LONGEST = 30  # tokens
_HEAD = 64  # width of an attention head in every BERT


class WavCapsText(BatchedEncoder):
    """`wavcaps:<file>`, and `?tokenizer=<folder or id>` behind it where the hub is not to be asked."""

    joint: ClassVar[bool] = True
    place = "checkpoint file"
    licence: ClassVar[str] = "non-commercial research"
    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        self.spec, self.name = f"wavcaps:{place}", "wavcaps"
        self._path, _, tokenizer = place.partition(_OPTION)
        self._place = tokenizer or _TOKENIZER

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector; reads the file."""
        return self._weights.dim

    def _forward(self, texts: list[str]) -> Tensor:
        bert, project = self._model
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        if int(tokens["input_ids"].max()) >= bert.config.vocab_size:
            raise BadSetting(f"Text encoder {self.spec!r}: the tokenizer {self._place} does not belong to its weights.")
        with torch.inference_mode():
            state = bert(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
            return project(state[:, 0]).clone()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return load_pretrained(AutoTokenizer, self._place, f"The tokenizer of text encoder {self.spec!r}", "tokenizer")

    @cached_property
    def _weights(self) -> WavCaps:
        try:
            return read_wavcaps(self._path)
        except FileNotFoundError:
            raise MissingFile(f"Text encoder {self.spec!r}: there is no file {self._path}.") from None

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        from transformers import BertConfig, BertModel

        weights, tensors = self._weights, self._weights.text
        layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")}
        try:
            words, width = tensors["embeddings.word_embeddings.weight"].shape
            config = BertConfig(
                vocab_size=words,
                hidden_size=width,
                num_hidden_layers=len(layers),
                num_attention_heads=max(width // _HEAD, 1),
                intermediate_size=len(tensors["encoder.layer.0.intermediate.dense.bias"]),
                max_position_embeddings=len(tensors["embeddings.position_embeddings.weight"]),
                type_vocab_size=len(tensors["embeddings.token_type_embeddings.weight"]),
            )
        except (KeyError, ValueError) as error:
            raise BadSetting(
                f"{self._path} has no BERT whose sizes can be told ({error}); give it unchanged."
            ) from None
        bert = filled(BertModel(config, add_pooling_layer=False), tensors, self._path, "BERT of WavCaps")
        return bert, projection(weights.text_projection, self._path, "text_proj")
