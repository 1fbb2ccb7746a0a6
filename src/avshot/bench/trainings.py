"""Train what a plan asks for, dataset by dataset, and gather what came out. Finished Runs are never trained again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from avshot.bench.plan import Entry, Plan, benchmark_of, experiment_of, locate
from avshot.candidates import class_embeddings
from avshot.data.dataset import Dataset, load_described
from avshot.grid import train_all
from avshot.method import Inputs, build_method, get_method
from avshot.run import Experiment, Run, load_run


@dataclass(frozen=True)
class Line:
    """What came of one row on one dataset: its Runs, or the reason why there are none."""

    entry: Entry
    runs: tuple[Run, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Block:
    """All rows on one dataset.

    Attributes:
        dataset: As the plan names it.
        name: Name of the loaded dataset.
        benchmark: The released benchmark it is or imitates, for published numbers (`avshot.bench.plan.benchmark_of`).
        simulated: It only imitates the benchmark.
        lines: One per row of the plan.
    """

    dataset: str
    name: str
    benchmark: str
    simulated: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Outcome:
    """What a bench gave: a block per dataset, and what failed, by Run folder."""

    blocks: tuple[Block, ...]
    failed: dict[Path, Exception]
    trainings: int


def train_plan(
    plan: Plan, out: Path, datasets: Sequence[str], *, root: Path | None = None, jobs: int = 1, **more: Any
) -> Outcome:
    """Train every row of `plan` on every dataset with every seed, into `out/<dataset>/<row>/seed-<seed>`.

    A row whose inputs do not fit a dataset (two text encoders and there is one, a text tower of another width) is left
    out with the reason; a training that fails does not stop the others.

    Args:
        plan: What to run.
        out: Folder of the bench.
        datasets: Released benchmarks by name, or what `load_dataset` takes.
        root: Folder of the released benchmarks.
        jobs: Trainings at a time.
        more: Further fields of `Experiment` for every row, for example `device`.

    Raises:
        ValueError: A dataset cannot be loaded or has no features.
    """
    blocks: list[Block] = []
    failed: dict[Path, Exception] = {}
    trainings = 0
    for dataset in datasets:
        folder = out / _slug(Path(dataset).stem if dataset.endswith(".toml") else dataset)
        try:
            asked, reasons, name = _asked(plan, dataset, folder, root, more)
        except (ValueError, OSError) as error:
            if len(datasets) == 1:
                raise
            failed[folder] = error  # the other datasets are not to suffer
            trainings += 1
            continue
        for loaded, experiments in asked:
            failed |= train_all(experiments, loaded, jobs)
            trainings += len(experiments)
        lines = tuple(_line(row, folder, plan.seeds, reasons.get(row.label, ""), failed) for row in plan.rows)
        blocks.append(Block(dataset, name, benchmark_of(name), name.startswith("simulated-"), lines))
    return Outcome(tuple(blocks), failed, trainings)


def _asked(
    plan: Plan, dataset: str, folder: Path, root: Path | None, more: dict[str, Any]
) -> tuple[list[tuple[Dataset, dict[Path, Experiment]]], dict[str, str], str]:
    """What to train: per way of reading the dataset its experiments; why other rows are left out; the dataset's name.

    Legacy rows read the released benchmarks another way, so one table can need two readings.
    """
    loaded: dict[str, Dataset] = {}
    experiments: dict[str, dict[Path, Experiment]] = {}
    reasons: dict[str, str] = {}
    for row in plan.rows:
        spec = locate(dataset, root, legacy=bool(row.settings.get("legacy")))
        if spec not in loaded:
            loaded[spec] = _loaded(spec)
        of_row = [experiment_of(row, spec, seed=seed, name=loaded[spec].name, **more) for seed in plan.seeds]
        reason = why_not(of_row[0], loaded[spec])
        if reason is not None:
            reasons[row.label] = reason
            continue
        folders = {folder / _slug(row.label) / f"seed-{experiment.seed}": experiment for experiment in of_row}
        experiments.setdefault(spec, {}).update(folders)
    first = next(iter(loaded.values())).name
    return [(loaded[spec], found) for spec, found in experiments.items()], reasons, first


def why_not(experiment: Experiment, dataset: Dataset) -> str | None:
    """Why a method cannot be trained on a dataset, or None when its inputs fit. Nothing is allocated.

    Only sizes and modalities are looked at: the method is built without memory for its weights.
    """
    try:
        classes = class_embeddings(dataset, experiment, dataset.names[:1])
        inputs = Inputs.of(dataset.gather(dataset.folds["train"][:1]), classes)
        with torch.device("meta"):
            build_method(get_method(experiment.method), experiment.resolved_config(), inputs, experiment.modality)
    except ValueError as error:
        return str(error)
    return None


def _loaded(spec: str) -> Dataset:
    dataset = load_described(spec)
    if len(dataset.folds.get("train", ())) == 0:
        raise ValueError(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
    return dataset


def _line(row: Entry, folder: Path, seeds: Sequence[int], reason: str, failed: dict[Path, Exception]) -> Line:
    if reason:
        return Line(row, reason=reason)
    folders = [folder / _slug(row.label) / f"seed-{seed}" for seed in seeds]
    runs = tuple(load_run(path) for path in folders if (path / "run.json").exists())
    problems = [str(failed[path]) for path in folders if path in failed]
    return Line(row, runs, problems[0] if problems else "")


def _slug(text: str) -> str:
    """A folder name for a label or a dataset."""
    return re.sub(r"[^\w.+=-]+", "-", text).strip("-.")[-80:] or "row"
