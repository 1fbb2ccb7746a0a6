"""The contract of a listener: what it sees and what it heard to what it understood."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avshot.games.episode import Answer, Message, Sight


class Listener(ABC):
    """A black box: the speaker learns nothing of it but rewards. The same input has the same answer."""

    @dataclass(frozen=True)
    class Config:
        """A listener without settings."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @abstractmethod
    def answer(self, sights: Sequence[Sight], messages: Sequence[Message]) -> list[Answer]:
        """What it understood of each message, in view of what it sees."""
