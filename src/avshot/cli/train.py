"""`avshot train`: the trainings that were asked for, then the table and the report."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from avshot.cli.report import write_report
from avshot.terminal.progress import note


def train_grid(
    base: dict[str, Any], axes: dict[str, list[Any]], out: Path, *, jobs: int = 1, processes: int = 1
) -> dict[Path, Any]:
    """`avshot train`: every combination of `axes` on top of `base`, then the table and the report.

    Returns `{Run folder: experiment}`.

    What can be known beforehand is found out before any training: an unknown field, a device that is not there, a
    method that the data do not fit, a folder that cannot be written to. A training that fails does not stop the others;
    the finished ones are reported before its error is raised. Of several processes that share a training the first one
    alone speaks and reports.
    """
    from avshot.bench.sweep import raise_first, train_all
    from avshot.data.load import load_described
    from avshot.machine.device import check_device
    from avshot.run import describe, find_runs, parse_experiment
    from avshot.runs.placing import place_runs, run_folder
    from avshot.training.distributed import follows, warning

    check_device(base.get("device", "cpu"))
    asked: dict[Path, Any] = {}  # one of each: "devise,devise" asks for the same Run twice
    for values in itertools.product(*axes.values()):
        experiment = parse_experiment(base | dict(zip(axes, values, strict=True)))
        describe(experiment)  # an unknown method, preset or field ends here, before any training
        asked[run_folder(out, experiment)] = experiment
    dataset = load_described(base["dataset"])
    precisions = {experiment.resolved_recipe().precision for experiment in asked.values()}
    slow = [told for precision in sorted(precisions) if (told := warning(precision, base.get("device", "cpu")))]
    for told in () if follows() else (*dataset.warnings(), *slow):
        note(told)
    placed = asked if follows() else place_runs(out, list(asked.values()), dataset)
    failed = train_all(placed, dataset, jobs, processes)
    if follows():
        return placed
    found = find_runs(out, skipped=note)
    runs = [run for run in found if run.path not in failed]  # what was refused is not shown as if it were new
    if runs:
        write_report(out, None, runs=runs)
    raise_first(failed, len(placed))
    return placed
