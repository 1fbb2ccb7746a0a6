"""VideoPrism-CLIP's text tower: the space that VideoPrism's videos lie in.

Texts are padded to the tower's whole length (64 tokens), as in training; the padding is masked.
"""

from __future__ import annotations

from typing import Any

from avshot.classes.encoders._pretrained import TextTower


class VideoPrismText(TextTower):
    """`videoprism:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("videoprism", place)

    @property
    def dim(self) -> int:  # type: ignore[override]
        """Width of a vector."""
        return int(self._config.text_config.hidden_size)

    @property
    def _architecture(self) -> str:
        return "VideoPrismClipModel"

    @property
    def _length(self) -> int:
        return int(self._config.text_config.max_position_embeddings)

    def _tokens(self, texts: list[str]) -> Any:
        return self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        )
