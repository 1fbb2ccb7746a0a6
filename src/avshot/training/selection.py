"""Judging a method after each epoch, and keeping the best."""

from __future__ import annotations

from pathlib import Path

import torch

from avshot.files.atomic import load_tensors, save_tensors
from avshot.method import Method, Selection
from avshot.task import Task, Verdict
from avshot.training.scoring import Judged, score_clips


class Judge:
    """Scores the judged clips after each epoch and keeps scores and weights of the best one in a file.

    The task says how good they are and what goes with it. The file makes a resume exact: it holds the best so far even
    when the process dies.
    """

    def __init__(self, judged: Judged, task: Task, selection: Selection, file: Path) -> None:
        self.judged, self.task, self.selection, self.file = judged, task, selection, file
        self.views = selection.scored if judged.source.modality == "both" else ("both",)
        self.best = float(load_tensors(file)[0]["best"]) if file.exists() else -1.0

    def __call__(self, model: Method) -> Verdict:
        """Score the judged clips in every view; keep scores and weights when this epoch is the best so far.

        A modality that cannot decide for itself with the method's settings is no view.
        """
        able = [view for view in self.views if view == "both" or view in model.decided_by] or ["both"]
        views = {view: self.judged.scored(score_clips(model, self.judged, view)) for view in able}
        verdict = self.task.select(views, self.selection)
        if verdict.score > self.best:
            self.best = verdict.score
            weights = {f"weights/{k}": v for k, v in model.state_dict().items()}
            best = torch.tensor(self.best, dtype=torch.float64)
            save_tensors(self.file, {"scores": views[verdict.settings["view"]].scores, "best": best} | weights)
        return verdict
