"""The contract of a game: it draws episodes, shows them, and gives rewards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from avshot.errors import BadSetting
from avshot.games.episode import Answer, Episode, Sight
from avshot.games.sources.source import SPLITS, Source
from avshot.games.weaknesses.weakness import Weakness

_SEATS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (side of the target for the speaker, place for the listener)


class Game(ABC):
    """A game over a source.

    Attributes:
        name: Its name.
        metric: What the mean of its rewards, as `score` gives them, is called.
        threshold: A reward above it is a good one, for learners that know only good and bad.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    threshold: ClassVar[float]

    @dataclass(frozen=True)
    class Config:
        """A game without settings."""

    def __init__(self, source: Source, config: Any = None) -> None:
        self.source = source
        self.config: Any = self.Config() if config is None else config

    def draw(self, n: int, seed: int, split: str = "train", start: int = 0) -> list[Episode]:
        """Episodes `start` to `start + n` of a seed.

        An episode depends on seed, split and its number alone. Of episodes 4k to 4k + 3 each has another combination of
        the side on which the speaker sees the target and the place at which the listener sees it, so that who always
        answers the same is right in half of them.

        Raises:
            ValueError: No such split, or the source cannot give what the game needs.
        """
        if split not in SPLITS:
            raise BadSetting(f"There is no split {split!r}; splits: {', '.join(SPLITS)}.")
        return [self._drawn(i, seed, split) for i in range(start, start + n)]

    def _drawn(self, i: int, seed: int, split: str) -> Episode:
        stream = [seed, SPLITS.index(split)]
        seats = np.random.default_rng([*stream, i // 4, 1]).permutation(4)
        rng = np.random.default_rng([*stream, i, 0])
        side, place = _SEATS[seats[i % 4]]
        return self._episode(f"{split}/{seed}/{i}", split, rng, side, place)

    @abstractmethod
    def _episode(self, name: str, split: str, rng: np.random.Generator, side: int, place: int) -> Episode:
        """One episode; a game without sides takes no notice of `side` and `place`."""

    def speaker_sees(self, episode: Episode) -> Sight:
        """What the speaker is shown: clearly, with what is meant."""
        return Sight(episode.items, self.name, episode.target, coin=episode.coin)

    def listener_sees(self, episode: Episode, weakness: Weakness | None = None) -> Sight:
        """What the listener is shown: in its own order, through its weakness."""
        return Sight(tuple(episode.items[i] for i in episode.order), self.name, None, weakness, episode.coin)

    @abstractmethod
    def reward(self, episode: Episode, answer: Answer) -> float:
        """How well the listener understood."""

    def score(self, reward: float) -> float:
        """A reward as what is reported, from 0 to 1."""
        return reward

    def good(self, reward: float) -> bool:
        """Whether a reward is a good one, for learners that know only good and bad."""
        return reward > self.threshold
