"""What tasks share whose candidates are classes with many training clips and classes with none or a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from avshot.data.dataset import Dataset
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.metrics.generalised import standard_error
from avshot.metrics.stacking import exact_curve
from avshot.recipe import Selection
from avshot.task import Scored, Verdict

FEW = 20  # clips of seen, or of unseen classes, below which they do not choose a modality

# Folds whose classes must not meet: a class of the right-hand folds counts as unseen when those on the left were
# trained on. `test_seen` may hold classes of `val_unseen`: stage 2 trains on both.
_DISJOINT = (
    ("val_unseen", ("train", "val_seen")),
    ("test_unseen", ("train", "val_seen", "val_unseen", "test_seen")),
)


def best_view(views: Mapping[str, Scored], selection: Selection, judged: Callable[[Scored, str], Verdict]) -> Verdict:
    """What the best view chooses, or the best single modality if that is within a standard error: less can mislead.

    With `Selection.mean_beta` both decide, calibrated by the mean of what each view would choose. Both decide as well
    where fewer than `FEW` seen or unseen clips judge: with so few any view looks as good as the others.

    Args:
        views: The scores by what the method was shown.
        selection: What the preset lets be chosen.
        judged: The scores of a view, and its name, to what validation says of it; its settings have a `beta`.
    """
    if "both" in views and _few(views["both"]) and not selection.mean_beta:
        views = {"both": views["both"]}
    verdicts = {view: judged(scored, view) for view, scored in views.items()}
    if selection.mean_beta:
        beta = sum(verdict.settings["beta"] for verdict in verdicts.values()) / len(verdicts)
        return Verdict(verdicts["both"].score, {**verdicts["both"].settings, "beta": beta})
    best = max(verdicts.values(), key=lambda verdict: verdict.score)
    if best.settings["view"] != "both" or len(views) == 1 or not both_kinds(views["both"]):
        return best
    both = views["both"]
    error = standard_error(exact_curve(both.scores, both.labels, both.seen), both.labels, both.seen)
    single = max((v for view, v in verdicts.items() if view != "both"), key=lambda verdict: verdict.score)
    return single if single.score >= best.score - error else best


def _few(scored: Scored) -> bool:
    """There are too few clips of seen or of unseen classes to choose a modality by, where there are any of the kind."""
    seen = int(scored.seen[scored.labels].sum())
    return 0 < seen < FEW or 0 < len(scored.labels) - seen < FEW


def both_kinds(scored: Scored) -> bool:
    """Clips of seen and of unseen classes are there."""
    seen = scored.seen[scored.labels]
    return bool(seen.any()) and not bool(seen.all())


def clips_of(dataset: Dataset, folds: Iterable[str]) -> np.ndarray:
    """`[clip]` indices of all clips in these folds, those that are there."""
    return np.concatenate([np.asarray(dataset.folds.get(fold, ()), dtype=np.int64) for fold in folds])


def classes_of(dataset: Dataset, folds: Iterable[str]) -> list[str]:
    """The classes of these folds, those that are there; each once."""
    return list(dict.fromkeys(c for fold in folds if fold in dataset.folds for c in dataset.classes_of(fold)))


def with_clips(dataset: Dataset, folds: Iterable[str]) -> tuple[str, ...]:
    """Those of these folds that have clips."""
    return tuple(fold for fold in folds if len(dataset.folds.get(fold, ())))


def check_folds(dataset: Dataset, folds: Iterable[str]) -> None:
    """Refuse folds that share what they must not share.

    Args:
        dataset: Has the folds.
        folds: Those of which a clip may be in one alone.

    Raises:
        ValueError: There are no training clips, a clip is in two folds, or an unseen class in a training fold.
    """
    if len(dataset.folds.get("train", ())) == 0:
        raise BadDataset(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
    taken: dict[int, str] = {}
    for fold in folds:
        for i in dataset.folds[fold].tolist():
            if i in taken:
                clip = dataset.clips[i].id
                raise BadDataset(f"Clip {clip!r} is in fold {taken[i]!r} and in {fold!r}; expected one fold.")
            taken[i] = fold
    for unseen, others in _DISJOINT:
        for seen in others:
            if unseen in dataset.folds and seen in dataset.folds:
                both = set(dataset.classes_of(unseen)) & set(dataset.classes_of(seen))
                if both:
                    shared = first_few(sorted(both))
                    raise BadDataset(f"Classes in fold {unseen!r} and in {seen!r}, which must not share any: {shared}.")


def guessers(seen: int, unseen: int) -> dict[str, dict[str, Any]]:
    """Two that look at nothing, by the names of `avshot.metrics.generalised.gzsl_metrics`.

    Chance has 1/C for S and U, 1/(unseen) for ZSL; a guesser that says "seen" with probability p has S = p / seen,
    U = (1 - p) / unseen: a straight line, under which lies 1 / (2 * seen * unseen). The other says the commonest
    training class, or where only unseen ones are candidates, always the same of them: S is 1/seen, U and HM are 0, ZSL
    is 1/unseen, however uneven the classes are.
    """
    n = max(seen + unseen, 1)
    chance = {
        "S": 1 / n,
        "U": 1 / n,
        "HM": 1 / n,
        "ZSL": 1 / max(unseen, 1),
        "AUSUC": 1 / max(2 * seen * unseen, 1),
    }
    majority = {"S": 1 / max(seen, 1), "U": 0.0, "HM": 0.0, "ZSL": 1 / max(unseen, 1)}
    return {"chance": chance, "majority": majority}
