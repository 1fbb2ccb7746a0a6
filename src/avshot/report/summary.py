"""Runs that differ only in their seed, summarised as one row of a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avshot.run import Run

METRICS = ("S", "U", "HM", "ZSL", "AUSUC")


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        dataset: Name of the dataset; where several datasets share a name, with the start of the fingerprint.
        label: What was run, or "chance" or "majority".
        values: `{metric: one value per seed}` as fractions; a metric that was not measured is absent.
        beta: Calibration of each seed.
        epochs: Epochs of each seed.
        selected_on: Folds that chose epoch and calibration.
        runs: The Runs; empty for reference rows.
    """

    dataset: str
    label: str
    values: dict[str, list[float]]
    beta: list[float]
    epochs: list[int]
    selected_on: str
    runs: tuple[Run, ...] = ()

    def cell(self, metric: str) -> str:
        """Mean and sample standard deviation over seeds in percent, for example `81.2 ± 0.9`."""
        values = 100 * np.array(self.values.get(metric, []))
        if len(values) == 0:
            return "-"
        return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def summarise(runs: Sequence[Run]) -> list[Row]:
    """Group Runs that differ only in their seed; best mean HM first, the trivial guessers last within each dataset.

    Runs on different data (other fingerprint) are never averaged, even under one name, nor are Runs with other
    settings, even under one label. Of copies of one Run the first counts.
    """
    groups: dict[tuple[str, str], dict[str, dict[int, Run]]] = {}
    for run in runs:
        data = run.info["data"]
        of_data = groups.setdefault((data["name"], data["fingerprint"]), {})
        of_data.setdefault(_settings(run), {}).setdefault(run.experiment.seed, run)
    named = Counter(name for name, _ in groups)
    rows = []
    for (name, fingerprint), by_settings in sorted(groups.items()):
        title = name if named[name] == 1 else f"{name} (data {fingerprint[:8]})"
        members = [list(by_seed.values()) for by_seed in by_settings.values()]
        labels = Counter(found[0].experiment.label() for found in members)
        found_rows = [row_of(title, _label(found[0], labels), found) for found in members]
        rows += sorted(found_rows, key=lambda r: -float(np.mean(r.values.get("HM", r.values.get("ZSL", [-1.0])))))
        rows += trivial(title, found_rows[0].runs[0])
    return rows


def _settings(run: Run) -> str:
    """Everything that was asked for but the seed and where things are."""
    return json.dumps(run.experiment.model_dump(mode="json", exclude={"seed", "dataset", "device"}), sort_keys=True)


def _label(run: Run, labels: Counter[str]) -> str:
    """The experiment's label, with what tells it from others of that label."""
    experiment = run.experiment
    label = experiment.label()
    if labels[label] == 1:
        return label
    about = [f"text={'+'.join(experiment.text)}", f"prompts={experiment.prompts}"]
    about += [] if experiment.descriptions is None else [f"descriptions={experiment.descriptions}"]
    return f"{label} ({', '.join(about)})"


def row_of(name: str, label: str, runs: Sequence[Run]) -> Row:
    """One row of Runs that differ only in their seed."""
    runs = sorted(runs, key=lambda r: r.experiment.seed)
    values = {m: [r.metrics[m] for r in runs if r.metrics.get(m) is not None] for m in METRICS}
    chosen = [r.info["chosen"] for r in runs]
    return Row(
        name,
        label,
        {metric: found for metric, found in values.items() if found},
        [c["beta"] for c in chosen],
        [c["epochs"] for c in chosen],
        " + ".join(chosen[0]["by"]) or "nothing",
        tuple(runs),
    )


def chance(name: str, run: Run) -> Row:
    """Uniform guessing among the candidates of `run`: 1/C for S and U, 1/(unseen) for ZSL, and AUSUC of all mixtures.

    A guesser that says "seen" with probability p has S = p / seen, U = (1 - p) / unseen: a straight line, under which
    lies 1 / (2 * seen * unseen).
    """
    test = run.scored("test")
    values: dict[str, list[float]] = {}
    if test is not None and 0 < int(test.seen.sum()) < len(test.seen):
        n, seen = len(test.seen), int(test.seen.sum())
        uniform, unseen = 1 / n, n - seen
        values = {"S": [uniform], "U": [uniform], "HM": [uniform], "ZSL": [1 / unseen]}
        values["AUSUC"] = [1 / (2 * seen * unseen)]
    return Row(name, "chance", values, [], [], "-")


def trivial(name: str, run: Run) -> list[Row]:
    """Rows of the two guessers that look at nothing: chance, and always the same class.

    The second says the commonest training class, or where only unseen ones are candidates, always the same of them. S
    is 1/seen, U and HM are 0, ZSL is 1/unseen, however uneven the classes are.
    """
    guesser = chance(name, run)
    test = run.scored("test")
    values: dict[str, list[float]] = {}
    if test is not None and guesser.values:
        seen = int(test.seen.sum())
        values = {"S": [1 / seen], "U": [0.0], "HM": [0.0], "ZSL": guesser.values["ZSL"]}
    return [guesser, Row(name, "majority", values, [], [], "-")]


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the results table, in percent."""
    head = ["method", *METRICS, "seeds", "beta", "epochs", "selected on"]

    def spread(values: Sequence[float], form: str) -> str:
        return "-" if not values else "/".join(form.format(v) for v in values)

    cells = [
        [
            row.label,
            *(row.cell(m) for m in METRICS),
            str(len(row.runs)) if row.runs else "-",
            spread(row.beta, "{:.3g}"),
            spread(row.epochs, "{}"),
            row.selected_on,
        ]
        for row in rows
    ]
    return head, cells
