"""Judging a method after each epoch, and keeping the best."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from avshot.files.atomic import load_tensors, save_tensors
from avshot.method import Method, Recipe
from avshot.metrics.generalised import choose_beta, gzsl_metrics, standard_error
from avshot.metrics.stacking import exact_curve
from avshot.task import Judgement
from avshot.training.clips import ClipSource
from avshot.training.scoring import score_clips
from avshot.types import Classes


class Judge:
    """Scores the judged clips after each epoch and keeps scores and weights of the best one in a file.

    The verdict is the harmonic mean at its best calibration, or plain mean class accuracy where seen or unseen clips
    are absent. The file makes a resume exact: it holds the best so far even when the process dies.
    """

    def __init__(self, source: ClipSource, classes: Classes, recipe: Recipe, file: Path) -> None:
        self.source, self.classes, self.grid, self.file = source, classes, recipe.beta_grid, file
        self.views = recipe.views if source.modality == "both" else ("both",)
        seen = classes.seen[source.labels]
        self.both = bool(seen.any()) and not bool(seen.all())
        self.best = float(load_tensors(file)[0]["best"]) if file.exists() else -1.0

    def __call__(self, model: Method) -> Judgement:
        """Score the judged clips in every view; keep scores and weights when this epoch is the best so far."""
        found = {view: score_clips(model, self.source, self.classes, view) for view in self.views}
        judgement = self._trusted({view: self._verdict(scores, view) for view, scores in found.items()}, found)
        scores = found[judgement.view]
        if judgement.score > self.best:
            self.best = judgement.score
            weights = {f"weights/{k}": v for k, v in model.state_dict().items()}
            best = torch.tensor(self.best, dtype=torch.float64)
            save_tensors(self.file, {"scores": scores, "best": best} | weights)
        return judgement

    def _trusted(self, verdicts: dict[str, Judgement], scores: dict[str, Tensor]) -> Judgement:
        """The best view, or the best single modality if that is within a standard error: less can mislead."""
        best = max(verdicts.values(), key=lambda verdict: verdict.score)
        if best.view != "both" or not self.both or len(verdicts) == 1:
            return best
        labels, seen = self.source.labels, self.classes.seen
        error = standard_error(exact_curve(scores["both"], labels, seen), labels, seen)
        single = max((v for v in verdicts.values() if v.view != "both"), key=lambda verdict: verdict.score)
        return single if single.score >= best.score - error else best

    def _verdict(self, scores: Tensor, view: str) -> Judgement:
        labels, seen = self.source.labels, self.classes.seen
        if self.both:
            beta, hm = choose_beta(scores, labels, seen, self.grid)
            return Judgement(hm, beta, view)
        metrics = gzsl_metrics(scores, labels, seen, 0.0)
        return Judgement(metrics["S"] if metrics["U"] is None else metrics["U"], 0.0, view)
