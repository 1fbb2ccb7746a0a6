"""A speaker that says nothing: what a listener reaches by guessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avshot.games.episode import Message, Sight
from avshot.games.speakers.speaker import Speaker

if TYPE_CHECKING:
    import torch


class Silent(Speaker):
    """The empty message."""

    def say(self, sights: Sequence[Sight], generator: torch.Generator | None = None) -> list[Message]:
        """Nothing, for each sight."""
        return [Message("") for _ in sights]
