"""Who is told how far trainings are: one in this process, or several in others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avshot.experiment import Experiment
from avshot.terminal.callbacks import Progress, Say

_STAGES = 2  # of a training at least
_PATIENCE = 10.0  # seconds for the last news


@dataclass(frozen=True)
class Watch:
    """Who is told how far the trainings are.

    Attributes:
        progress: Called with (which training and stage, epochs done, epochs in all, numbers).
        say: Told sentences.
    """

    progress: Progress
    say: Say

    def one(self, experiment: Experiment, count: int, total: int) -> Progress:
        """For a training in this process, the `count`th of `total`."""
        place = f"[{count}/{total}] " if total > 1 else ""

        def tell(stage: str, done: int, epochs: int, numbers: dict[str, float]) -> None:
            self.progress(f"{place}{experiment.label()} seed {experiment.seed}, {stage}", done, epochs, numbers)

        return tell

    @contextmanager
    def all(self, told: Any, planned: Mapping[Path, int]) -> Iterator[Callable[[Path], None]]:
        """For trainings in worker processes; yields what is to be called with the folder of one that has ended.

        One thread alone reads the news and shows them, and reads on where nobody can be shown anything any more:
        workers whose news nobody takes would never end.

        Args:
            told: A queue between processes into which workers put (folder, stage, epochs done, in all).
            planned: `{folder: epochs of a stage as its recipe says}`.

        Raises:
            Exception: What `progress` raised.
        """
        tally, failed = Tally(planned), list[Exception]()

        def show() -> None:
            numbers: dict[str, float] = {"ended": len(tally.ended)}
            self.progress(f"epochs of {len(planned)} trainings", *tally.epochs(), numbers)

        def listen() -> None:
            while (news := told.get()) is not None:
                tally.note(*news)
                if failed:
                    continue
                try:
                    show()
                except Exception as error:  # raised below, in the thread that asked
                    failed.append(error)

        listener = threading.Thread(target=listen, daemon=True)
        show()
        listener.start()
        try:
            yield lambda folder: told.put((folder, "", 0, 0))
        finally:
            told.put(None)
            listener.join(timeout=_PATIENCE)
            told.cancel_join_thread()  # a worker that was killed while it wrote has left the queue locked
        if failed:
            raise failed[0]


class Tally:
    """How many epochs of some trainings are done, of how many in all.

    The stages to come count as many epochs as the recipe has until they begin: stage 1 chooses how many they are.
    """

    def __init__(self, planned: Mapping[Path, int]) -> None:
        self.planned, self.ended = dict(planned), set[Path]()
        self.begun: dict[Path, dict[str, tuple[int, int]]] = {folder: {} for folder in planned}

    def note(self, folder: Path, stage: str, done: int, total: int) -> None:
        """A stage of a training has done so many epochs; without a stage: the training has ended."""
        if stage:
            self.begun[folder][stage] = (done, total)
        else:
            self.ended.add(folder)

    def epochs(self) -> tuple[int, int]:
        """(done, in all); of a training that has ended only what it did is counted."""
        done = total = 0
        for folder, planned in self.planned.items():
            stages = list(self.begun[folder].values())
            passed = sum(stage[0] for stage in stages)
            done += passed
            to_come = 0 if folder in self.ended else max(0, _STAGES - len(stages)) * planned
            total += passed if folder in self.ended else sum(stage[1] for stage in stages) + to_come
        return done, total
