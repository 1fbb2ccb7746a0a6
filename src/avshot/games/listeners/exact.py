"""A listener that knows the scenes and makes no mistake, but may not know some kind of word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avshot.errors import BadSetting
from avshot.games.episode import Answer, Message, Sight
from avshot.games.listeners.listener import Listener
from avshot.games.scene import KIND_OF, KINDS, Thing, values_of


class Exact(Listener):
    """Chooses the picture in which more of the named values occur, or the object that has more of them.

    Where several are as good it tosses the episode's coin. With `ignores=color` it is the symbolic form of a
    colour-blind listener: a word of that kind tells it nothing. Words that are no value tell it nothing, either.
    """

    @dataclass(frozen=True)
    class Config:
        """What it does not know."""

        ignores: tuple[str, ...] = ()  # kinds of words: color, shape, material, size

        def __post_init__(self) -> None:
            unknown = [kind for kind in self.ignores if kind not in KINDS]
            if unknown:
                raise BadSetting(f"exact: ignores names {', '.join(unknown)}; kinds: {', '.join(KINDS)}.")

    def answer(self, sights: Sequence[Sight], messages: Sequence[Message]) -> list[Answer]:
        """One answer each. Raises ValueError where nobody knows what is in the pictures."""
        return [self._answer(sight, message) for sight, message in zip(sights, messages, strict=True)]

    def _answer(self, sight: Sight, message: Message) -> Answer:
        known = {w for w in message.words if w in KIND_OF and KIND_OF[w] not in self.config.ignores}
        if sight.game == "res":
            thing = best([len(known & set(thing.values)) for thing in sight.items[0].things], sight.coin)
            return Answer(mask=sight.items[0].picture.masks[thing])
        return Answer(choice=best([_present(known, item.things) for item in sight.items], sight.coin))


def _present(words: set[str], things: Sequence[Thing]) -> int:
    return len(words & values_of(things))


def best(scores: Sequence[float], coin: int) -> int:
    """Index of the highest score; of several equal ones that on which the coin falls."""
    highest = max(scores)
    tied = [i for i, score in enumerate(scores) if score == highest]
    return tied[coin % len(tied)]
