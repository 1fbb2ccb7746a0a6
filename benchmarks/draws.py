"""A bench over several draws of the unseen classes, because one draw tells of its own classes alone.

    python benchmarks/draws.py DATASET.toml experiments/ez-avgzl-forms.toml --out results/forms/world --draws 5

Draw 0 is the dataset as it is; each other one takes as many other classes for unseen ones, in validation and in the
test, and the same features. Every row is trained on every draw with every seed under the whole protocol; what is there
already is kept. Printed: mean over draws and seeds, ± the sample deviation over draws of the mean over seeds; and the
same of the difference to the row that the bench file compares with, with p of a paired t-test whose observations are
the draws.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from points import split_anew, spread
from scipy.stats import ttest_1samp

from avshot.bench.plan import Plan, load_plan
from avshot.bench.trainings import train_plan
from avshot.run import Run
from avshot.terminal.tables import markdown

Values = Mapping[str, list[list[Run]]]  # of each row: the Runs of each draw, by seed


def of_draws(draws: list[list[Run]], metric: str) -> list[float]:
    """The metric of each draw: its mean over seeds."""
    return [float(np.mean([run.metrics[metric] for run in runs])) for runs in draws]


def table(values: Values, plan: Plan) -> str:
    """One line for each row: metrics, and the gain over the row that others are compared with."""
    against = values.get(plan.against)
    lines = []
    for label, draws in values.items():
        cells = [label, f"{len(draws)} x {len(draws[0])}", *(spread(of_draws(draws, m)) for m in plan.metrics)]
        for metric in ("HM", "AUSUC"):
            if against is None or label == plan.against:
                cells += ["", ""]
                continue
            gain = np.array(of_draws(draws, metric)) - np.array(of_draws(against, metric))
            p = float(ttest_1samp(gain, 0.0).pvalue) if len(gain) > 1 and gain.std() > 0 else 1.0
            cells += [spread(gain.tolist()), f"{p:.3f}"]
        lines.append(cells)
    head = ("row", "draws x seeds", *plan.metrics, "HM gain", "p", "AUSUC gain", "p")
    return markdown(head, lines)


def main() -> None:
    """Train what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help=".toml with features")
    parser.add_argument("rows", type=Path, help="bench file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default="", help="labels of rows, separated by semicolons")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    plan = replace(load_plan(options.rows), seeds=tuple(map(int, options.seeds.split(","))))
    wanted = [label for label in options.only.split(";") if label]
    if wanted:
        plan = replace(plan, rows=tuple(row for row in plan.rows if row.label in wanted))
    drawn = [str(options.dataset)]
    drawn += [split_anew(options.dataset, options.out / "splits", seed) for seed in range(1, options.draws)]
    values: dict[str, list[list[Run]]] = {}
    for place, dataset in enumerate(drawn):
        trainings = train_plan(plan, options.out / f"draw-{place}", [dataset], jobs=options.jobs)
        for line in trainings.blocks[0].lines:
            if line.reason:
                sys.exit(f"{line.entry.label}: {line.reason}")
            values.setdefault(line.entry.label, []).append(list(line.runs))
    print(table(values, plan))


if __name__ == "__main__":
    main()
