"""What people said of an object, where the source knows (RefCOCO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avshot.errors import BadDataset
from avshot.games.episode import Message, Sight
from avshot.games.speakers.speaker import Speaker

if TYPE_CHECKING:
    import torch


class Human(Speaker):
    """The first sentence of each object (our choice: the thesis does not say which of several)."""

    def say(self, sights: Sequence[Sight], generator: torch.Generator | None = None) -> list[Message]:
        """The sentence. Raises ValueError where there is none."""
        return [Message(_sentence(sight)) for sight in sights]


def _sentence(sight: Sight) -> str:
    said = sight.items[0].sentences
    target = sight.target or 0
    if sight.game != "res" or len(said) <= target or not said[target]:
        raise BadDataset(f"Nobody described an object of {sight.items[0].id}; play `res` over a source with sentences.")
    return said[target][0]
