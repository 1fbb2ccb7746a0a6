"""Where the points are lost: HM as tested, without calibration, and with the calibration that is best on test.

    python benchmarks/calibration.py results/grid

"Best on test" is an upper bound that nobody may report as a result. The gain of class-embedding optimisation (CEO)
stands below, over the pairs of rows that differ in nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avshot.metrics.generalised import gzsl_metrics
from avshot.metrics.stacking import exact_curve
from avshot.run import Run, find_runs
from avshot.terminal.tables import markdown


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[Run]] = {}
    for run in find_runs(options.runs):
        rows.setdefault(run.path.parent.name, []).append(run)
    found = {label: np.array([three(run) for run in runs]) for label, runs in rows.items()}
    order = sorted(found, key=lambda label: -found[label][:, 0].mean())
    head = ["row", "HM", "without calibration", "best on test", "lost to calibration", "ZSL", "AUSUC"]
    print(markdown(head, [[label, *cells(found[label], rows[label])] for label in order]))
    print(ceo(rows))


def three(run: Run) -> tuple[float, float, float]:
    """HM of a Run as tested, at beta = 0, and at its best beta on the test clips."""
    test = run.scored("test")
    assert test is not None
    plain = gzsl_metrics(test.scores, test.labels, test.seen, 0.0)
    return run.metrics["HM"], plain["HM"], float(exact_curve(test.scores, test.labels, test.seen).hm.max())


def cells(values: np.ndarray, runs: Sequence[Run]) -> list[str]:
    """The cells of one row, per cent over seeds."""
    lost = values[:, 2] - values[:, 0]
    more = [np.array([run.metrics[name] for run in runs]) for name in ("ZSL", "AUSUC")]
    return [spread(v) for v in (values[:, 0], values[:, 1], values[:, 2], lost, *more)]


def spread(values: np.ndarray) -> str:
    """Mean and sample deviation in per cent."""
    deviation = f" ± {100 * values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * values.mean():.1f}{deviation}"


def ceo(rows: dict[str, list[Run]]) -> str:
    """What class-embedding optimisation changes: with minus without, seed by seed."""
    lines = []
    for label, runs in rows.items():
        other = label.removesuffix("-with-CEO") if label.endswith("-with-CEO") else f"{label}-without-CEO"
        if other == label or other not in rows:
            continue
        plain = {run.experiment.seed: run for run in rows[other]}
        pairs = [(run, plain[run.experiment.seed]) for run in runs if run.experiment.seed in plain]
        gain = [np.array([a.metrics[m] - b.metrics[m] for a, b in pairs]) for m in ("S", "U", "HM", "ZSL", "AUSUC")]
        lines.append([label.removesuffix("-with-CEO"), *(spread(g) for g in gain)])
    return markdown(["with CEO minus without", "S", "U", "HM", "ZSL", "AUSUC"], lines) if lines else ""


if __name__ == "__main__":
    main()
