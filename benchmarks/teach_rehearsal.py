"""What the default of `lose` rests on: teaching rehearsed on GRID without a single test clip.

    AVSHOT_DATA=<folder with grid/> python benchmarks/teach_rehearsal.py --out results/teach-rehearsal

The validation labels of `grid.py` are taught to Runs that were trained on its nine training labels, of whose clips each
seed holds out others. For each value of `lose` the table says what the trained labels really lose, which is what `lose`
promises to limit, and what is left for the taught ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from grid import UNSEEN_TEST, UNSEEN_VAL, prepare
from teach import cell, of_draw, without, write

from avshot import Experiment, run_experiment
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.files.atomic import save_text
from avshot.task import get_task
from avshot.terminal.tables import markdown

LOSE = (0.0, 0.005, 0.01, 0.02, 0.05, 1.0)
VAL, HELD_OUT = 6, 12  # clips of each label: to choose epochs and temperature, and to count what is lost


def main() -> None:
    """Train, teach with each value, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/teach-rehearsal"))
    parser.add_argument("--grid", type=Path, default=Path("results/grid"), help="where grid.py keeps its features")
    parser.add_argument("--methods", default="eszsl,gru,devise,ez_avgzl")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    toml = str(prepare(options.grid))
    rows: list[dict[str, Any]] = []
    for method in options.methods.split(","):
        for seed in map(int, options.seeds.split(",")):
            place = options.out / method / f"seed-{seed}"
            data = held_out(load_dataset(toml), seed)
            asked = Experiment(dataset=toml, method=method, seed=seed)
            run = run_experiment(asked, place / "before", dataset=without(data, UNSEEN_VAL))
            merged = {"train": np.concatenate([data.folds["train"], data.folds["val_seen"]])}
            folds = {fold: rows for fold, rows in data.folds.items() if fold != "val_seen"} | merged
            for stage in get_task("gfsl?shots=5&draws=3").stages(replace(data, folds=folds))[1:]:
                ways = {f"{lose:g}": (stage.few, lose) for lose in LOSE}
                found = of_draw(run, data, stage, place / f"taught-{stage.name}", ways)
                rows.append({"method": method, "seed": seed, "draw": stage.name} | found)
            write(rows, options.out / "rehearsal.csv")
    text = table(rows)
    save_text(options.out / "rehearsal.md", text)
    print(text)


def held_out(data: Dataset, seed: int) -> Dataset:
    """The training labels cut anew, the validation labels as those to be taught, and no test clip."""
    clips = {name: [] for name in data.classes_of("train")}
    for i in [*data.folds["train"].tolist(), *data.folds["val_seen"].tolist()]:
        clips[str(data.clips[i].label)].append(i)
    folds: dict[str, list[int]] = {"val_seen": [], "test_seen": [], "train": []}
    for name, own in sorted(clips.items()):
        order = np.random.default_rng([seed, sorted(clips).index(name)]).permutation(sorted(own)).tolist()
        folds["val_seen"] += order[:VAL]
        folds["test_seen"] += order[VAL : VAL + HELD_OUT]
        folds["train"] += order[VAL + HELD_OUT :]
    folds["test_unseen"] = data.folds["val_unseen"].tolist()
    return without(replace(data, folds={fold: np.array(rows) for fold, rows in folds.items()}), UNSEEN_TEST)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: per cent, mean ± deviation over draws and seeds."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        lost = [cell([row["S"] - row[f"S {lose:g}"] for row in own]) for lose in LOSE]
        lines.append([f"`{method}`", "S lost", *lost])
        lines.append(["", "U", *(cell([row[f"U {lose:g}"] for row in own]) for lose in LOSE)])
    return markdown(("method", "", *(f"`lose={lose:g}`" for lose in LOSE)), lines)


if __name__ == "__main__":
    main()
