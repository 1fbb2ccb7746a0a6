"""Scoring clips, and judging a method after each epoch: which epoch, calibration and view to keep."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from avshot.calibration import exact_curve
from avshot.files.record import load_tensors, save_tensors
from avshot.finite import checked_scores
from avshot.method import Method, Recipe
from avshot.metrics import choose_beta, gzsl_metrics, standard_error
from avshot.train import ClipSource, Judgement
from avshot.types import Classes

SCORING_BATCH = 256  # clips scored at a time


@torch.inference_mode()
def score_clips(model: Method, source: ClipSource, classes: Classes, view: str = "both") -> Tensor:
    """Scores `[clip, class]` of all clips of `source` on the CPU, in eval mode, a batch at a time.

    `view` is the modality to go by where a clip has it (see `Recipe.views`).

    Raises:
        ValueError: A score is NaN or infinite: no ranking follows from it.
    """
    device, parts = model.device, []
    there, was_training = classes.to(device), model.training
    model.eval()
    for ids, features in source.parts(SCORING_BATCH):
        scores = model.score(features.prefer(view).to(device), there).cpu()
        parts.append(checked_scores(model.name, scores, features, classes, ids))
    model.train(was_training)
    return torch.cat(parts) if parts else torch.zeros(0, len(classes))


@torch.inference_mode()
def embed_clips(model: Method, source: ClipSource, classes: Classes, view: str = "both") -> dict[str, Tensor]:
    """Pooled inputs of all clips of `source`, and clip and class embeddings where the method has a joint space."""
    device, rows = model.device, []
    classes = classes.to(device)
    for i in range(0, len(source), SCORING_BATCH):
        features = source.features(slice(i, i + SCORING_BATCH))
        joint = model.embeddings(features.prefer(view).to(device), classes)
        row = dict(zip(("audio", "visual"), features.pooled(), strict=True))
        rows.append(row if joint is None else row | {"clip": joint[0].cpu(), "class": joint[1].cpu()})
    tensors = {key: torch.cat([row[key] for row in rows]) for key in rows[0] if key != "class"}
    return tensors | ({"class": rows[0]["class"]} if "class" in rows[0] else {})


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
