"""Runs that differ only in their seed, summarised as one row of a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avshot.data.sources import first_few
from avshot.method import Method
from avshot.registry import METHODS
from avshot.run import Run
from avshot.runs.key import class_changes, settings_of
from avshot.runs.knowledge import doubts, learnt_later
from avshot.runs.naming import Named, read_name
from avshot.task import Task

DAGGER = "†"
TRANSDUCTIVE = (
    f"{DAGGER} class-transductive: names of classes to be tested took part in training (class-embedding optimisation "
    "of all candidates, or made-up features of theirs); the other rows are inductive."
)


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        dataset: Name of the dataset; where several datasets share a name, with the start of the fingerprint.
        label: What was run, or "chance" or "majority".
        task: What was trained and tested for; its metrics are the columns.
        values: `{metric: one value per seed}` as fractions; a metric that was not measured is absent.
        runs: The Runs, by seed; empty for reference rows.
        note: What the bench that asked for them says below its table.
    """

    dataset: str
    label: str
    task: Task
    values: dict[str, list[float]]
    runs: tuple[Run, ...] = ()
    note: str = ""

    @property
    def table(self) -> tuple[str, str]:
        """Which table it belongs to: dataset and task."""
        return self.dataset, self.task.title

    @property
    def title(self) -> str:
        """The label, with a dagger where names of classes to be tested took part in training."""
        return f"{self.label} {DAGGER}" if self.class_transductive else self.label

    @property
    def class_transductive(self) -> bool:
        """See `class_transductive`."""
        return any(map(class_transductive, self.runs))

    @property
    def selected_on(self) -> str:
        """Folds that chose epoch and settings."""
        if not self.runs:
            return "-"
        chosen = self.runs[0].info["chosen"]
        return "test (oracle)" if chosen["select"] == "oracle" else " + ".join(chosen["by"]) or "nothing"

    def chosen(self, name: str) -> list[Any]:
        """What validation chose for `name` in each seed: "epochs", or a setting of the task."""
        found = [run.info["chosen"] for run in self.runs]
        return [one[name] if name in one else one["settings"][name] for one in found]

    def cell(self, metric: str) -> str:
        """Mean and sample standard deviation over seeds in percent, for example `81.2 ± 0.9`."""
        return percent(self.values.get(metric, []))


def class_transductive(run: Run) -> bool:
    """Names of classes to be tested acted on what was trained (`Parts.class_transductive`).

    A Run of avshot 0.1 does not say so; there optimisation moved all candidates together.
    """
    resolved, name = run.info["resolved"], run.experiment.method
    optimise = resolved.get("optimise") or {"scope": "seen"}
    own = METHODS.get_class(name, Method).class_transductive if name in METHODS.names() else False
    return bool(resolved.get("class_transductive", own or optimise.get("scope", "all") == "all"))


def percent(values: Sequence[float]) -> str:
    """Mean and sample standard deviation of fractions in per cent, "-" for none."""
    found = 100 * np.array(values)
    if len(found) == 0:
        return "-"
    return f"{found.mean():.1f}" + (f" ± {found.std(ddof=1):.1f}" if len(found) > 1 else "")


def summarise(runs: Sequence[Run]) -> list[Row]:
    """Group Runs that differ only in their seed; best mean HM first, the trivial guessers last within each dataset.

    Runs on different data (other fingerprint, which covers the features) are never averaged, even under one name, nor
    are Runs with other settings or other class embeddings, even under one label. Of copies of one Run the first counts.
    """
    groups: dict[tuple[str, str, str], list[list[Run]]] = {}
    for run in runs:
        data = run.info["data"]
        of_data = groups.setdefault((data["name"], data["fingerprint"], _asked_task(run)), [])
        of_row = next((found for found in of_data if _alike(found[0], run)), None)
        if of_row is None:
            of_data.append([run])
        elif run.experiment.seed not in {other.experiment.seed for other in of_row}:
            of_row.append(run)
    named = Counter(name for name, _ in {(name, fingerprint) for name, fingerprint, _ in groups})
    rows = []
    for (name, fingerprint, _), members in sorted(groups.items()):
        title = name if named[name] == 1 else f"{name} (data {fingerprint[:8]})"
        names = [_named(found) for found in members]
        labels = _labels(members, [name.label for name in names])
        found_rows = [
            replace(row_of(title, label, found), note=name.note)
            for label, name, found in zip(labels, names, members, strict=True)
        ]
        rows += sorted(found_rows, key=_merit)
        rows += guessers(title, found_rows[0].runs[0])
    return rows


def _asked_task(run: Run) -> str:
    return json.dumps([run.experiment.task, run.experiment.task_config], sort_keys=True)


def _merit(row: Row) -> float:
    """To sort by: the best row first, by the task's main metric, or by the last one that there is in its place."""
    order = (row.task.main, *reversed(row.task.metrics))
    return next((-float(np.mean(row.values[m])) for m in order if m in row.values), 1.0)


def _alike(one: Run, other: Run) -> bool:
    """Everything that was asked for is the same but the seed and where things are, and so are the class embeddings."""
    left, right = (
        settings_of(run.experiment, run.info["sources"]) | {"seed": None, "device": None} for run in (one, other)
    )
    return left == right and not _class_changes(one, other)


def _class_changes(one: Run, other: Run) -> list[str]:
    """What differs between their class embeddings as the text encoders gave them; the digests mostly answer."""
    left, right = ((run.info["key"] or {}).get("classes") for run in (one, other))
    if left is not None and left == right:
        return []
    return class_changes(one.classes(raw=True), other.classes(raw=True))


def _named(runs: Sequence[Run]) -> Named:
    """What the bench calls these Runs, else what their settings do; of several names that of the first Run with one."""
    found = [read_name(run.path) for run in runs]
    named = next((name for name in found if name.label), found[0])
    return replace(named, label=named.label or runs[0].experiment.label())


def _labels(groups: Sequence[Sequence[Run]], short: Sequence[str]) -> list[str]:
    """A label for each group of Runs: the short one, with what tells it from others of that label."""
    count = Counter(short)
    alike = {
        label: [_in_full(found[0]) for s, found in zip(short, groups, strict=True) if s == label] for label in count
    }
    longer = [
        label if count[label] == 1 else f"{label} ({_apart(_in_full(found[0]), alike[label])})"
        for label, found in zip(short, groups, strict=True)
    ]
    count, place = Counter(longer), Counter[str]()
    for i, label in enumerate(longer):
        place[label] += 1
        if count[label] > 1:  # the same words, embedded otherwise
            longer[i] = f"{label} [{place[label]}: other class embeddings]"
    return longer


def _in_full(run: Run) -> tuple[str, ...]:
    experiment = run.experiment
    files = [f"{kind}={getattr(experiment, kind)} of {digest[:8]}" for kind, digest in run.info["sources"].items()]
    said = {experiment.method if kind == "method" else f"{kind}={experiment.task}" for kind in run.info["sources"]}
    asked = [part for part in experiment.in_full() if part not in said]  # files are told by their content
    about = [*asked, *files, f"text={'+'.join(experiment.text)}", f"prompts={experiment.prompts}"]
    if experiment.descriptions is not None:
        about.append(f"descriptions={experiment.descriptions}")
    return tuple(dict.fromkeys(about))


def _apart(own: Sequence[str], all_alike: Sequence[Sequence[str]]) -> str:
    """What of a group's settings not all groups of its label have; all of them where there is nothing."""
    shared = set(own).intersection(*all_alike)
    return ", ".join([part for part in own if part not in shared] or own)


def row_of(name: str, label: str, runs: Sequence[Run]) -> Row:
    """One row of Runs that differ only in their seed."""
    runs = sorted(runs, key=lambda r: r.experiment.seed)
    task = runs[0].task
    values = {m: [r.metrics[m] for r in runs if r.metrics.get(m) is not None] for m in task.metrics}
    return Row(name, label, task, {metric: found for metric, found in values.items() if found}, tuple(runs))


def guessers(name: str, run: Run) -> list[Row]:
    """Rows that need no training (`avshot.task.Task.guessers`), without what the Run could not measure either."""
    test = run.scored("test")
    found = {} if test is None else run.task.guessers(test)
    return [
        Row(name, who, run.task, {m: [value] for m, value in values.items() if run.metrics.get(m) is not None})
        for who, values in found.items()
    ]


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the results table of one dataset and task, in percent."""
    task = rows[0].task
    settings = [name for name in task.neutral if name != "view"]
    head = ["method", *task.metrics, "seeds", *settings, "epochs", "selected on"]

    def spread(values: Sequence[Any]) -> str:
        return "/".join(f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in values) or "-"

    cells = [
        [
            row.title,
            *(row.cell(m) for m in task.metrics),
            str(len(row.runs)) if row.runs else "-",
            *(spread(row.chosen(name)) for name in settings),
            spread(row.chosen("epochs")),
            row.selected_on,
        ]
        for row in rows
    ]
    return head, cells


def tables(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """`{title: rows}` of each dataset; where one has rows of several tasks, of each task."""
    keys = dict.fromkeys(row.table for row in rows)
    tasks = Counter(dataset for dataset, _ in keys)
    return {
        (dataset if tasks[dataset] == 1 else f"{dataset}: {task}"): [
            row for row in rows if row.table == (dataset, task)
        ]
        for dataset, task in keys
    }


def remarks(rows: Sequence[Row]) -> list[str]:
    """What a reader of the rows of one dataset must know: why there is a "-", which answers may be guesses."""
    first = next((row.runs[0] for row in rows if row.runs), None)
    absent = [] if first is None else [f"Where there is a -, {reason}." for reason in first.task.absent(first.metrics)]
    notes = [f"{row.label}: {row.note}" for row in rows if row.note]
    cut = notes_of(run for row in rows for run in row.runs)
    return absent + cut + detailed(rows) + notes + explained(rows) + _doubted(rows)


def notes_of(runs: Iterable[Run]) -> list[str]:
    """What the task noted of how it cut the dataset (`avshot.task.Task.record`), each sentence once."""
    return list(dict.fromkeys(note for run in runs for note in run.info["task"].get("notes", ())))


def detailed(rows: Iterable[Row]) -> list[str]:
    """How far the draws of each row lie apart, where the task notes that, as one sentence."""
    told = [f"{row.label} {text}" for row in rows if (text := row.task.of_draws([run.metrics for run in row.runs]))]
    return [f"Single draws, in per cent: {'; '.join(told)}."] if told else []


def explained(rows: Iterable[Row]) -> list[str]:
    """What the dagger means, where a row has one."""
    return [TRANSDUCTIVE] if any(row.class_transductive for row in rows) else []


def _doubted(rows: Sequence[Row]) -> list[str]:
    """Each doubt once, behind the rows and seeds that it is about unless those are all."""
    about: dict[str, list[str]] = {}
    for row in rows:
        told: dict[str, list[int]] = {}
        for run in row.runs:
            later = learnt_later(run.info["taught"])
            for text in [*doubts(run.info["knows"]), *([f"{later} These numbers are from before."] if later else [])]:
                told.setdefault(text, []).append(run.experiment.seed)
        for text, seeds in told.items():
            one = len(seeds) == len(row.runs)
            about.setdefault(text, []).append(row.label if one else f"{row.label} seed {', '.join(map(str, seeds))}")
    everyone = [row.label for row in rows if row.runs]
    return [text if who == everyone else f"{first_few(who)}: {text}" for text, who in about.items()]
