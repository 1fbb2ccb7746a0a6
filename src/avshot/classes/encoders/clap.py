"""CLAP's text tower: the space that CLAP's sounds lie in."""

from __future__ import annotations

from typing import ClassVar

from avshot.classes.encoders._pretrained import TextTower


class ClapText(TextTower):
    """`clap:<Hugging Face id or folder>`; see `TextTower`."""

    joint: ClassVar[bool] = True
    checked: ClassVar[str] = "random weights"

    def __init__(self, place: str) -> None:
        super().__init__("clap", place)
