"""One bench for each number of shots, and their results as one table: a row for each method, a column for each k."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from avshot.terminal.tables import markdown

SHOTS = (1, 5, 10, 20)
METRICS = ("B", "N", "HM", "FSL")


def run_shots(
    rows: Path,
    out: Path,
    shots: Sequence[int],
    dataset: Callable[[int], str],
    *,
    draws: int = 3,
    seeds: Sequence[int] = (0, 1, 2),
    methods: Sequence[str] = (),
    jobs: int = 1,
) -> dict[int, Path]:
    """Run a bench file in the task gfsl once for each number of shots; what was stopped is taken up again.

    Args:
        rows: Bench file.
        out: Folder; the bench of k shots lies in `out/shots-<k>`.
        shots: The numbers of shots.
        dataset: What `load_dataset` takes for a number of shots.
        draws: Draws of shots that are tested.
        seeds: Of the trainings.
        methods: Only these of the file's methods; all when empty.
        jobs: Trainings at a time.

    Returns:
        `{shots: folder}`.
    """
    from avshot.cli.bench import run_bench

    folders = {}
    for k in shots:
        folders[k] = out / f"shots-{k}"
        run_bench(
            rows,
            folders[k],
            datasets=[dataset(k)],
            seeds=seeds,
            methods=methods,
            jobs=jobs,
            task=f"gfsl?shots={k}&draws={draws}",
        )
    return folders


def results_of(folders: Mapping[int, Path]) -> dict[str, dict[int, dict[str, tuple[float, float]]]]:
    """`{row: {shots: {metric: (mean, deviation)}}}` as fractions, from the `bench.csv` of each folder."""
    found: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    for k, folder in folders.items():
        with open(folder / "bench.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["mean"]:
                    values = float(row["mean"]), float(row["deviation"] or 0)
                    found.setdefault(row["row"], {}).setdefault(k, {})[row["metric"]] = values
    return found


def table_of(
    results: Mapping[str, Mapping[int, Mapping[str, tuple[float, float]]]],
    shots: Sequence[int],
    metrics: Sequence[str] = ("HM", "FSL"),
    last: Mapping[str, Mapping[int, Mapping[str, float]]] | None = None,
) -> str:
    """A Markdown table in per cent: a column for each metric and number of shots, best HM with most shots first.

    Args:
        results: What `results_of` gives.
        shots: The columns of each metric.
        metrics: Which metrics.
        last: Further rows `{name: {shots: {metric: fraction}}}` for below: limits, classifiers that see nothing.
    """

    def merit(row: str) -> tuple[bool, float]:
        found = results[row].get(max(shots), {}).get("HM")
        return row in ("chance", "majority"), -found[0] if found else 1.0

    def cell(value: tuple[float, float] | float | None) -> str:
        if value is None:
            return "-"
        mean, deviation = value if isinstance(value, tuple) else (value, 0.0)
        return f"{100 * mean:.1f}" + (f" ± {100 * deviation:.1f}" if deviation else "")

    columns = [(metric, k) for metric in metrics for k in shots]
    lines = [
        [row, *(cell(of_row[row].get(k, {}).get(metric)) for metric, k in columns)]
        for of_row in (results, last or {})
        for row in (sorted(of_row, key=merit) if of_row is results else of_row)
    ]
    return markdown(("method", *(f"{metric}, k={k}" for metric, k in columns)), lines)
