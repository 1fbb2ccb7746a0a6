"""CLIP's text tower: the space that CLIP's pictures lie in."""

from __future__ import annotations

from typing import ClassVar

from avshot.classes.encoders._pretrained import TextTower


class ClipText(TextTower):
    """`clip:<Hugging Face id or folder>`; see `TextTower`."""

    joint: ClassVar[bool] = True
    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        super().__init__("clip", place)
