"""`avshot train`: the trainings that were asked for, then the table and the report."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from avshot.cli.report import write_report
from avshot.terminal.progress import note, show_trainings


def train_grid(
    base: dict[str, Any], axes: dict[str, list[Any]], out: Path, *, jobs: int = 1, processes: int = 1
) -> dict[Path, Any]:
    """Every combination of `axes` on top of `base`, then the table and the report; returns `{Run folder: experiment}`.

    The finished trainings are reported before the error of one that failed is raised. Of several processes that share a
    training the first one alone reports.
    """
    from avshot.bench.sweep import raise_first, sweep
    from avshot.experiment import parse_experiment
    from avshot.run import find_runs
    from avshot.training.distributed import is_worker

    asked = [
        parse_experiment(base | dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())
    ]
    with show_trainings() as progress:
        swept = sweep(asked, out, jobs=jobs, processes=processes, progress=progress, say=note)
    if is_worker():
        return swept.placed
    found = find_runs(out, skipped=note)
    runs = [run for run in found if run.path not in swept.failed]  # what was refused is not shown as if it were new
    if runs:
        write_report([out], None, runs=runs)
    raise_first(swept.failed, len(swept.placed))
    return swept.placed
