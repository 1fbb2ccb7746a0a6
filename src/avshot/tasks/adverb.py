"""Video-adverb retrieval: not only what is done, but how. Classes are pairs of an action and an adverb.

A clip is scored among the pairs of its action, one for each adverb (the action is given, as in the released programs;
`given_action=False` scores all pairs and takes for each adverb its best action). Adverbs are then ranked for a clip,
and clips for an adverb.

Stages: stage 1 trains on `train` and is judged on `val_seen` + `val_unseen`; a dataset without them lends a tenth of
its training rows, taken by video, for the published splits have none. Stage 2 trains on all of these and is judged once
on `test_seen` (pairs that train) + `test_unseen` (unseen compositions). `unlabelled` clips train only where a method
asks for them. A video may be in training and in a test with another adverb: the published splits have hundreds.

Source: Mercea, "Multimodal Data Efficient Learning", thesis, Tübingen 2024, chapter 6 (ReGaDa), and the tables of its
program (d9d0bfb).

How ours differs: the printed numbers are each metric's best epoch on the test clips themselves; `--select oracle` lets
them choose the epoch of one metric (`by`), and `each=true` with it that of every metric. Where the scores of an adverb
and its antonym are equal, the printed accuracies count whichever is more frequent in training and test; ours stand
beside them with ties counted half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.errors import BadDataset, BadSetting
from avshot.metrics.priors import priors
from avshot.metrics.retrieval import against_antonym, antonym_accuracy, mean_average_precision
from avshot.recipe import Selection
from avshot.task import Metrics, Scored, Stage, Task, Trial, Verdict
from avshot.tasks._adverb_scores import adverb_scores
from avshot.tasks._generalised import classes_of, clips_of, with_clips

COMPOSITIONS = ("all", "seen", "unseen")
METRICS = ("mAP W", "mAP M", "Acc-A", "Acc-A cls", "Acc-A half", "cls half")
_TRAIN = ("train", "val_seen", "val_unseen")
_HELD = "held-out train"


@dataclass(frozen=True)
class Config:
    """Settings of the task."""

    given_action: bool = True  # the action of a clip is known when its adverb is asked for, as published
    compositions: str = "all"  # of the test: "seen" pairs, "unseen" ones, or all that the dataset has
    by: str = "mAP W"  # the metric that selects
    each: bool = False  # with --select oracle: every metric at its own best epoch, as printed numbers are
    held_out: float = 0.1  # share of the training rows that select where the dataset has no validation folds
    held_seed: int = 0  # decides which rows these are

    def __post_init__(self) -> None:
        if self.compositions not in COMPOSITIONS:
            raise BadSetting(f"compositions is {self.compositions!r}; expected {', '.join(COMPOSITIONS)}.")
        if self.by not in METRICS:
            raise BadSetting(f"by is {self.by!r}; expected one of {', '.join(METRICS)}.")
        if not 0 <= self.held_out < 1:
            raise BadSetting(f"held_out is {self.held_out}; expected a share from 0 to below 1.")


class Adverb(Task):
    """Adverbs are ranked for clips, and clips for adverbs, within pairs of action and adverb."""

    Config = Config
    metrics = METRICS
    main = "mAP W"
    explain = (
        "mAP is the average precision of clips ranked for each adverb, each clip under its own action: W weights "
        "adverbs by their clips (mAP W), M does not (mAP M). Acc-A is the share of clips whose adverb outscores its "
        "antonym, where equal scores count for the adverb that is more frequent, and Acc-A cls its mean over adverbs; "
        "Acc-A half and cls half are the same with equal scores counted half. priors are the training clips of the "
        "pair, as published; p(adverb | action) is their share in the action. Mean ± sample deviation over seeds. The "
        "epoch was chosen on the clips named in the last column."
    )
    kinds = ("seen", "unseen")

    def stages(self, dataset: Dataset) -> tuple[Stage, ...]:
        """One stage that selects and one that is tested; without test folds the second judges nothing.

        Raises:
            ValueError: The classes are no pairs, there are no training clips, or a pair of `test_unseen` trains.
        """
        _check(dataset)
        val = with_clips(dataset, ("val_seen", "val_unseen"))
        train = clips_of(dataset, ("train",))
        held = clips_of(dataset, val) if val else _held_out(dataset, train, self.config)
        test = tuple(fold for fold in ("test_seen", "test_unseen") if self._tests(fold))
        first = train if val else np.setdiff1d(train, held)
        judged_on = val or ((_HELD,) if len(held) else ())
        return (
            self._stage(dataset, "stage1", first, held, judged_on),
            self._stage(
                dataset, "stage2", clips_of(dataset, _TRAIN), clips_of(dataset, test), with_clips(dataset, test)
            ),
        )

    def _tests(self, fold: str) -> bool:
        return self.config.compositions in ("all", fold.removeprefix("test_"))

    def _stage(
        self, dataset: Dataset, name: str, train: np.ndarray, judge: np.ndarray, judged_on: tuple[str, ...]
    ) -> Stage:
        there = {dataset.clips[i].label for i in train.tolist()}
        seen = tuple(pair for pair in dataset.names if pair in there)
        trials = _trials(dataset, judge) if self.config.given_action else ()
        unlabelled = clips_of(dataset, ("unlabelled",))
        aside = {"unlabelled": unlabelled} if len(unlabelled) else {}
        return Stage(name, {"all": train}, judge, judged_on, seen, dataset.names, trials, aside=aside)

    def measure(self, scored: Scored, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics; with `per_adverb` (accuracy against the antonym), and `seen`, `unseen` where both are there.

        Raises:
            ValueError: The classes are no pairs.
        """
        found = _measured(scored)
        kinds = {"seen": scored.seen[scored.labels], "unseen": ~scored.seen[scored.labels]}
        if all(bool(rows.any()) for rows in kinds.values()):
            found |= {kind: _measured(_only(scored, rows)) for kind, rows in kinds.items()}
        return found

    def select(self, views: Mapping[str, Scored], selection: Selection) -> Verdict:
        """The best view by the metric `by`."""
        verdicts = []
        for view, scored in views.items():
            if selection.mean_beta and view != "both":
                continue
            found = _measured(scored)
            values = {name: value for name in METRICS if (value := found[name]) is not None}
            kept = values if self.config.each else {}
            verdicts.append(Verdict(float(found[self.config.by] or 0.0), {"view": view}, kept))
        return max(verdicts, key=lambda verdict: verdict.score)

    def over_epochs(self, metrics: Metrics, epochs: Sequence[Metrics]) -> dict[str, Any]:
        """With `each` the best of every metric over all epochs; those of the one chosen epoch are in `one_epoch`."""
        if not self.config.each or not epochs:
            return dict(metrics)
        best = {name: max(e[name] for e in epochs) for name in METRICS if name in epochs[0]}
        return {**metrics, **best, "one_epoch": {name: metrics[name] for name in METRICS}}

    def guessers(self, scored: Scored) -> dict[str, dict[str, float]]:
        """What the counts of training clips alone give (`avshot.metrics.priors`); nothing where they are not noted."""
        if scored.counts is None:
            return {}
        action, adverb = scored.factors["action"], scored.factors["adverb"]
        given = action.index[scored.labels]
        found = {}
        for name, of_pair in priors(scored.counts, action.index, adverb.index, len(action), len(adverb)).items():
            values = _metrics(of_pair[given], adverb.index[scored.labels], adverb.opposite)
            found[name] = {k: v for k, v in values.items() if v is not None}
        return found

    def absent(self, metrics: Metrics) -> list[str]:
        """Which metrics could not be measured, and why."""
        if metrics.get("mAP W") is None:
            return ["there are no test clips"]
        return ["no adverb of the test clips has an antonym"] if metrics.get("Acc-A") is None else []


def _check(dataset: Dataset) -> None:
    if dataset.pairs is None:
        raise BadDataset(
            f"The classes of dataset {dataset.name!r} are no pairs of an action and an adverb; declare it with "
            "`avshot dataset --pairs`, from a table with the columns action and adverb."
        )
    if len(dataset.folds.get("train", ())) == 0:
        raise BadDataset(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
    both = set(classes_of(dataset, _TRAIN)) & set(classes_of(dataset, ("test_unseen",)))
    if both:
        raise BadDataset(f"The pair {min(both)!r} is in fold 'test_unseen' and trains; keep it on one side.")


def _held_out(dataset: Dataset, train: np.ndarray, config: Config) -> np.ndarray:
    """Training rows that select: whole videos in the order of a hash, until they are the share that is asked for."""
    of_video: dict[str, list[int]] = {}
    for i in train.tolist():
        clip = dataset.clips[i]
        of_video.setdefault(clip.key if clip.group is None else clip.group, []).append(i)
    order = sorted(of_video, key=lambda video: hashlib.sha256(f"{config.held_seed}\0{video}".encode()).digest())
    held: list[int] = []
    for video in order[:-1]:
        if len(held) + len(of_video[video]) / 2 > config.held_out * len(train):
            break
        held += of_video[video]
    return np.array(sorted(held), dtype=np.int64)


def _trials(dataset: Dataset, judge: np.ndarray) -> tuple[Trial, ...]:
    """One for each action: its clips among its pairs."""
    assert dataset.pairs is not None
    of_action: dict[str, list[int]] = {}
    for place, i in enumerate(judge.tolist()):
        of_action.setdefault(dataset.pairs.actions[str(dataset.clips[i].label)], []).append(place)
    pairs: dict[str, list[str]] = {action: [] for action in of_action}
    for name, action in dataset.pairs.actions.items():
        if action in pairs:
            pairs[action].append(name)
    return tuple(Trial(np.array(clips, dtype=np.int64), tuple(pairs[action])) for action, clips in of_action.items())


def _measured(scored: Scored) -> dict[str, Any]:
    adverb = scored.factors.get("adverb")
    if adverb is None or "action" not in scored.factors:
        raise BadDataset("Scores of adverbs need classes that are pairs of an action and an adverb.")
    return _metrics(adverb_scores(scored), adverb.index[scored.labels], adverb.opposite, adverb.names)


def _metrics(scores: Tensor, labels: Tensor, opposite: Tensor | None, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """The task's metrics of scores `[clip, adverb]`."""
    weighted, plain = mean_average_precision(scores, labels)
    found: dict[str, Any] = {**dict.fromkeys(METRICS), "mAP W": weighted, "mAP M": plain}
    if opposite is None or not len(labels):
        return found
    whole, half = against_antonym(scores, labels, opposite)
    for right, columns in ((whole, ("Acc-A", "Acc-A cls")), (half, ("Acc-A half", "cls half"))):
        found |= dict(zip(columns, antonym_accuracy(right, labels), strict=True))
    if names:
        count = torch.bincount(labels, minlength=len(names))
        right = torch.bincount(labels, weights=whole.nan_to_num(), minlength=len(names)) / count
        known = (count > 0) & (opposite >= 0)
        found["per_adverb"] = {name: float(right[i]) for i, name in enumerate(names) if known[i]}
    return found


def _only(scored: Scored, rows: Tensor) -> Scored:
    """Some of the clips."""
    ids = tuple(id for id, kept in zip(scored.ids, rows.tolist(), strict=True) if kept)
    return Scored(
        scored.scores[rows], scored.labels[rows], scored.seen, scored.names, ids, scored.factors, scored.counts
    )
