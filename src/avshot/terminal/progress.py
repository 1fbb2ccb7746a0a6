"""Progress of long work on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from avshot.terminal.callbacks import Progress

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


@contextmanager
def show_trainings() -> Iterator[Progress]:
    """Yield what trainings tell how far they are: a bar for each stage; the last state of each stays on the screen."""
    with ExitStack() as stack:
        shown: dict[str, Bar] = {}

        def tell(what: str, done: int, total: int, numbers: dict[str, float]) -> None:
            if what not in shown:
                stack.close()
                shown.clear()
                shown[what] = stack.enter_context(show_progress(what))
            words = " ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v} {k}" for k, v in numbers.items())
            shown[what](done, total, words)

        yield tell


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
