"""Judging a method after each epoch, and keeping the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.files.atomic import load_tensors, save_tensors
from avshot.method import Method, Selection
from avshot.task import Scored, Task, Verdict
from avshot.training.scoring import Judged, score_clips


class Judge:
    """Scores the judged clips after each epoch and keeps scores and weights of the best one in a file.

    The task says how good they are and what goes with it. The file makes a resume exact: it holds the best so far even
    when the process dies. A training in several stretches (`avshot.recipe.stretches`) has a file for each (`file_of`).
    """

    def __init__(self, judged: Judged, task: Task, selection: Selection, file: Path) -> None:
        self.judged, self.task, self.selection, self._first = judged, task, selection, file
        self.views = selection.scored if judged.source.modality == "both" else ("both",)
        self.go_on(0, "")

    def begin(self, number: int, by: str) -> None:
        """Begin stretch `number`, to be judged by the metric `by`; empty for the task's own rule.

        Raises:
            ValueError: The task has no such metric.
        """
        file_of(self._first, number).unlink(missing_ok=True)  # killed in its first epoch
        self.go_on(number, by)

    def go_on(self, number: int, by: str) -> None:
        """Go on with stretch `number`, which was begun before."""
        if by and by not in self.task.metrics:
            raise BadSetting(
                f"The method chooses the epochs of a phase by {by}, and the task {self.task.name} measures "
                f"{', '.join(self.task.metrics)}; train it for a task that has {by}."
            )
        self.file, self.by = file_of(self._first, number), by
        self.best = float(load_tensors(self.file)[0]["best"]) if self.file.exists() else -1.0

    def best_weights(self) -> dict[str, Tensor]:
        """The weights of the best epoch of this stretch."""
        return weights_in(self.file)

    def __call__(self, model: Method) -> Verdict:
        """Score the judged clips in every view; keep scores and weights when this epoch is the best so far.

        A modality that cannot decide for itself with the method's settings is no view.
        """
        able = [view for view in self.views if view == "both" or view in model.decided_by] or ["both"]
        views = {view: self.judged.scored(score_clips(model, self.judged, view)) for view in able}
        verdict = self._by_metric(views["both"]) if self.by else self.task.select(views, self.selection)
        if verdict.score > self.best:
            self.best = verdict.score
            weights = {f"{_WEIGHTS}{k}": v for k, v in model.state_dict().items()}
            best = torch.tensor(self.best, dtype=torch.float64)
            save_tensors(self.file, {"scores": views[verdict.settings["view"]].scores, "best": best} | weights)
        return verdict

    def _by_metric(self, scored: Scored) -> Verdict:
        found = self.task.measure(scored, self.task.neutral)
        return Verdict(float(found[self.by] or 0.0), self.task.neutral)


_WEIGHTS = "weights/"


def file_of(first: Path, number: int) -> Path:
    """The file of stretch `number`, given that of the first one."""
    return first.with_stem(f"{first.stem}-{number}") if number else first


def last_file(first: Path, starts: Sequence[int]) -> Path:
    """The file of the last stretch that was begun (`avshot.training.checkpoint.History.starts`)."""
    return file_of(first, max(len(starts) - 1, 0))


def weights_in(file: Path) -> dict[str, Tensor]:
    """The weights in a file of a `Judge`."""
    tensors = load_tensors(file)[0]
    return {key.removeprefix(_WEIGHTS): value for key, value in tensors.items() if key.startswith(_WEIGHTS)}
