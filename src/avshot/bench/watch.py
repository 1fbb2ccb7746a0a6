"""How far many trainings are, for who wants to be told: each on its own, or the epochs of all of them together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avshot.experiment import Experiment, resolve
from avshot.types import Progress, Say

_STAGES = 2  # of a training at least


def unsaid(text: str) -> None:
    """For a caller who does not listen."""


def unshown(what: str, done: int, total: int, numbers: dict[str, float]) -> None:
    """For a caller who does not look."""


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
    def all(self, told: Any, experiments: dict[Path, Experiment]) -> Iterator[Callable[[Path], None]]:
        """For trainings in worker processes, which put (folder, stage, done, in all) into the queue `told`.

        Yields what is to be called with the folder of a training that has ended.
        """
        tally = Tally({folder: resolve(experiment).recipe.epochs for folder, experiment in experiments.items()})

        def show() -> None:
            self.progress(f"{len(experiments)} trainings", *tally.epochs(), {"ended": len(tally.ended)})

        def listen() -> None:
            while (news := told.get()) is not None:
                tally.note(*news)
                show()

        def end(folder: Path) -> None:
            tally.ended.add(folder)
            show()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        show()
        try:
            yield end
        finally:
            told.put(None)
            listener.join(timeout=10)


class Tally:
    """How many epochs of some trainings are done, of how many in all.

    The stages to come count as many epochs as the recipe has until they begin: stage 1 chooses how many they are.

    Args:
        planned: Epochs of the recipe, by Run folder.

    Attributes:
        ended: Folders of the trainings that have ended; a caller adds to them.
    """

    def __init__(self, planned: dict[Path, int]) -> None:
        self.planned, self.ended = planned, set[Path]()
        self.begun: dict[Path, dict[str, tuple[int, int]]] = {folder: {} for folder in planned}

    def note(self, folder: Path, stage: str, done: int, total: int) -> None:
        """A stage of a training has done so many epochs."""
        self.begun[folder][stage] = (done, total)

    def epochs(self) -> tuple[int, int]:
        """(done, in all)."""
        done = total = 0
        for folder, planned in self.planned.items():
            stages = list(self.begun[folder].values())
            passed = sum(stage[0] for stage in stages)
            done += passed
            to_come = 0 if folder in self.ended else max(0, _STAGES - len(stages)) * planned
            total += passed if folder in self.ended else sum(stage[1] for stage in stages) + to_come
        return done, total
