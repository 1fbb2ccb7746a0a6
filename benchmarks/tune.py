"""Choosing settings on validation alone: every row of a bench file on several hold-outs of classes, never a test clip.

    python benchmarks/tune.py results/world/rendered/world.toml benchmarks/tuning/ez-avgzl.toml --out results/tune/world

Hold-out 0 is the dataset's own validation. Each other hold-out draws as many unseen classes, and as many clips of each
seen class, from the clips of the three folds that stage 1 may see. A row is trained once for each hold-out and seed;
its scores after every epoch are kept in one file, so the command resumes, and several may share a folder. Printed for
each row, mean over hold-outs and seeds, per cent:

- AUSUC and ZSL of the validation clips, after the epoch with the best mean AUSUC: one number of epochs for all;
- HM: at that epoch, with the calibration that the protocol's rule chooses on these clips;
- carried: HM with the epoch and calibration that the *other* hold-outs chose, on average: what is left where new
  classes come. A form whose scores keep their scale loses little here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avshot.bench.plan import Entry, load_plan
from avshot.classes.candidates import candidates_of_stage
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.experiment import Experiment, Parts, parse_experiment, resolve
from avshot.files.atomic import load_tensors, save_tensors
from avshot.method import Method
from avshot.metrics.generalised import choose_beta, gzsl_metrics
from avshot.task import Verdict
from avshot.terminal.tables import markdown
from avshot.training.clips import ClipSource
from avshot.training.fitting import as_read, embedded, fit, shown
from avshot.training.scoring import Judged, score_clips

STAGE1 = ("train", "val_seen", "val_unseen")
HEAD = ("row", "runs", "epochs", "AUSUC", "ZSL", "HM", "carried", "worst AUSUC")


def held_out(dataset: Dataset, number: int) -> Dataset:
    """The clips that stage 1 may see, with other classes and clips held out; 0 = those of the dataset."""
    folds = {name: np.asarray(dataset.folds[name]) for name in STAGE1}
    if number == 0:
        return replace(dataset, folds=folds, candidates={})
    unseen = len(dataset.classes_of("val_unseen"))
    kept = round(len(folds["val_seen"]) / max(len(dataset.classes_of("val_seen")), 1))
    rng = np.random.default_rng(number)
    pool = np.sort(np.concatenate(list(folds.values())))
    labels = np.array([dataset.clips[i].label for i in pool.tolist()])
    drawn: dict[str, list[int]] = {name: [] for name in STAGE1}
    for place, label in enumerate(rng.permutation(np.unique(labels))):
        rows = rng.permutation(pool[labels == label]).tolist()
        if place < unseen:
            drawn["val_unseen"] += rows
        else:
            drawn["val_seen"] += rows[:kept]
            drawn["train"] += rows[kept:]
    return replace(dataset, folds={name: np.sort(rows) for name, rows in drawn.items()}, candidates={})


def train(parts: Parts, dataset: Dataset, file: Path) -> None:
    """Train on stage 1 and keep the scores of the validation clips after every epoch."""
    dataset = as_read(parts, dataset)
    stage = parts.task.stages(dataset)[0]
    classes, _, _ = candidates_of_stage(embedded(parts, dataset), stage.candidates, stage.seen, parts.optimise)
    judged = Judged(ClipSource(dataset, stage.judge, classes, shown(parts, dataset, stage)), classes)
    scores: list[torch.Tensor] = []

    def judge(model: Method) -> Verdict:
        scores.append(score_clips(model, judged))
        return Verdict(gzsl_metrics(scores[-1], judged.source.labels, classes.seen, 0.0)["AUSUC"], {})

    fit(parts, dataset, stage, classes, judge=judge)
    save_tensors(file, {"scores": torch.stack(scores), "labels": judged.source.labels, "seen": classes.seen})


def key_of(experiment: Experiment, dataset: Dataset, number: int) -> str:
    """Names a training: all that it was asked, of which data and which hold-out."""
    asked = json.dumps([experiment.model_dump(mode="json"), dataset.fingerprint(), number], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:20]


def line(row: Entry, files: Mapping[tuple[int, int], Path], grid: str) -> tuple[str, ...]:
    """One row of the table."""
    kept = {place: load_tensors(file)[0] for place, file in files.items()}
    shortest = min(len(part["scores"]) for part in kept.values())
    found = {
        place: [gzsl_metrics(part["scores"][e], part["labels"], part["seen"], 0.0) for e in range(shortest)]
        for place, part in kept.items()
    }
    area = np.array([[metrics["AUSUC"] for metrics in curve] for curve in found.values()])
    best = int(area.mean(axis=0).argmax())
    chosen = {
        place: choose_beta(part["scores"][best], part["labels"], part["seen"], grid) for place, part in kept.items()
    }
    carried = []
    for place, part in kept.items():
        betas = [beta for (number, _), (beta, _) in chosen.items() if number != place[0]]
        beta = float(np.mean(betas)) if betas else 0.0
        carried.append(gzsl_metrics(part["scores"][best], part["labels"], part["seen"], beta)["HM"])
    values = (
        area[:, best],
        [curve[best]["ZSL"] for curve in found.values()],
        [hm for _, hm in chosen.values()],
        carried,
    )
    return (
        row.label,
        str(len(kept)),
        str(best + 1),
        *(
            f"{100 * np.mean(value):.1f} ± {100 * np.std(value, ddof=1 if len(value) > 1 else 0):.1f}"
            for value in values
        ),
        f"{100 * area[:, best].min():.1f}",
    )


def main() -> None:
    """Train what is not there yet; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("rows", type=Path, help="bench file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hold-outs", default="0,1,2,3,4")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--only", default="", help="labels of rows, comma-separated")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plan, dataset = load_plan(options.rows), load_dataset(options.dataset)
    wanted = [label for label in options.only.split(",") if label]
    lines = []
    for row in plan.rows:
        if row.reference or (wanted and row.label not in wanted):
            continue
        files, grid = {}, "exact"
        for number in map(int, options.hold_outs.split(",")):
            for seed in map(int, options.seeds.split(",")):
                experiment = parse_experiment({**row.settings, "dataset": options.dataset, "seed": seed})
                held, parts = held_out(dataset, number), resolve(experiment)
                file = options.out / f"{key_of(experiment, held, number)}.safetensors"
                if not file.exists():
                    train(parts, held, file)
                files[number, seed] = file
        lines.append(line(row, files, grid))
        print(markdown(HEAD, lines[-1:]).splitlines()[-1], flush=True)
    print("\n" + markdown(HEAD, lines))


if __name__ == "__main__":
    main()
