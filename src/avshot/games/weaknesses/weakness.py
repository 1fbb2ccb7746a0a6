"""The contract of a weakness: a picture in, a picture of the same size out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from avshot.games.item import Pixels


class Weakness(ABC):
    """What one listener does not see. The size stays, so that boxes and masks keep their meaning."""

    @dataclass(frozen=True)
    class Config:
        """A weakness without settings."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @abstractmethod
    def apply(self, pixels: Pixels) -> Pixels:
        """The picture `[height, width, 3]` as the listener sees it."""
