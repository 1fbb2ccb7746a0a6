"""The true speaker: it knows the scene and names what tells the target apart (thesis, section 7.4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avshot.errors import BadSetting
from avshot.games.episode import Message, Sight
from avshot.games.scene import KIND_OF, KINDS, telling
from avshot.games.speakers.speaker import Speaker

if TYPE_CHECKING:
    import torch


class TrueSpeaker(Speaker):
    """In `rei` every value that occurs in the target and not in the other picture; in `res` all values of the object.

    Where nothing tells the two apart it says nothing: the message is empty, and `play` reports how often that was.
    """

    @dataclass(frozen=True)
    class Config:
        """What it may speak of."""

        without: tuple[str, ...] = ()  # kinds that are left out: color, shape, material, size

        def __post_init__(self) -> None:
            unknown = [kind for kind in self.without if kind not in KINDS]
            if unknown:
                raise BadSetting(f"true: without names {', '.join(unknown)}; kinds: {', '.join(KINDS)}.")

    def say(self, sights: Sequence[Sight], generator: torch.Generator | None = None) -> list[Message]:
        """Values, separated by spaces. Raises ValueError where nobody knows what is in the pictures."""
        return [Message(" ".join(self._values(sight))) for sight in sights]

    def _values(self, sight: Sight) -> tuple[str, ...]:
        kinds = tuple(kind for kind in KINDS if kind not in self.config.without)
        target = sight.target or 0
        if sight.game == "res":
            return tuple(v for v in sight.items[0].things[target].values if KIND_OF[v] in kinds)
        return telling(sight.items[target].things, sight.items[1 - target].things, kinds)
