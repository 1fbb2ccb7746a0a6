"""The contract of a source: pairs of items, and single items with an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.errors import BadSetting
from avshot.games.item import Item

SPLITS = ("train", "val", "test")  # the speaker learns on train; the guard looks at val; test is for the figures


class Source:
    """Gives what games are played over. A source defines `pair`, `single` or both.

    Built from its place (a folder or file; empty where it needs none) and its `Config`.
    """

    @dataclass(frozen=True)
    class Config:
        """A source without settings."""

    def __init__(self, place: str = "", config: Any = None) -> None:
        self.place = place
        self.config: Any = self.Config() if config is None else config

    def pair(self, rng: np.random.Generator, split: str) -> tuple[Item, Item]:
        """Two items, the first of which is to be the target. Raises ValueError where the source has no pairs."""
        raise BadSetting(f"The source {type(self).__name__.lower()} has no pairs of pictures; play `res` over it.")

    def single(self, rng: np.random.Generator, split: str) -> tuple[Item, int]:
        """An item and the index of one of its objects. Raises ValueError where the source knows of no objects."""
        raise BadSetting(f"The source {type(self).__name__.lower()} knows of no objects; play `rei` over it.")
