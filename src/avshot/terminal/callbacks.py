"""What callbacks look like through which long work speaks, and those of a caller who does not listen."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]  # is told sentences that a user should read
Progress = Callable[[str, int, int, dict[str, float]], None]  # (what is done, done, in all, numbers of the last step)


def unsaid(text: str) -> None:
    """Nobody listens; nothing that is said changes a number."""


def unshown(what: str, done: int, total: int, numbers: dict[str, float]) -> None:
    """Nobody looks."""
