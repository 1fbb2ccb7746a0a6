"""Generalised zero-shot learning: recognise classes without training clips among those that have some.

Stage 1 trains on `train` and is judged on `val_seen` + `val_unseen`. Stage 2 trains on all three and is judged once on
`test_seen` + `test_unseen`. Source: Mercea et al. (AVCA), CVPR 2022, section 4.1; Xian et al., TPAMI 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.metrics.generalised import choose_beta, gzsl_metrics, why_absent
from avshot.recipe import Selection
from avshot.task import Metrics, Scored, Stage, Task, Verdict
from avshot.tasks._generalised import best_view, both_kinds, check_folds, classes_of, clips_of, guessers, with_clips


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
    alone = "ZSL"

    def stages(self, dataset: Dataset) -> tuple[Stage, ...]:
        """Cut a dataset into the two stages.

        A dataset without validation folds gives a stage 1 with nothing to judge (the recipe's epochs are then taken as
        they are and beta is 0); one without test folds gives a stage 2 with nothing to judge.

        Raises:
            ValueError: There are no training clips, a clip is in two folds, or an unseen class in a training fold.
        """
        check_folds(dataset, dataset.folds)
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
        return best_view(views, selection, lambda scored, view: self._judged(scored, view, selection.beta_grid))

    def _judged(self, scored: Scored, view: str, grid: str) -> Verdict:
        if both_kinds(scored):
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
        """Chance, and always the same class (`avshot.tasks._generalised.guessers`)."""
        seen = int(scored.seen.sum())
        return guessers(seen, len(scored.seen) - seen)

    def absent(self, metrics: Metrics) -> list[str]:
        """Which kind of test clips is missing, and for what."""
        return why_absent(metrics)


def _stage(dataset: Dataset, name: str, train: tuple[str, ...], judge: tuple[str, ...]) -> Stage:
    seen = classes_of(dataset, train)
    others = [c for c in classes_of(dataset, judge) if c not in set(seen)]
    pools = {"all": clips_of(dataset, train)}
    judged_on = with_clips(dataset, judge)
    return Stage(name, pools, clips_of(dataset, judge), judged_on, tuple(seen), tuple(seen + others))
