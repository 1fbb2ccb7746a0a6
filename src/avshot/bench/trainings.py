"""Train what a plan asks for, dataset by dataset, and gather what came out. Finished Runs are never trained again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avshot.bench.plan import Entry, Plan, benchmark_of, experiment_of, locate
from avshot.bench.sweep import train_all
from avshot.data.dataset import Dataset
from avshot.data.load import load_described
from avshot.experiment import Experiment, resolve
from avshot.files.atomic import content_digest
from avshot.run import Run, load_run
from avshot.runs.key import origin_of
from avshot.runs.naming import Named, save_name
from avshot.runs.placing import Keys, make_folder, place
from avshot.terminal.callbacks import Progress, Say
from avshot.training.fitting import why_not


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
class Trainings:
    """What a bench gave: a block per dataset, and what failed, by Run folder."""

    blocks: tuple[Block, ...]
    failed: dict[Path, Exception]
    trainings: int


def train_plan(
    plan: Plan,
    out: Path,
    datasets: Sequence[str],
    *,
    root: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    say: Say | None = None,
    **more: Any,
) -> Trainings:
    """Train every row of `plan` on every dataset with every seed, into `out/<dataset>/<row>/seed-<seed>`.

    A row whose inputs do not fit a dataset (two text encoders and there is one, a text tower of another width) is left
    out with the reason; a training that fails does not stop the others.

    Args:
        plan: What to run.
        out: Folder of the bench.
        datasets: Released benchmarks by name, or what `load_dataset` takes.
        root: Folder of the released benchmarks.
        jobs: Trainings at a time.
        progress: As in `avshot.bench.sweep.train_all`.
        say: As there.
        more: Further fields of `Experiment` for every row, for example `device`.

    Raises:
        ValueError: A dataset cannot be loaded or has no features.
    """
    make_folder(out)
    blocks: list[Block] = []
    failed: dict[Path, Exception] = {}
    trainings = 0
    names = folder_names({spec: Path(spec).stem if spec.endswith(".toml") else spec for spec in datasets})
    for dataset in datasets:
        folder = out / names[dataset]
        try:
            asked = _asked(plan, dataset, folder, root, more)
        except (ValueError, OSError) as error:
            if len(datasets) == 1:
                raise
            failed[folder] = error  # the other datasets are not to suffer
            trainings += 1
            continue
        for loaded, experiments in asked.trainings:
            failed |= train_all(experiments, loaded, jobs, progress=progress, say=say)
            trainings += len(experiments)
        lines = tuple(_line(row, asked, failed) for row in plan.rows)
        simulated = asked.name.startswith("simulated-")
        blocks.append(Block(dataset, asked.name, benchmark_of(asked.name), simulated, lines))
    return Trainings(tuple(blocks), failed, trainings)


@dataclass(frozen=True)
class _Asked:
    """What to train on one dataset.

    Attributes:
        name: Of the dataset.
        trainings: Per way of reading the dataset its experiments, by Run folder.
        folders: The Run folders of each row, by label.
        reasons: Why rows are left out, by label.
    """

    name: str
    trainings: list[tuple[Dataset, dict[Path, Experiment]]]
    folders: dict[str, list[Path]]
    reasons: dict[str, str]


def _asked(plan: Plan, dataset: str, folder: Path, root: Path | None, more: dict[str, Any]) -> _Asked:
    """Legacy rows read the released benchmarks another way, so one table can need two readings."""
    loaded: dict[str, Keys] = {}
    experiments: dict[str, dict[Path, Experiment]] = {}
    folders: dict[str, list[Path]] = {}
    reasons: dict[str, str] = {}
    names = folder_names({row.label: row.label for row in plan.rows})
    for row in plan.rows:
        spec = locate(dataset, root, legacy=bool(row.settings.get("legacy")))
        if spec not in loaded:
            loaded[spec] = Keys(_loaded(spec))
        keys = loaded[spec]
        of_row = [experiment_of(row, spec, seed=seed, name=keys.dataset.name, **more) for seed in plan.seeds]
        reason = _why_not(of_row[0], keys)
        if reason is not None:
            reasons[row.label] = reason
            continue
        for experiment in of_row:
            path = Path(names[row.label], f"seed-{experiment.seed}")
            other = folder.with_name(f"{folder.name}-{origin_of(dataset)[:8]}")  # where another dataset has the first
            placed = place([folder / path, other / path], experiment, keys)
            save_name(placed, Named(row.label, row.note), anew=False)  # for a report before the bench has ended
            folders.setdefault(row.label, []).append(placed)
            experiments.setdefault(spec, {})[placed] = experiment
    first = next(iter(loaded.values())).dataset.name
    trainings = [(loaded[spec].dataset, found) for spec, found in experiments.items()]
    return _Asked(first, trainings, folders, reasons)


def _why_not(experiment: Experiment, keys: Keys) -> str | None:
    try:
        return why_not(resolve(experiment), keys.dataset, keys.classes(experiment))
    except ValueError as error:  # a text encoder that is not there, or does not know a class
        return str(error)


def _loaded(spec: str) -> Dataset:
    dataset = load_described(spec)
    if len(dataset.folds.get("train", ())) == 0:
        raise ValueError(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
    return dataset


def _line(row: Entry, asked: _Asked, failed: dict[Path, Exception]) -> Line:
    """The Runs of a row; one that was refused, failed or is damaged is a reason in their place."""
    if row.label in asked.reasons:
        return Line(row, reason=asked.reasons[row.label])
    runs, problems = [], []
    for path in asked.folders.get(row.label, ()):
        try:
            if path in failed:
                raise failed[path]
            runs.append(load_run(path))
            save_name(path, Named(row.label, row.note))
        except Exception as error:  # shown in the table, and raised at the end
            problems.append(str(error))
    return Line(row, tuple(runs), problems[0] if problems else "")


def folder_names(texts: Mapping[str, str]) -> dict[str, str]:
    """A folder name for each key, from its text; where two would have one, a digest of the key follows in both.

    Capitals do not tell names apart: some file systems do not.
    """
    slugs = {key: _slug(text) for key, text in texts.items()}
    count = Counter(slug.casefold() for slug in slugs.values())
    return {
        key: slug if count[slug.casefold()] == 1 else f"{slug}-{content_digest(key)[:8]}" for key, slug in slugs.items()
    }


def _slug(text: str) -> str:
    """A folder name for a label or a dataset."""
    return re.sub(r"[^\w.+=-]+", "-", text).strip("-.")[-80:] or "row"
