"""Sentence encoders: the mean of the last hidden states over real tokens."""

from __future__ import annotations

from avshot.classes.encoders._pretrained import TextTower


class Sentence(TextTower):
    """`sentence:<Hugging Face id or folder>`; see `TextTower`."""

    def __init__(self, place: str) -> None:
        super().__init__("sentence", place)
