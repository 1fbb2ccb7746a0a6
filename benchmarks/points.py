"""Which point of the separability-semantics curve recognises best: every point against the classes as they were.

    export AVSHOT_DATA=<folder with splits/ and text/>
    python benchmarks/points.py results/points/simulated-ucf --simulate ucf --seeds 0,1,2,3,4
    python benchmarks/points.py results/points/grid-splits --split results/grid/grid.toml --seeds 1,2,3,4,5,6
    python benchmarks/points.py results/points/grid

The first trains points of `experiments/ceo-points.toml` on simulated features, made by the released class vectors
(docs/simulated-features.md); each seed draws its own maps and clips. The second takes a dataset of one's own whose
features are there, and each seed draws other unseen classes. The third only reads a folder of Runs, such as that of
`avshot bench experiments/ceo-points.toml --out FOLDER`. All print a table for each method:

- what the point does to the classes of the test: growth of the mean nearest-neighbour distance, rank correlation;
- validation: score of stage 1 that chose epoch and calibration; "best" is the point that it would choose;
- HM, ZSL and AUSUC of the test, mean and sample deviation over seeds; HM and AUSUC minus that of "none", paired;
- p of the difference in HM, Holm-corrected over the points: on one dataset the paired permutation test over test clips,
  over several datasets a paired t-test whose observations are the datasets.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import ttest_1samp

from avshot.bench.plan import load_plan
from avshot.bench.significance import holm, paired_p_value
from avshot.bench.trainings import train_plan
from avshot.data.manifest import declare
from avshot.data.official.class_vectors import find_class_vectors
from avshot.data.simulated.classes import RELEASED
from avshot.data.split import SplitRule
from avshot.metrics.stacking import predict_calibrated
from avshot.run import Run, find_runs
from avshot.terminal.tables import markdown

NONE = "none"
POINTS = Path(__file__).parent.parent / "experiments" / "ceo-points.toml"
HEAD = ("point", "runs", "growth", "correlation", "validation", "HM", "ZSL", "AUSUC", "HM gain", "p", "AUSUC gain")
# Share of the benchmark's clips, and noise that leaves methods something to gain.
SIMULATED = {
    "ucf": "simulated:ucf-main?scale=0.3&noise=4",
    "activitynet": "simulated:activitynet-main?scale=0.2&noise=5",
    "vggsound": "simulated:vggsound-main?scale=0.1&noise=5",
}

Rows = dict[tuple[str, int], Run]  # of one method and point: by dataset and seed


def gathered(folder: Path) -> dict[str, dict[str, Rows]]:
    """`{method: {point: runs}}` of a bench's folder; a row is labelled "method, point", its folder "method-point"."""
    found: dict[str, dict[str, Rows]] = {}
    for run in find_runs(folder):
        method, label = run.experiment.method, run.path.parent.name
        if label.startswith(f"{method}-"):
            point = label.removeprefix(f"{method}-").replace("-", " ")
            rows = found.setdefault(method, {}).setdefault(point, {})
            rows[(run.path.parent.parent.name, run.experiment.seed)] = run
    return found


def spread(values: Sequence[float], unit: float = 100.0) -> str:
    """Mean and sample deviation, per cent unless said otherwise."""
    found = unit * np.array(values)
    return f"{found.mean():.1f}" + (f" ± {found.std(ddof=1):.1f}" if len(found) > 1 else "")


def p_value(rows: Rows, none: Rows) -> float:
    """Of the difference in HM: over clips where there is one dataset, else over datasets."""
    common = sorted(set(rows) & set(none))
    names = sorted({dataset for dataset, _ in common})
    if len(names) == 1:
        right = [torch.stack([_right(side[key]) for key in common]) for side in (rows, none)]
        test = none[common[0]].scored("test")
        assert test is not None
        return paired_p_value(right[0], right[1], test.labels, test.seen)
    gains = {
        name: [rows[key].metrics["HM"] - none[key].metrics["HM"] for key in common if key[0] == name] for name in names
    }
    found = ttest_1samp([float(np.mean(gain)) for gain in gains.values()], 0.0).pvalue
    return float(np.nan_to_num(found, nan=1.0))  # all gains are 0


def _right(run: Run) -> torch.Tensor:
    test = run.scored("test")
    assert test is not None
    return predict_calibrated(test.scores, test.seen, run.beta) == test.labels


def table(points: Mapping[str, Rows], order: Sequence[str]) -> str:
    """The table of one method, points in the order of the bench file."""
    names = [name for name in order if name in points]
    names += sorted(set(points) - set(names))
    none = points.get(NONE, {})
    tested = [name for name in names if name != NONE and none]
    p = dict(zip(tested, holm([p_value(points[name], none) for name in tested]), strict=True))
    validation = {name: [run.info["chosen"]["score"] for run in points[name].values()] for name in names}
    best = max(names, key=lambda name: float(np.mean(validation[name])))
    lines = []
    for name in names:
        runs = points[name]
        gains = {
            metric: [run.metrics[metric] - none[key].metrics[metric] for key, run in runs.items() if key in none]
            for metric in ("HM", "AUSUC")
        }
        lines.append(
            [
                name,
                str(len(runs)),
                *_geometry(list(runs.values())),
                spread(validation[name]) + (" best" if name == best else ""),
                *(spread([run.metrics[metric] for run in runs.values()]) for metric in ("HM", "ZSL", "AUSUC")),
                "" if name not in p else spread(gains["HM"]),
                "" if name not in p else f"{p[name]:.3f}",
                "" if name not in p else spread(gains["AUSUC"]),
            ]
        )
    return markdown(HEAD, lines)


def _geometry(runs: Sequence[Run]) -> tuple[str, str]:
    """Growth and rank correlation, mean over runs and text encoders."""
    outcomes = [outcome for run in runs for outcome in run.info["optimise"]["test"].values()]
    if not outcomes:
        return "1.00", "1.000"
    growth, correlation = (np.mean([outcome[key] for outcome in outcomes]) for key in ("growth", "correlation"))
    return f"{growth:.2f}", f"{correlation:.3f}"


def simulated(name: str, seed: int) -> str:
    """Spec of a simulated dataset with the released class vectors."""
    data = Path(os.environ.get("AVSHOT_DATA", ""))
    if "AVSHOT_DATA" not in os.environ or not (data / "splits").exists():
        sys.exit("Set AVSHOT_DATA to a folder that holds splits/ and text/, the released lists and class vectors.")
    vectors = find_class_vectors(data / "text", RELEASED[name])["w2v"]
    return f"{SIMULATED[name]}&names={data / 'splits'}&vectors={vectors}&seed={seed}"


def split_anew(file: Path, out: Path, seed: int) -> str:
    """The dataset `file` with as many other unseen classes, drawn by `seed`, and the same features; its `.toml`."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    amounts = {key: content["split"][key] for key in ("train", "val", "test") if key in content["split"]}
    unseen = {f"unseen_{part}": len(content["unseen"][part]) for part in ("val", "test")}
    source, media = (file.parent / content["source"][key] for key in ("path", "media"))
    out.mkdir(parents=True, exist_ok=True)
    new = out / f"{file.stem}-split-{seed}.toml"
    declare(source, new, rule=SplitRule(**amounts, **unseen, seed=seed), media=media, overwrite=True)
    features = new.with_suffix(".features")
    if not features.exists():
        features.symlink_to(file.with_suffix(".features").resolve(), target_is_directory=True)
    return str(new)


def main() -> None:
    """Train on simulated features, or print the tables of folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of Runs")
    parser.add_argument("--simulate", choices=sorted(SIMULATED), help="train first, on features of these classes")
    parser.add_argument("--split", type=Path, metavar="TOML", help="train first, on this with other unseen classes")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="of the datasets, and of one training each")
    parser.add_argument("--methods", default="eszsl", help="comma-separated")
    parser.add_argument("--points", help="train only these, comma-separated; default: all of the bench file")
    options = parser.parse_args()
    for seed in map(int, options.seeds.split(",")) if options.simulate or options.split else ():
        plan = replace(load_plan(POINTS).only(options.methods.split(",")), seeds=(seed,), against="")
        if options.points:
            wanted = [f"{m}, {p}" for m in options.methods.split(",") for p in options.points.split(",")]
            plan = replace(plan, rows=tuple(row for row in plan.rows if row.label in wanted))
        drawn = [simulated(options.simulate, seed)] if options.simulate else []
        drawn += [split_anew(options.split, options.folder / "splits", seed)] if options.split else []
        train_plan(plan, options.folder, drawn)
    order = [NONE, *(f"{way} {far}" for way in ("paper", "stiff", "alone") for far in ("x1.35", "x2", "full"))]
    for method, points in gathered(options.folder).items():
        print(f"\n{options.folder.name}, {method}:\n\n{table(points, order)}")


if __name__ == "__main__":
    main()
