"""Scoring clips with a trained method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.method import Method
from avshot.task import Scored, Trial
from avshot.training.clips import ClipSource
from avshot.training.finite import checked_scores
from avshot.types import Classes

SCORING_BATCH = 256  # clips scored at a time


@dataclass(frozen=True)
class Judged:
    """Clips to score, and among which classes.

    Attributes:
        source: The clips, labelled among `classes`.
        classes: The candidates.
        trials: Where not every clip is scored among all of them (`avshot.task.Stage.trials`).
        counts: `[class]` training clips of each.
    """

    source: ClipSource
    classes: Classes
    trials: tuple[Trial, ...] = ()
    counts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def scored(self, scores: Tensor) -> Scored:
        """These clips with their scores, as a task looks at them."""
        about, classes = tuple(self.source.ids), self.classes
        return Scored(scores, self.source.labels, classes.seen, classes.names, about, classes.factors, self.counts)


@torch.inference_mode()
def score_clips(model: Method, judged: Judged, view: str = "both") -> Tensor:
    """Scores `[clip, class]` of all judged clips on the CPU, in eval mode, a batch at a time.

    `view` is the modality to go by where a clip has it (see `Selection.views`). A class that is not among the
    candidates of a clip has -inf.

    Raises:
        ValueError: A score is NaN or infinite: no ranking follows from it. Or a clip is in no trial.
    """
    if not judged.trials:
        return _scores(model, judged.source, judged.classes, view)
    scores = torch.full((len(judged), len(judged.classes)), -torch.inf)
    for trial in judged.trials:
        columns = torch.tensor([judged.classes.index(name) for name in trial.classes], dtype=torch.long)
        rows = torch.as_tensor(trial.clips, dtype=torch.long)
        among = judged.classes.select(trial.classes)
        scores[rows[:, None], columns] = _scores(model, judged.source.only(trial.clips), among, view)
    lost = scores.isneginf().all(dim=1).nonzero().flatten().tolist()
    if lost:
        raise ValueError(f"Clip {judged.source.ids[lost[0]]!r} is scored among no classes: the task names none for it.")
    return scores


def _scores(model: Method, source: ClipSource, classes: Classes, view: str) -> Tensor:
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
