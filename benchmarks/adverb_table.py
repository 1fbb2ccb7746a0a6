"""Runs of a bench in the task adverb as one table: pairs that train beside pairs that do not, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from avshot.run import Run, load_run
from avshot.task import Scored, Task
from avshot.terminal.tables import markdown

METRICS = ("mAP W", "Acc-A cls")
SIDES = ("seen", "unseen")
Values = Mapping[str, Mapping[str, Sequence[float]]]  # {side: {metric: one fraction per seed}}


def runs_below(folder: Path) -> dict[str, list[Run]]:
    """`{row: its Runs by seed}` of the folder of one dataset in a bench (`<folder>/<row>/seed-<n>`)."""
    found: dict[str, list[Run]] = {}
    for file in sorted(folder.glob("*/seed-*/run.json")):
        found.setdefault(file.parent.parent.name, []).append(load_run(file.parent))
    return found


def sides_of(runs: Sequence[Run]) -> Values:
    """The metrics of both sides, a value for each seed; a side that was not measured is absent."""
    return {
        side: {name: [run.metrics[side][name] for run in runs] for name in METRICS}
        for side in SIDES
        if all(isinstance(run.metrics.get(side), dict) for run in runs)
    }


def guessers_of(task: Task, scored: Scored) -> dict[str, Values]:
    """What needs no training, on both sides: the counts of training clips, as the task's guessers have them."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for side, rows in zip(SIDES, (scored.seen[scored.labels], ~scored.seen[scored.labels]), strict=True):
        ids = tuple(id for id, kept in zip(scored.ids, rows.tolist(), strict=True) if kept)
        part = Scored(
            scored.scores[rows], scored.labels[rows], scored.seen, scored.names, ids, scored.factors, scored.counts
        )
        for name, values in task.guessers(part).items() if ids else ():
            found.setdefault(name, {})[side] = {metric: [values[metric]] for metric in METRICS}
    return found


def table_of(rows: Mapping[str, Values]) -> str:
    """A Markdown table in per cent: metrics of the pairs that train, then of those that do not; as the rows come."""
    columns = [(side, metric) for side in SIDES for metric in METRICS]
    lines = [
        [row, *(_cell(values.get(side, {}).get(metric)) for side, metric in columns)] for row, values in rows.items()
    ]
    return markdown(("method", *(f"{metric}, {side} pairs" for side, metric in columns)), lines)


def by_merit(rows: Mapping[str, Values], metric: str = "Acc-A cls") -> dict[str, Values]:
    """The rows with the best mean on unseen pairs first."""

    def merit(row: str) -> float:
        return -mean(rows[row].get("unseen", {}).get(metric) or [0.0])

    return {row: rows[row] for row in sorted(rows, key=merit)}


def print_sides(folder: Path, last: Mapping[str, Values] | None = None) -> str:
    """The table of the Runs in `folder`, printed; `last` are further rows for below. Returns it."""
    runs = runs_below(folder)
    first: Any = next(iter(runs.values()))[0]
    rows = by_merit({row: sides_of(found) for row, found in runs.items()})
    text = table_of({**rows, **guessers_of(first.task, first.scored("test")), **(last or {})})
    print(text)
    return text


def _cell(values: Sequence[float] | None) -> str:
    if not values:
        return "-"
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"
