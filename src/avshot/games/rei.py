"""Reference game with two pictures: which of them did the speaker describe? Source: thesis, section 7.3.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.errors import BadDataset, BadSetting
from avshot.games.episode import Answer, Episode
from avshot.games.game import Game
from avshot.games.item import Item
from avshot.games.scene import KINDS, telling

_TRIES = 10_000


class Rei(Game):
    """Referential image identification. The reward is +1 for the right picture, -1 for the other and for no answer."""

    name = "rei"
    metric = "success"
    threshold = 0.0

    @dataclass(frozen=True)
    class Config:
        """What pairs must be like."""

        # Kinds of values (color, shape, material, size): pairs are drawn again until the target has a value of one of
        # them that the other picture lacks. Empty: any pair, as printed; then 8 % of pairs cannot be told apart by the
        # values that occur in them, and 68 % not without colours.
        differ: tuple[str, ...] = ()

        def __post_init__(self) -> None:
            unknown = [kind for kind in self.differ if kind not in KINDS]
            if unknown:
                raise BadSetting(f"rei: differ names {', '.join(unknown)}; kinds: {', '.join(KINDS)}.")

    def _episode(self, name: str, split: str, rng: np.random.Generator, side: int, place: int) -> Episode:
        target, other = self._pair(split, rng)
        items = (target, other) if side == 0 else (other, target)
        order = (0, 1) if place == side else (1, 0)
        return Episode(name, items, side, order, int(rng.integers(2**31)))

    def _pair(self, split: str, rng: np.random.Generator) -> tuple[Item, Item]:
        for _ in range(_TRIES):
            target, other = self.source.pair(rng, split)
            if not self.config.differ or telling(target.things, other.things, self.config.differ):
                return target, other
        raise BadDataset(f"rei: no pair in {_TRIES} differs in {', '.join(self.config.differ)}; ask for other kinds.")

    def reward(self, episode: Episode, answer: Answer) -> float:
        """+1 where the listener chose the place of the target, else -1."""
        return 1.0 if answer.choice == episode.place else -1.0

    def score(self, reward: float) -> float:
        """1 for success, 0 else."""
        return (reward + 1) / 2
