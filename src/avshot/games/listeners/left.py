"""A listener that does not listen."""

from __future__ import annotations

from collections.abc import Sequence

from avshot.games.episode import Answer, Message, Sight
from avshot.games.listeners.listener import Listener


class Left(Listener):
    """Always the left picture, or the first object: a row to compare with."""

    def answer(self, sights: Sequence[Sight], messages: Sequence[Message]) -> list[Answer]:
        """The same for every message."""
        return [
            Answer(mask=sight.items[0].picture.masks[0]) if sight.game == "res" else Answer(choice=0)
            for sight in sights
        ]
