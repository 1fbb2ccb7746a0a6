"""The contract of a task: which clips train, select and test, among which classes, and what counts as good.

A task is one file in `avshot/tasks/` with one class derived from `Task`; it is found by the name of its file
(`avshot.registry`). It knows datasets and metrics, and nothing of methods, optimisers or files. The protocol, the
command line, reports and benches pick it up.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.errors import BadSetting
from avshot.recipe import Selection
from avshot.registry import TASKS
from avshot.settings import read_value, replace_fields
from avshot.types import Factor

Metrics = Mapping[str, Any]  # metric names of the task -> fraction or None; further entries are details


@dataclass(frozen=True)
class Trial:
    """Clips that are scored among the same classes.

    Attributes:
        clips: `[clip]` positions in `Stage.judge`.
        classes: Their candidates, each one of `Stage.candidates`.
    """

    clips: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One stage of the protocol: a training, and the clips that are scored after it.

    Attributes:
        name: "stage1" for the one that selects, "stage2" and on for those that are tested.
        pools: `{name: [clip] indices into the dataset's clips}`: the training clips. A turn of a method's training may
            name one pool; all together are what others draw from.
        judge: `[clip]` indices of the clips that are scored.
        judged_on: Names of the folds in `judge` that have clips.
        seen: Classes that are trained on a full set of clips.
        candidates: Classes to choose from when judging.
        trials: Where not every clip is scored among all candidates: which are, among which. A clip in none of them is
            an error; empty = one trial of everything.
        few: Further classes that are trained, on a few clips each (novel ones of few-shot learning).
        aside: `{name: [clip] indices}` of clips that train only where a turn of a method's training names them: their
            labels are not to be learnt from ("unlabelled").
    """

    name: str
    pools: Mapping[str, np.ndarray]
    judge: np.ndarray
    judged_on: tuple[str, ...]
    seen: tuple[str, ...]
    candidates: tuple[str, ...]
    trials: tuple[Trial, ...] = ()
    few: tuple[str, ...] = ()
    aside: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def trained(self) -> tuple[str, ...]:
        """All classes with training clips: the seen ones, then those with few."""
        return self.seen + self.few

    @property
    def train(self) -> np.ndarray:
        """`[clip]` indices of all training clips: the pools one after the other."""
        return np.concatenate([np.asarray(clips, dtype=np.int64) for clips in self.pools.values()])


@dataclass(frozen=True)
class Scored:
    """Scores of one set of clips.

    Attributes:
        scores: `[clip, class]`, before calibration; -inf where a class is not among the candidates of a clip.
        labels: `[clip]` index into `names`.
        seen: `[class]` bool.
        names: Class names.
        ids: Clip ids.
        factors: The parts of classes that are pairs (`avshot.types.Classes.factors`).
        counts: `[class]` training clips of each class; None in Runs that did not note it.
    """

    scores: Tensor
    labels: Tensor
    seen: Tensor
    names: tuple[str, ...]
    ids: tuple[str, ...]
    factors: Mapping[str, Factor] = field(default_factory=dict)
    counts: Tensor | None = None


@dataclass(frozen=True)
class Verdict:
    """What a task says of a trained method on the clips that select.

    Attributes:
        score: To maximise.
        settings: What goes with it: `view`, and what the task lets these clips choose (gzsl: `beta`). Plain values.
        metrics: The task's metrics on these clips, where the task wants those of every epoch (`Task.over_epochs`).
    """

    score: float
    settings: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NoSettings:
    """The settings of a task that has none."""


class Task(ABC):
    """Base class of all tasks. Subclasses are final and hold nothing but their settings.

    Attributes:
        Config: Frozen dataclass of its settings, each with a default: `gfsl?shots=5` sets the field `shots`.
        config: The settings.
        metrics: Names of the columns of its tables, in order; fractions, higher is better.
        main: The metric that rows are sorted by.
        explain: The paragraph above its tables: what each metric is, what was chosen on what.
        neutral: The settings where no clips select.
        harmonic: `main` is the harmonic mean of the mean class accuracies of both kinds, of several draws that of the
            means over them; a bench can test it for significance.
        kinds: What classes with a full set of training clips are called, and what the others.
        alone: The metric that is the accuracy of the others among themselves; empty where there is none.
    """

    Config: ClassVar[type] = NoSettings
    config: Any
    name: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    main: ClassVar[str]
    explain: ClassVar[str]
    neutral: ClassVar[Mapping[str, Any]] = {"view": "both"}
    harmonic: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, str]] = ("seen", "unseen")
    alone: ClassVar[str] = ""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    @property
    def title(self) -> str:
        """Its name, and the settings that are not the default ones, as `get_task` reads them: `gfsl?shots=1`."""
        usual = self.Config()
        changed = [(f.name, getattr(self.config, f.name)) for f in fields(self.Config)]
        query = "&".join(f"{name}={_typed(value)}" for name, value in changed if value != getattr(usual, name))
        return f"{self.name}?{query}" if query else self.name

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def stages(self, dataset: Dataset) -> tuple[Stage, ...]:
        """The stage that selects, then those that are tested: one, or one for each draw.

        Raises:
            ValueError: The dataset's folds are not of this task: none to train on, or clips or classes in folds that
                must not share them within a stage.
        """

    @abstractmethod
    def measure(self, scored: Scored, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The task's metrics of scored clips, None where one cannot be measured; further entries are details."""

    def select(self, views: Mapping[str, Scored], selection: Selection) -> Verdict:
        """Judge a method on the clips that select: the best view by `main`, with neutral settings otherwise.

        Args:
            views: The scores of the clips by what the method was shown: "both", "audio", "visual"; at least one. With
                `Selection.mean_beta` there are all, and only "both" may be chosen.
            selection: What the preset lets be chosen.
        """
        verdicts = []
        for view, scored in views.items():
            if selection.mean_beta and view != "both":
                continue
            settings = {**self.neutral, "view": view}
            verdicts.append(Verdict(float(self.measure(scored, settings)[self.main] or 0.0), settings))
        return max(verdicts, key=lambda verdict: verdict.score)

    def apply(self, scores: Tensor, seen: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Scores `[clip, class]` as predictions rank them, `seen [class]` bool; as they are unless overridden."""
        return scores

    def in_words(self, settings: Mapping[str, Any]) -> str:
        """What `apply` does with these settings, as half a sentence; empty for nothing."""
        return ""

    def average(self, draws: Sequence[Metrics]) -> dict[str, Any]:
        """The metrics of several draws as one: their means; details are those of the first draw."""
        values = {name: [draw.get(name) for draw in draws] for name in self.metrics}
        means = {k: sum(found) / len(found) for k, v in values.items() if (found := [x for x in v if x is not None])}
        return {**draws[0], **dict.fromkeys(self.metrics), **means}

    def over_epochs(self, metrics: Metrics, epochs: Sequence[Metrics]) -> dict[str, Any]:
        """What counts where the tested clips themselves chose the epoch (`select = "oracle"`): the metrics as they are.

        Args:
            metrics: Of the chosen epoch.
            epochs: `Verdict.metrics` of every epoch.
        """
        return dict(metrics)

    def of_draws(self, seeds: Sequence[Metrics]) -> str:
        """How far the draws of a row lie apart, given its metrics seed by seed, for example `HM 45.9 to 49.3`.

        It ends a list of rows in per cent; empty where nothing is known of single draws.
        """
        return ""

    def guessers(self, scored: Scored) -> dict[str, dict[str, float]]:
        """`{name: {metric: value}}` of rows that need no training: none unless overridden."""
        return {}

    def absent(self, metrics: Metrics) -> list[str]:
        """Why some of the metrics are None, as half-sentences; an empty mapping stands for no test clips at all."""
        lacking = [name for name in self.metrics if metrics.get(name) is None]
        if not metrics:
            return ["there are no test clips"]
        return [f"the test clips do not allow for {', '.join(lacking)}"] if lacking else []

    def record(self, dataset: Dataset) -> dict[str, Any]:
        """What a Run notes of how the dataset was cut, beyond its folds: plain values, empty for nothing.

        `notes` is a list of sentences that a reader of the results should know.
        """
        return {}

    def candidates(self, dataset: Dataset) -> tuple[str, ...]:
        """The classes that any stage may choose from."""
        return tuple(dict.fromkeys(name for stage in self.stages(dataset) for name in stage.candidates))


def _typed(value: Any) -> str:
    """A setting as a person would type it for `split_task`: quoted where it would be read as something else."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, tuple | list) or _misread(value) else str(value)
    return text.replace("%", "%25").replace("&", "%26")


def _misread(value: Any) -> bool:
    """It is text that does not read as itself: "5", "true", "[a"."""
    try:
        return isinstance(value, str) and read_value(value) != value
    except ValueError:
        return True


def split_task(spec: str) -> tuple[str, dict[str, Any]]:
    """`gfsl?shots=5` as its name, or path, and its settings; `%26` and the like stand for the character.

    Raises ValueError for an incomplete or repeated setting.
    """
    name, _, query = spec.partition("?")
    found: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key or key in found:
            raise BadSetting(f"Task {spec!r}: setting {part!r} is incomplete or repeated; write {name}?NAME=VALUE.")
        found[key] = read_value(unquote(value))
    return name, found


def get_task(spec: str, settings: Mapping[str, Any] | None = None) -> Task:
    """The task of that name, or in the file of that path, with the settings behind a question mark and `settings`.

    Raises:
        ValueError: There is none of that name, or a setting that it does not have or that does not suit it.
    """
    name, typed = split_task(spec)
    found: type[Task] = TASKS.get_class(name, Task)
    asked = {**typed, **(settings or {})}
    if asked and not fields(found.Config):
        raise BadSetting(f"Task {found.name} has no settings; leave out {', '.join(asked)}.")
    return found(replace_fields(found.Config(), asked))


def list_tasks() -> list[str]:
    """Names of all tasks, sorted: the files in `avshot/tasks/`, and what installed packages add."""
    return TASKS.names()
