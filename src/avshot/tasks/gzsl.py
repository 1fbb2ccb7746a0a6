"""Generalised zero-shot learning: recognise classes without training clips among those that have some.

Stage 1 trains on `train` and is judged on `val_seen` + `val_unseen`. Stage 2 trains on all three and is judged once on
`test_seen` + `test_unseen`. Source: Mercea et al. (AVCA), CVPR 2022, section 4.1; Xian et al., TPAMI 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.metrics.generalised import choose_beta, gzsl_metrics, standard_error, why_absent
from avshot.metrics.stacking import exact_curve
from avshot.recipe import Selection
from avshot.task import Metrics, Scored, Stage, Task, Verdict

# Folds whose classes must not meet: a class of the right-hand folds counts as unseen when those on the left were
# trained on. `test_seen` may hold classes of `val_unseen`: stage 2 trains on both.
_DISJOINT = (
    ("val_unseen", ("train", "val_seen")),
    ("test_unseen", ("train", "val_seen", "val_unseen", "test_seen")),
)


FEW = 20  # clips of seen, or of unseen classes, below which they do not choose a modality


class GZSL(Task):
    """Seen and unseen classes are candidates together; the harmonic mean of their accuracies counts."""

    metrics = ("S", "U", "HM", "ZSL", "AUSUC")
    main = "HM"
    explain = (
        "S and U are mean per-class accuracies on seen and unseen classes when both are candidates, HM is their "
        "harmonic mean, ZSL the accuracy on unseen classes when only those are candidates, AUSUC the area under S as a "
        "function of U over all calibrations (0 to 100 here). Mean ± sample deviation over seeds. Epoch and "
        "calibration (beta, subtracted from the scores of seen classes) were chosen on the folds named in the last "
        "column."
    )
    neutral: ClassVar[Mapping[str, Any]] = {"beta": 0.0, "view": "both"}
    harmonic = True

    def stages(self, dataset: Dataset) -> tuple[Stage, ...]:
        """Cut a dataset into the two stages.

        A dataset without validation folds gives a stage 1 with nothing to judge (the recipe's epochs are then taken as
        they are and beta is 0); one without test folds gives a stage 2 with nothing to judge.

        Raises:
            ValueError: There are no training clips, a clip is in two folds, or an unseen class in a training fold.
        """
        if len(dataset.folds.get("train", ())) == 0:
            raise BadDataset(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
        _check_clips(dataset)
        _check_classes(dataset)
        return (
            _stage(dataset, "stage1", ("train",), ("val_seen", "val_unseen")),
            _stage(dataset, "stage2", ("train", "val_seen", "val_unseen"), ("test_seen", "test_unseen")),
        )

    def measure(self, scored: Scored, settings: Mapping[str, Any]) -> dict[str, Any]:
        """S, U, HM, ZSL, AUSUC; with `beta`, `per_class` and `without_clips` (`metrics.generalised.gzsl_metrics`)."""
        return gzsl_metrics(scored.scores, scored.labels, scored.seen, settings["beta"])

    def select(self, views: Mapping[str, Scored], selection: Selection) -> Verdict:
        """The harmonic mean at its best calibration, or plain accuracy where seen or unseen clips are absent.

        Of several views the best, or the best single modality if that is within a standard error: less can mislead.
        With `Selection.mean_beta` both decide, calibrated by the mean of what each view would choose. Both decide as
        well where fewer than `FEW` seen or unseen clips judge: with so few any view looks as good as the others.
        """
        if "both" in views and _few(views["both"]) and not selection.mean_beta:
            views = {"both": views["both"]}
        verdicts = {view: self._judged(scored, view, selection.beta_grid) for view, scored in views.items()}
        if selection.mean_beta:
            beta = sum(verdict.settings["beta"] for verdict in verdicts.values()) / len(verdicts)
            return Verdict(verdicts["both"].score, {"beta": beta, "view": "both"})
        best = max(verdicts.values(), key=lambda verdict: verdict.score)
        if best.settings["view"] != "both" or len(views) == 1 or not _both(views["both"]):
            return best
        both = views["both"]
        error = standard_error(exact_curve(both.scores, both.labels, both.seen), both.labels, both.seen)
        single = max((v for view, v in verdicts.items() if view != "both"), key=lambda verdict: verdict.score)
        return single if single.score >= best.score - error else best

    def _judged(self, scored: Scored, view: str, grid: str) -> Verdict:
        if _both(scored):
            beta, hm = choose_beta(scored.scores, scored.labels, scored.seen, grid)
            return Verdict(hm, {"beta": beta, "view": view})
        found = self.measure(scored, self.neutral)
        return Verdict(found["S"] if found["U"] is None else found["U"], {"beta": 0.0, "view": view})

    def apply(self, scores: Tensor, seen: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Calibrated stacking: the scores of seen classes are lowered by beta (Chao et al., ECCV 2016, eq. 3)."""
        return scores - settings["beta"] * seen.to(scores.dtype)

    def in_words(self, settings: Mapping[str, Any]) -> str:
        """By how much the scores of seen classes are lowered."""
        return f"seen classes lowered by beta = {settings['beta']:.4g}"

    def guessers(self, scored: Scored) -> dict[str, dict[str, float]]:
        """Two that look at nothing: uniform guessing, and always the same class.

        Chance has 1/C for S and U, 1/(unseen) for ZSL; a guesser that says "seen" with probability p has S = p / seen,
        U = (1 - p) / unseen: a straight line, under which lies 1 / (2 * seen * unseen). The other says the commonest
        training class, or where only unseen ones are candidates, always the same of them: S is 1/seen, U and HM are 0,
        ZSL is 1/unseen, however uneven the classes are.
        """
        n, seen = len(scored.seen), int(scored.seen.sum())
        unseen = n - seen
        chance = {
            "S": 1 / n,
            "U": 1 / n,
            "HM": 1 / n,
            "ZSL": 1 / max(unseen, 1),
            "AUSUC": 1 / max(2 * seen * unseen, 1),
        }
        majority = {"S": 1 / max(seen, 1), "U": 0.0, "HM": 0.0, "ZSL": 1 / max(unseen, 1)}
        return {"chance": chance, "majority": majority}

    def absent(self, metrics: Metrics) -> list[str]:
        """Which kind of test clips is missing, and for what."""
        return why_absent(metrics)


def _few(scored: Scored) -> bool:
    """There are too few clips of seen or of unseen classes to choose a modality by, where there are any of the kind."""
    seen = int(scored.seen[scored.labels].sum())
    return 0 < seen < FEW or 0 < len(scored.labels) - seen < FEW


def _both(scored: Scored) -> bool:
    """Clips of seen and of unseen classes are there."""
    seen = scored.seen[scored.labels]
    return bool(seen.any()) and not bool(seen.all())


def _stage(dataset: Dataset, name: str, train: tuple[str, ...], judge: tuple[str, ...]) -> Stage:
    def clips(folds: tuple[str, ...]) -> np.ndarray:
        parts = [np.asarray(dataset.folds.get(fold, ()), dtype=np.int64) for fold in folds]
        return np.concatenate(parts)

    def names(folds: tuple[str, ...]) -> list[str]:
        return list(dict.fromkeys(c for fold in folds if fold in dataset.folds for c in dataset.classes_of(fold)))

    seen = names(train)
    others = [c for c in names(judge) if c not in set(seen)]
    judged_on = tuple(fold for fold in judge if len(dataset.folds.get(fold, ())))
    return Stage(name, {"all": clips(train)}, clips(judge), judged_on, tuple(seen), tuple(seen + others))


def _check_clips(dataset: Dataset) -> None:
    taken: dict[int, str] = {}
    for fold, rows in dataset.folds.items():
        for i in rows.tolist():
            if i in taken:
                clip = dataset.clips[i].id
                raise BadDataset(f"Clip {clip!r} is in fold {taken[i]!r} and in {fold!r}; expected one fold.")
            taken[i] = fold


def _check_classes(dataset: Dataset) -> None:
    for unseen, others in _DISJOINT:
        for seen in others:
            if unseen in dataset.folds and seen in dataset.folds:
                both = set(dataset.classes_of(unseen)) & set(dataset.classes_of(seen))
                if both:
                    shared = first_few(sorted(both))
                    raise BadDataset(f"Classes in fold {unseen!r} and in {seen!r}, which must not share any: {shared}.")
