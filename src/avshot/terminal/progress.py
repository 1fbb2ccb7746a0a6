"""Progress of long work on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

QUIET_SECONDS = 15.0  # between two lines where there is no terminal


class Bar(Protocol):
    """Call with what is done, what there is in all, and optionally a few words."""

    def __call__(self, done: int, total: int, words: str = "") -> None:
        """Show the state."""


@contextmanager
def show_progress(title: str) -> Iterator[Bar]:
    """Yield a function that shows how far the work is; the last state stays on the screen."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None, words="")

        def bar(done: int, total: int, words: str = "") -> None:
            progress.update(task, completed=done, total=total, words=words)

        yield bar


class _Lines:
    """One line at the start, at the end, and at most every `QUIET_SECONDS`."""

    def __init__(self, title: str) -> None:
        self.title, self.last, self.started = title, 0.0, time.monotonic()

    def __call__(self, done: int, total: int, words: str = "") -> None:
        now = time.monotonic()
        if done < total and now - self.last < QUIET_SECONDS:
            return
        self.last = now
        passed = now - self.started
        left = f", about {passed / done * (total - done):.0f} s left" if 0 < done < total else ""
        print(f"{self.title}: {done}/{total} {words} ({passed:.0f} s{left})", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A sentence on standard error."""
    print(text, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """What a user should know, on standard error."""
    say(f"note: {text}")
