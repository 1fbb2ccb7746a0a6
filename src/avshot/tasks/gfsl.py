"""Generalised few-shot learning: recognise classes known from k clips each, among classes known from many.

Base classes are those of `train`; novel ones are those of `val_unseen` (stage 1) and `test_unseen` (stage 2 and on), of
each of which k clips, the shots, move into training. Stage 1 trains on `train` and its shots and is judged on
`val_seen` and the rest of `val_unseen`. Each further stage is one draw of shots: it trains on all clips of stage 1 and
its shots and is judged once on `test_seen` and the rest of `test_unseen`; results are averaged over draws. There are no
episodes: all classes are candidates at once.

Source: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, chapter 4 (AV-Diff), Table 4.1, and
AVDIFF-GFSL a8c7f70. The authors' draws were never released but as data; ours come from a named seed, and prefer clips
of different sources (`Clip.group`). A dataset may bring draws of its own: its folds `val_shots`, `test_shots`,
`test_shots_2`, ... hold the shots, and `test_unseen_2`, ... the clips that those draws test, where these are not all
others.

How ours differs: the released program takes the beta of the last epoch and not of the chosen one, and a beta of 0 opens
a new search on the test clips. Here epoch and beta are one choice of validation, and 0 is a value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.sources import first_few
from avshot.errors import BadDataset, BadSetting
from avshot.metrics.generalised import choose_beta, gzsl_metrics, harmonic_mean
from avshot.recipe import Selection
from avshot.task import Metrics, Scored, Stage, Task, Verdict
from avshot.tasks._generalised import best_view, both_kinds, check_folds, classes_of, clips_of, guessers, with_clips
from avshot.tasks._shots import check_own, draw_shots, related

USUAL = ("train", "val_seen", "val_unseen", "test_seen", "test_unseen")
SHOTS = 5  # where neither the task nor the dataset says how many
_NAMES = {"S": "B", "U": "N", "HM": "HM", "ZSL": "FSL"}  # of `gzsl_metrics` in this task
_TRAIN = ("train", "val_seen", "val_unseen")


@dataclass(frozen=True)
class Config:
    """Settings of the task."""

    shots: int | None = None  # clips of each novel class; None: as the dataset says, else 5. Published: 1, 5, 10, 20
    draws: int = 3  # draws of the shots that are tested; thesis
    seed: int = 0  # of the draws

    def __post_init__(self) -> None:
        if self.shots is not None and self.shots < 1:
            raise BadSetting(f"shots is {self.shots}; expected at least 1 (without any clip, the task is gzsl).")
        if not 1 <= self.draws <= 1000:
            raise BadSetting(f"draws is {self.draws}; expected 1 to 1000.")


class GFSL(Task):
    """Base and novel classes are candidates together; novel ones have a few clips."""

    Config = Config
    metrics = ("B", "N", "HM", "FSL")
    main = "HM"
    explain = (
        "B and N are mean per-class accuracies on base and novel classes when both are candidates, HM is their "
        "harmonic mean, FSL the accuracy on novel classes when only those are candidates. B, N and FSL are means over "
        "the draws of the shots, HM is that of the means. Mean ± sample deviation over seeds. Epoch and calibration "
        "(beta, subtracted from the scores of base classes) were chosen on the folds named in the last column."
    )
    neutral: ClassVar[Mapping[str, Any]] = {"beta": 0.0, "view": "both"}
    harmonic = True
    kinds = ("base", "novel")
    alone = "FSL"

    def stages(self, dataset: Dataset) -> tuple[Stage, ...]:
        """One stage that selects, and one for each draw.

        Without validation clips of novel classes nothing is selected: stage 1 is trained on the first tested draw and
        judged on nothing (the recipe's epochs, beta 0). Without test folds, the draws are of `val_unseen` classes and
        nothing is tested.

        Raises:
            ValueError: There are no training clips, a clip is in two folds, a novel class in a training fold, or a
                novel class has no clip beyond the shots; none of the classes is novel; a class to be tested as a
                base class has no training clip.
        """
        check_folds(dataset, [fold for fold in USUAL if fold in dataset.folds])
        first = self._stage(dataset, 0)
        draws = range(1, 1 + (self._own_draws(dataset) or self.config.draws))
        tested = [self._stage(dataset, number) for number in draws]
        return (first, *tested)

    def shots(self, dataset: Dataset) -> int:
        """How many clips of each novel class are learnt from."""
        return self.config.shots or dataset.shots or SHOTS

    def _own_draws(self, dataset: Dataset) -> int:
        """How many draws the dataset brings. Raises ValueError where one of them is left out."""
        brought = [fold for fold in dataset.folds if fold == "test_shots" or fold.startswith("test_shots_")]
        wanted = [_folds_of("test_unseen", number)[0] for number in range(1, len(brought) + 1)]
        if set(brought) != set(wanted):
            raise BadDataset(
                f"Dataset {dataset.name!r} has the folds {', '.join(sorted(brought))}; expected those of its draws "
                f"from the first on: {', '.join(wanted)}."
            )
        return len(brought)

    def _stage(self, dataset: Dataset, number: int) -> Stage:
        """Stage 1 for number 0, else the draw of that number."""
        train = ("train",) if number == 0 else _TRAIN
        seen, unseen = ("val_seen", "val_unseen") if number == 0 else ("test_seen", "test_unseen")
        tested = bool(with_clips(dataset, (unseen,)))
        base = classes_of(dataset, train)
        shots, rest = (
            self._drawn(dataset, unseen, number) if tested else (self._drawn(dataset, "test_unseen", 1)[0], ())
        )
        strange = [name for name in classes_of(dataset, (seen,)) if name not in set(base)] if tested else []
        if strange:
            raise BadDataset(f"Classes in fold {seen!r} that no training fold has: {first_few(strange)}.")
        novel = [name for name in dataset.names if name in {dataset.clips[i].label for i in shots}]
        listed = [name for name in classes_of(dataset, (unseen,)) if name not in set(novel)]
        judge = np.concatenate([clips_of(dataset, (seen,)), np.array(rest, dtype=np.int64)]) if tested else _nothing()
        return Stage(
            f"stage{number + 1}",
            {"base": clips_of(dataset, train), "novel": np.array(shots, dtype=np.int64)},
            judge,
            with_clips(dataset, (seen, unseen)) if tested else (),
            tuple(base),
            (*base, *novel, *listed),
            few=tuple(novel),
        )

    def _drawn(self, dataset: Dataset, fold: str, number: int) -> tuple[list[int], list[int]]:
        """The shots of a draw, and the clips of the novel classes that it tests."""
        own, others = _folds_of(fold, number)
        if own in dataset.folds:
            shots = dataset.folds[own].tolist()
            tested = dataset.folds.get(others, dataset.folds[fold]).tolist()
            check_own(dataset, fold, {own: shots, others: tested})
            return shots, [i for i in tested if i not in set(shots)]
        clips = dataset.folds.get(fold, _nothing()).tolist()
        if not clips:
            raise BadDataset(
                f"Dataset {dataset.name!r} has no clips in its fold 'test_unseen', so no class is novel; declare it "
                "with classes that are unseen in testing."
            )
        shots = draw_shots(dataset, clips, self.shots(dataset), self.config.seed, number)
        return shots, [i for i in clips if i not in set(shots)]

    def measure(self, scored: Scored, settings: Mapping[str, Any]) -> dict[str, Any]:
        """B, N, HM, FSL; with `AUSUC`, `beta`, `per_class` and `without_clips` (`metrics.generalised.gzsl_metrics`).

        N is never above FSL: a clip that is right among all classes is right among the novel ones.
        """
        found = gzsl_metrics(_scale(scored.scores, settings), scored.labels, scored.seen, settings["beta"])
        return {_NAMES.get(name, name): value for name, value in found.items()}

    def select(self, views: Mapping[str, Scored], selection: Selection) -> Verdict:
        """The harmonic mean at its best calibration, or plain accuracy where base or novel clips are absent.

        The grid "avdiff" is in units of probability: beta is subtracted from softmax probabilities, as printed. Which
        view decides: see `avshot.tasks._generalised.best_view`.
        """
        extra = {"softmax": True} if selection.beta_grid == "avdiff" else {}

        def judged(scored: Scored, view: str) -> Verdict:
            if both_kinds(scored):
                scores = _scale(scored.scores, extra)
                beta, hm = choose_beta(scores, scored.labels, scored.seen, selection.beta_grid)
                return Verdict(hm, {"beta": beta, "view": view, **extra})
            found = self.measure(scored, self.neutral)
            return Verdict(found["B"] if found["N"] is None else found["N"], {"beta": 0.0, "view": view, **extra})

        return best_view(views, selection, judged)

    def apply(self, scores: Tensor, seen: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Calibrated stacking: the scores, or the probabilities, of base classes are lowered by beta."""
        return _scale(scores, settings) - settings["beta"] * seen.to(scores.dtype)

    def in_words(self, settings: Mapping[str, Any]) -> str:
        """By how much the scores of base classes are lowered."""
        what = "probabilities of base classes" if settings.get("softmax") else "base classes"
        return f"{what} lowered by beta = {settings['beta']:.4g}"

    def average(self, draws: Sequence[Metrics]) -> dict[str, Any]:
        """Means of B, N and FSL; HM of the means (AVDIFF-GFSL). `HM_of_draws` holds the HM of each draw."""
        found = super().average(draws)
        both = found["B"] is not None and found["N"] is not None
        values = [draw["HM"] for draw in draws if draw["HM"] is not None]
        spread = {"HM_of_draws": values, "HM_deviation": stdev(values) if len(values) > 1 else 0.0} if values else {}
        return {**found, "HM": harmonic_mean(found["B"], found["N"]) if both else None, **spread}

    def of_draws(self, seeds: Sequence[Metrics]) -> str:
        """Lowest and highest HM of a draw, and the deviation over the draws, which is the mean of that of each seed."""
        several = [found for found in seeds if len(found.get("HM_of_draws", ())) > 1]
        if not several:
            return ""
        each = [100 * value for found in several for value in found["HM_of_draws"]]
        deviation = 100 * sum(found["HM_deviation"] for found in several) / len(several)
        return f"HM {min(each):.1f} to {max(each):.1f}, deviation {deviation:.1f}"

    def guessers(self, scored: Scored) -> dict[str, dict[str, float]]:
        """Chance, and always the same base class (`avshot.tasks._generalised.guessers`)."""
        base = int(scored.seen.sum())
        found = guessers(base, len(scored.seen) - base)
        return {who: {_NAMES[k]: v for k, v in values.items() if k in _NAMES} for who, values in found.items()}

    def absent(self, metrics: Metrics) -> list[str]:
        """Which kind of test clips is missing, and for what."""
        base, novel = metrics.get("B") is not None, metrics.get("N") is not None
        if not base and not novel:
            return ["there are no test clips"]
        if not novel:
            return ["there are no test clips of novel classes for N, HM and FSL"]
        return [] if base else ["there are no test clips of base classes for B and HM"]

    def record(self, dataset: Dataset) -> dict[str, Any]:
        """How many shots, and which clips they are, stage by stage."""
        stages, own = self.stages(dataset), self._own_draws(dataset)
        drawn: dict[str, dict[str, list[str]]] = {}
        for stage in stages:
            of_class = drawn.setdefault(stage.name, defaultdict(list))
            for i in stage.pools["novel"].tolist():
                of_class[str(dataset.clips[i].label)].append(dataset.clips[i].id)
        shots = max(map(len, drawn["stage2"].values())) if own else self.shots(dataset)
        notes = related(dataset, stages)
        if own and self.title != self.name:
            notes.insert(0, f"The {own} draws of shots are the dataset's own; the settings of {self.title} draw none.")
        return {"shots": shots, "drawn": drawn, "notes": notes}


def _scale(scores: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """The scores, or where the settings say so their softmax."""
    return scores.softmax(dim=1) if settings.get("softmax") else scores


def _folds_of(fold: str, number: int) -> tuple[str, str]:
    """Where a dataset keeps draws of its own: the folds of the shots and of the tested clips."""
    kind, more = fold.partition("_")[0], f"_{number}" if number > 1 else ""
    return f"{kind}_shots{more}", f"{fold}{more}"


def _nothing() -> np.ndarray:
    return np.array([], dtype=np.int64)
