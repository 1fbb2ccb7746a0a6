"""Runs that differ only in their seed, summarised as one row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avshot.run import Run

METRICS = ("S", "U", "HM", "ZSL", "AUSUC")


@dataclass(frozen=True)
class Row:
    """One row of a results table.

    Attributes:
        dataset: Name of the dataset.
        label: What was run, or "chance".
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
    """Group Runs by dataset and label; the best mean HM comes first, a chance row last within each dataset.

    Runs on different data (other fingerprint) are never averaged, even under one name.
    """
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        data = run.info["data"]
        groups.setdefault((data["name"], data["fingerprint"], run.experiment.label()), []).append(run)
    datasets: dict[tuple[str, str], list[Row]] = {}
    for (name, fingerprint, label), members in groups.items():
        datasets.setdefault((name, fingerprint), []).append(_row(name, label, members))
    rows = []
    for (name, _), members_rows in sorted(datasets.items()):
        rows += sorted(members_rows, key=lambda r: -float(np.mean(r.values.get("HM", [-1.0]))))
        rows.append(chance(name, members_rows[0].runs[0]))
    return rows


def _row(name: str, label: str, runs: list[Run]) -> Row:
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
