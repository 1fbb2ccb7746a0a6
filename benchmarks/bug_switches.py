"""What the shifted class vectors of the released programs do, on data where class vectors are known to carry the class.

    AVSHOT_DATA=<folder with splits/ and text/> python benchmarks/bug_switches.py

The released programs join class vectors to classes by position, which gives many classes the vector of another one
(docs/findings.md). Features are simulated from the right vectors; methods are trained and tested with the right
ones and with the shifted ones, everything else being equal. What must come out:

- methods that learn from class vectors lose zero-shot accuracy: on UCF, where 5 of the 9 unseen classes have a wrong
  vector, most of it, on ActivityNet (1 of 50) hardly any;
- nearest class centroids of the features ("centroids", which ignores names) and the Bayes limit do not move at all.

With AVSHOT_DATA names, folds, clips per class and class vectors are the released ones; without it class vectors are
random and as large a share of them is wrong, chosen at random.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avshot.classes.dictionary import read_class_vectors
from avshot.data.dataset import Dataset, MemoryFeatures
from avshot.data.official.class_vectors import find_class_vectors
from avshot.data.simulated.bayes_limit import bayes_accuracy
from avshot.data.simulated.classes import RELEASED
from avshot.data.simulated.simulate import simulate
from avshot.experiment import Experiment
from avshot.protocol import run
from avshot.terminal.tables import markdown

METRICS = ("S", "HM", "ZSL")
HEAD = ("features", "method", *(f"{metric} {which}" for metric in METRICS for which in ("right", "shifted", "change")))
# Short trainings; nothing here is a result of a method.
RECIPES: Mapping[str, dict[str, Any]] = {
    "devise": {"epochs": 4, "batches_per_epoch": 100, "passes_per_epoch": 0, "lr": 1e-2}
}
DIMS = (128, 128)  # narrower than released features, so that the whole takes less than a minute


def datasets(benchmark: str, folder: Path | None, **settings: Any) -> tuple[Dataset, Dataset]:
    """The same simulated clips with the right and with the shifted class vectors."""
    if folder is not None:
        files = find_class_vectors(folder / "text", RELEASED[benchmark.split("-")[0]])
        settings |= {"names": folder / "splits", "vectors": read_class_vectors(files["w2v"])}
    right, shifted = (simulate(benchmark, shifted=wrong, dims=DIMS, **settings) for wrong in (False, True))
    return right, shifted


def in_memory(data: Dataset) -> Dataset:
    """The dataset with all its features made, once for all epochs."""
    assert data.features is not None
    ids = tuple(clip.id for clip in data.clips)
    return replace(data, features=MemoryFeatures(ids, data.gather(np.arange(len(ids))), data.features.spec))


def centroids(data: Dataset) -> dict[str, float | None]:
    """S of the nearest class mean in feature space, which needs clips of a class and no name."""

    def clips(*folds: str) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.concatenate([data.fold(fold) for fold in folds])
        return torch.cat(data.gather(rows).pooled(), dim=1), data.labels(rows)

    (known, labels), (asked, true) = clips("train", "val_seen", "val_unseen"), clips("test_seen")
    seen = labels.unique()
    means = torch.stack([known[labels == c].mean(dim=0) for c in seen])
    right = seen[torch.cdist(asked, means).argmin(dim=1)] == true
    return {"S": float(np.mean([right[true == c].float().mean() for c in true.unique()]))}


def trained(method: str, data: Dataset, seed: int) -> dict[str, float | None]:
    """Metrics of a method under the protocol."""
    experiment = Experiment(dataset=data.name, method=method, seed=seed, recipe=RECIPES.get(method, {}))
    with tempfile.TemporaryDirectory() as folder:
        return run(experiment, folder, dataset=data).metrics


def wrong_vectors(right: Dataset, shifted: Dataset) -> str:
    """How many classes, and how many of the unseen test classes, have a vector that is not theirs."""
    (true,), (told,) = right.text.values(), shifted.text.values()
    wrong = (true != told).any(dim=1)
    unseen = [right.names.index(name) for name in right.classes_of("test_unseen")]
    return f"{right.name}: a wrong vector for {int(wrong.sum())} of {len(wrong)} classes, " + (
        f"{int(wrong[unseen].sum())} of {len(unseen)} unseen ones"
    )


def measured(benchmark: str, folder: Path | None, methods: list[str], seed: int, **settings: Any) -> dict[str, Any]:
    """`{method: (metrics right, metrics shifted)}` of one seed; prints how much is wrong for the first one."""
    pair = datasets(benchmark, folder, seed=seed, **settings)
    if seed == 0:
        print(f"- {wrong_vectors(*pair)} (seed 0)")
    limits = tuple({"ZSL": bayes_accuracy(data, "test_unseen")} for data in pair)
    ready = tuple(map(in_memory, pair))
    found: dict[str, Any] = {name: tuple(trained(name, data, seed) for data in ready) for name in methods}
    return found | {"centroids": tuple(map(centroids, ready)), "Bayes limit": limits}


def row(pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    """Mean ± deviation over seeds of each metric with right vectors, with shifted ones, and of the change."""
    cells = []
    for metric in METRICS:
        if any(side.get(metric) is None for pair in pairs for side in pair):
            cells += ["-"] * 3
            continue
        values = 100 * np.array([[side[metric] for side in pair] for pair in pairs])
        columns = (values[:, 0], values[:, 1], values[:, 1] - values[:, 0])
        cells += [f"{column.mean():.1f} ± {column.std():.1f}" for column in columns]
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", default="ucf-main,activitynet-main")
    parser.add_argument("--methods", default="eszsl,devise")
    parser.add_argument("--scale", type=float, default=0.1, help="share of the benchmark's clips")
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(os.environ["AVSHOT_DATA"]) if os.environ.get("AVSHOT_DATA") else None
    if folder is not None and not (folder / "splits").is_dir():
        sys.exit("AVSHOT_DATA has no folder splits with the released lists; unset it to use random class vectors.")
    torch.set_num_threads(1)
    methods, rows = options.methods.split(","), []
    print("class vectors:", "released" if folder else "random, an equal share of them wrong")
    for benchmark in options.benchmarks.split(","):
        settings = {"scale": options.scale, "noise": options.noise}
        found = [measured(benchmark, folder, methods, seed, **settings) for seed in range(options.seeds)]
        rows += [[benchmark, name, *row([one[name] for one in found])] for name in found[0]]
    print("\n" + markdown(HEAD, rows), end="")


if __name__ == "__main__":
    main()
