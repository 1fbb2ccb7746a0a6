"""Whether a change of the code moves a number: the same trainings under two revisions, compared bit for bit.

    python benchmarks/same_runs.py REVISION             # what is checked out here against REVISION
    python benchmarks/same_runs.py REVISION --out DIR   # keep the Runs of both

Six methods that between them use every way of training: one linear map, a closed form with `adapt`, averages, sequences
with optimised class embeddings, a hyperbolic alignment, and players that take turns with a final classifier. Compared
are all tensors, the metrics, the history, and what validation chose; where a file lays them out is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[1]
DATASET = "simulated:ucf-cls?scale=0.2"
METHODS = {
    "devise": [],
    "eszsl": [],
    "avca": [],
    "ez_avgzl": ["--optimise-classes", "--set", "optimise.max_steps=20"],
    "hyper_multiple": [],
    "f_vaegan_d2": [],
}
QUICK = ("--set", "recipe.epochs=4", "--set", "recipe.batches_per_epoch=10", "--set", "recipe.batch_size=64")
TENSORS = ("weights", "scores", "classes", "embeddings", "familiar")


def train(source: Path, out: Path, dataset: str) -> None:
    """Train the six with the code in `source`, one thread, each into a folder of its name."""
    surroundings = os.environ | {"PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    for method, more in METHODS.items():
        command = [sys.executable, "-m", "avshot", "train", dataset, "--method", method, "--out", str(out / method)]
        done = subprocess.run([*command, *QUICK, *more], env=surroundings, capture_output=True, text=True, cwd=source)
        if done.returncode:
            raise SystemExit(f"{method} under {source}: {done.stderr}")


def differences(before: Path, after: Path) -> list[str]:
    """What differs between the one Run below each of two folders, as words."""
    old, new = (next(root.rglob("run.json")).parent for root in (before, after))
    found = []
    for name in TENSORS:
        left, right = (load_file(run / f"{name}.safetensors") for run in (old, new))
        if name == "familiar" and left.keys() != right.keys():
            continue  # a newer layout of what the training clips were like; no result depends on it
        if left.keys() != right.keys():
            found.append(f"{name} holds other tensors: {sorted(left.keys() ^ right.keys())[:4]}")
        else:
            found += [f"{name}/{key}" for key in left if not torch.equal(left[key], right[key])]
    one, other = chosen(old), chosen(new)
    found += [f"chosen {key}: {one[key]}, {other[key]}" for key in one if one[key] != other[key]]
    for file in ("metrics.json", "history.json"):
        one, other = (plain(json.loads((run / file).read_text())) for run in (old, new))
        found += [
            f"{file} {key}: {one[key]}, {other[key]}" for key in one.keys() & other.keys() if one[key] != other[key]
        ]
        found += [f"{file} has no {key}" for key in one.keys() - other.keys() if one[key] != []]  # of no epochs
    return found


def chosen(run: Path) -> dict[str, Any]:
    """What validation chose, whatever the format of the Run."""
    found = json.loads((run / "run.json").read_text())["chosen"]
    found = found | found.get("settings", {})
    return {key: found[key] for key in ("epochs", "drops", "beta", "view", "temperature", "score")}


def plain(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, and the settings of an epoch under the names they had before."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if key == "settings" and isinstance(value, list):
            names = {name for epoch in value for name in epoch}
            flat |= {f"{prefix}{name}s": [epoch[name] for epoch in value] for name in names}
        elif isinstance(value, dict):
            flat |= plain(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def main() -> None:
    """Compare, print one line for each method, and leave with 1 where any number differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("revision", help="of git, for example HEAD or v0.1.0")
    parser.add_argument("--dataset", default=DATASET)
    parser.add_argument("--out", type=Path, help="folder to keep the Runs in")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        out, tree = asked.out or Path(place) / "runs", Path(place) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", tree, asked.revision], cwd=ROOT, check=True)
        try:
            train(tree, out.resolve() / "before", asked.dataset)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
        train(ROOT, out.resolve() / "after", asked.dataset)
        found = {method: differences(out / "before" / method, out / "after" / method) for method in METHODS}
    for method, differs in found.items():
        print(f"{method:16} {'; '.join(differs[:5]) or 'equal bit for bit'}")
    raise SystemExit(any(found.values()))


if __name__ == "__main__":
    main()
