"""Few shots where the best possible result is known: every method on simulated UCF, under its Bayes limit.

    python benchmarks/few_shots_limit.py --out results/few-limit --jobs 2

The features are those of `simulated:ucf-cls` at full size with `noise=6` (docs/simulated-features.md): loud enough that
even who knows the whole story errs. Each method must come nearer to the limit with k = 1, 5, 10, 20 shots and must not
pass it. The limit of FSL is counted on the very clips that the draws test; where a method passes it or falls with more
shots, its line says so. It resumes where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from few_table import SHOTS, results_of, run_shots, table_of

from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.simulated.bayes_limit import bayes_accuracy
from avshot.files.atomic import save_text
from avshot.task import get_task

ROWS = Path(__file__).parent.parent / "experiments" / "few-all-methods.toml"
SLACK = 0.01  # a fall that small is no fall: draws differ


def main() -> None:
    """Train, print the table, and what is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/few-limit"))
    parser.add_argument("--data", default="simulated:ucf-cls?noise=6", help="simulated data, not in sequences")
    parser.add_argument("--rows", type=Path, default=ROWS, help="bench file")
    parser.add_argument("--methods", default="", help="only these methods of it, comma-separated")
    parser.add_argument("--shots", default=",".join(map(str, SHOTS)))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    shots = [int(k) for k in options.shots.split(",")]
    data = load_dataset(options.data)
    limit = {k: {"FSL": limit_of(data, k, options.draws)} for k in shots}
    folders = run_shots(
        options.rows,
        options.out,
        shots,
        lambda k: options.data,
        draws=options.draws,
        seeds=[int(seed) for seed in options.seeds.split(",")],
        methods=[name for name in options.methods.split(",") if name],
        jobs=options.jobs,
    )
    found = results_of(folders)
    text = table_of(found, shots, last={"Bayes limit": limit})
    text += "\n".join(
        ["", *(verdicts(found, limit, shots) or ["Every method rises with k and stays under the limit."])]
    )
    save_text(options.out / "few.md", text + "\n")
    print(text)


def limit_of(data: Dataset, shots: int, draws: int) -> float:
    """The Bayes limit of FSL on the novel clips that the draws of the task test; mean over draws."""
    found = []
    for stage in get_task(f"gfsl?shots={shots}&draws={draws}").stages(data)[1:]:
        novel = np.array([i for i in stage.judge.tolist() if data.clips[i].label in set(stage.few)], dtype=np.int64)
        tested = replace(data, folds={"tested": novel}, candidates={})
        found.append(bayes_accuracy(tested, "tested", among=stage.few))
    return float(np.mean(found))


def verdicts(
    found: Mapping[str, Mapping[int, Mapping[str, tuple[float, float]]]],
    limit: Mapping[int, Mapping[str, float]],
    shots: Sequence[int],
) -> list[str]:
    """A sentence for each row that passes the limit, or falls with more shots, in FSL."""
    said = []
    for row, by_shots in found.items():
        values = [(k, by_shots[k]["FSL"][0]) for k in shots if "FSL" in by_shots.get(k, {})]
        if row in ("chance", "majority") or not values:
            continue
        said += [f"{row} passes the limit with {k} shots." for k, value in values if value > limit[k]["FSL"] + SLACK]
        pairs = pairwise(values)
        said += [f"{row} falls from {k} to {more} shots." for (k, few), (more, many) in pairs if many < few - SLACK]
    return said


if __name__ == "__main__":
    main()
