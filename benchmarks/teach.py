"""Teach a Run four GRID labels from a few clips each: what it learns, what it forgets, and what a training would give.

    AVSHOT_DATA=<folder with grid/> python benchmarks/teach.py --out results/teach

A Run is trained on twelve of the sixteen labels of `grid.py`; of the other four it knows neither clips nor names. Then,
for each draw of clips (those of the task `gfsl`), it is taught the four by their names, and by names that say nothing
("class A"), and asked about all other clips among sixteen candidates. Beside it stand the names alone, without clips,
and the task `gfsl` itself: the whole protocol of two stages on the same clips. This script chooses nothing on
test clips. A command that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from grid import UNSEEN_TEST, prepare
from torch import Tensor

from avshot import Experiment, run_experiment
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.files.atomic import save_text
from avshot.metrics.generalised import harmonic_mean
from avshot.prediction.predictor import Predictor
from avshot.prediction.teach import LOSE, teach
from avshot.run import Run
from avshot.task import Stage, get_task
from avshot.terminal.tables import markdown

NONSENSE = ("class A", "class B", "class C", "class D")
WAYS = {  # of knowing the four classes
    "words": "their names alone",
    "name": "taught",
    "nonsense": 'taught as "class A" to "class D"',
    "alike": "taught, `lose=1`",
    "training": "trained on the same clips (`gfsl`)",
}


def main() -> None:
    """Train, teach, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/teach"))
    parser.add_argument("--grid", type=Path, default=Path("results/grid"), help="where grid.py keeps its features")
    parser.add_argument("--methods", default="ez_avgzl,gru,eszsl,devise")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--training-seeds", default="0", help="those that train on the same clips, too; may be empty")
    options = parser.parse_args()
    also = [int(seed) for seed in options.training_seeds.split(",") if seed]
    toml = str(prepare(options.grid))
    task = f"gfsl?shots={options.shots}&draws={options.draws}"
    rows = []
    for method in options.methods.split(","):
        for seed in map(int, options.seeds.split(",")):
            asked, place = Experiment(dataset=toml, method=method, seed=seed), options.out / method / f"seed-{seed}"
            rows += measured(asked, place, task, again=seed in also)
            write(rows, options.out / "teach.csv")
    text = table(rows)
    save_text(options.out / "teach.md", text)
    print(text)


def measured(asked: Experiment, place: Path, task: str, *, again: bool) -> list[dict[str, Any]]:
    """One row of figures for each draw of clips."""
    data = load_dataset(asked.dataset)
    run = run_experiment(asked, place / "before", dataset=without(data, UNSEEN_TEST))
    stages = get_task(task).stages(data)[1:]
    rows = [of_draw(run, data, stage, place / f"taught-{stage.name}", ways(stage)) for stage in stages]
    for row, stage in zip(rows, stages, strict=True):
        row |= {"method": asked.method, "seed": asked.seed, "draw": stage.name}
    if again:
        other = Experiment(dataset=asked.dataset, method=asked.method, seed=asked.seed, task=task)
        trained = run_experiment(other, place / "training", dataset=data)
        for i, row in enumerate(rows, start=1):
            scored = trained.scored("test" if i == 1 else f"test{i}")
            found = trained.task.measure(scored, trained.settings)
            row |= {"S training": found["B"], "U training": found["N"], "HM training": found["HM"]}
            row["seconds training"] = trained.info["seconds"]
    return rows


def without(data: Dataset, names: Iterable[str]) -> Dataset:
    """The dataset without these classes: neither their clips nor their names."""
    kept = [i for i, clip in enumerate(data.clips) if clip.label not in set(names)]
    place = {old: new for new, old in enumerate(kept)}
    folds = {
        fold: torch.tensor([place[i] for i in rows.tolist() if i in place], dtype=torch.long).numpy()
        for fold, rows in data.folds.items()
    }
    clips = tuple(data.clips[i] for i in kept)
    return replace(data, clips=clips, names=tuple(n for n in data.names if n not in set(names)), folds=folds)


def ways(stage: Stage) -> dict[str, tuple[Sequence[str], float]]:
    """How the Run is taught: `{way: (what each class is called, how many clips trained classes may lose)}`."""
    return {"name": (stage.few, LOSE), "nonsense": (NONSENSE, LOSE), "alike": (stage.few, 1.0)}


def of_draw(
    run: Run, data: Dataset, stage: Stage, folder: Path, ways: Mapping[str, tuple[Sequence[str], float]]
) -> dict[str, Any]:
    """What a Run says of the tested clips of a draw before and after it was taught the draw's clips, in each way."""
    features, labels = data.gather(stage.judge), [str(data.clips[i].label) for i in stage.judge.tolist()]
    shots = {
        name: data.gather([i for i in stage.pools["novel"].tolist() if data.clips[i].label == name])
        for name in stage.few
    }
    before = Predictor(run)
    row = {"S": accuracy(answers(before, features, labels, stage.seen), labels, stage.seen)}
    found = answers(before, features, labels, stage.candidates)
    row |= kinds(found, labels, stage, "words")
    for kind, (called, lose) in ways.items():
        shutil.rmtree(folder, ignore_errors=True)
        started = time.perf_counter()
        made = teach(run, {new: shots[name] for new, name in zip(called, stage.few, strict=True)}, folder, lose=lose)
        row[f"seconds {kind}"] = time.perf_counter() - started
        spoken = dict(zip(stage.few, called, strict=True))
        meant = [spoken.get(name, name) for name in stage.candidates]
        found = answers(Predictor(made), features, labels, stage.candidates, meant)
        row |= kinds(found, labels, stage, kind)
    return row


def answers(
    predictor: Predictor, features: Any, labels: Sequence[str], names: Sequence[str], meant: Sequence[str] = ()
) -> list[str]:
    """The most probable of the classes `names` for each clip; `meant` is what the Run calls them."""
    p: Tensor = predictor.probabilities(features, meant or names)
    return [names[j] for j in p.argmax(dim=1).tolist()]


def kinds(found: Sequence[str], labels: Sequence[str], stage: Stage, kind: str) -> dict[str, float]:
    """S, U and HM of answers."""
    seen, unseen = accuracy(found, labels, stage.seen), accuracy(found, labels, stage.few)
    return {f"S {kind}": seen, f"U {kind}": unseen, f"HM {kind}": harmonic_mean(seen, unseen)}


def accuracy(found: Sequence[str], labels: Sequence[str], classes: Iterable[str]) -> float:
    """Mean accuracy over those of the classes that have clips."""
    hits = {name: [f == name for f, label in zip(found, labels, strict=True) if label == name] for name in classes}
    return mean(mean(map(float, own)) for own in hits.values() if own)


def write(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """All figures, a line for each draw."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names)
        writer.writeheader()
        writer.writerows(rows)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: per cent, mean ± deviation over draws and seeds; the seconds are the longest."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        lines.append([f"`{method}`", "nothing", cell([row["S"] for row in own]), "-", "-", "-", "-"])
        for kind, way in WAYS.items():
            found = [row for row in own if f"S {kind}" in row]
            if found:
                metrics = [cell([row[f"{metric} {kind}"] for row in found]) for metric in ("S", "U", "HM")]
                lost = cell([row["S"] - row[f"S {kind}"] for row in found])
                seconds = [row[f"seconds {kind}"] for row in found if f"seconds {kind}" in row]
                lines.append(["", way, metrics[0], lost, *metrics[1:], f"{max(seconds):.2f}" if seconds else "-"])
    return markdown(("method", "what it knows of four classes", "S", "S lost", "U", "HM", "seconds"), lines)


def cell(found: Sequence[float]) -> str:
    """Fractions in per cent."""
    spread = f" ± {100 * stdev(found):.1f}" if len(found) > 1 else ""
    return f"{100 * mean(found):.1f}{spread}"


if __name__ == "__main__":
    main()
