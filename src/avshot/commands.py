"""What the commands of `avshot.cli` do; imported only when a command runs."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from avshot.progress import show_progress
from avshot.tables import print_table

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".ogv"}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse_changes(changes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["config.dim=64", "recipe.lr=1e-4"]` as `{"config": {"dim": 64}, "recipe": {"lr": 1e-4}}`.

    Raises:
        ValueError: Not of the form group.field=value, or an unknown group.
    """
    groups: dict[str, dict[str, Any]] = {"config": {}, "recipe": {}, "optimise": {}}
    for change in changes:
        key, equals, value = change.partition("=")
        group, dot, name = key.strip().partition(".")
        if not equals or not dot or group not in groups:
            raise ValueError(
                f"Got --set {change!r}; expected config.NAME=VALUE, recipe.NAME=VALUE or optimise.NAME=VALUE."
            )
        groups[group][name] = parse_value(value)
    return groups


def parse_value(text: str) -> Any:
    """A value as YAML reads it, except that 1e-4 is a number."""
    try:
        return float(text) if "e" in text.lower() and text.lower() not in ("true", "false") else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)


def extract_source(
    source: Path, store: str | None, *, audio: str | None, visual: str | None, workers: int | None
) -> int:
    """`avshot extract`: returns how many clips failed, after a table of what failed and why."""
    from avshot.data.dataset import load_dataset
    from avshot.data.manifest import features_path, load_manifest
    from avshot.features.extract import extract
    from avshot.types import Clip

    if not source.exists():
        raise ValueError(f"{source} does not exist; pass a dataset .toml, a folder of videos, or a video.")
    if source.suffix == ".toml":
        clips, store = load_manifest(source, features=False).clips, store or features_path(source)
    else:
        files = (
            sorted(f for f in source.rglob("*") if f.suffix.lower() in VIDEO_SUFFIXES) if source.is_dir() else [source]
        )
        if not files:
            raise ValueError(f"{source} holds no videos ({', '.join(sorted(VIDEO_SUFFIXES))}); pass another folder.")
        clips = tuple(Clip(str(f.relative_to(source)) if source.is_dir() else f.name, str(f)) for f in files)
        store = store or f"{str(source).rstrip('/')}.features"
    with show_progress("extracting") as bar:
        found = extract(clips, store, audio=audio, visual=visual, workers=workers, progress=bar)
    counts = f"{found.done} new, {found.kept} already there, {len(found.failed)} failed, {len(found.partial)} partial"
    _say(f"{store}: {counts}")
    if found.failed or found.partial:
        rows = [[id, status, path] for id, path, status in (*found.failed, *found.partial)]
        print_table("not as usual", ["clip", "why", "file"], rows)
    if source.suffix == ".toml":
        for warning in load_dataset(str(source)).warnings():
            _say(f"note: {warning}")
    return len(found.failed)


def train_grid(base: dict[str, Any], axes: dict[str, list[Any]], out: Path, *, jobs: int = 1) -> None:
    """`avshot train`: every combination of `axes` on top of `base`, then the table and the report."""
    from avshot.run import find_runs, parse_experiment

    experiments = []
    for values in itertools.product(*axes.values()):
        experiment = parse_experiment(base | dict(zip(axes, values, strict=True)))
        experiment.resolved_config(), experiment.resolved_recipe(), experiment.resolved_optimise()
        experiments.append((experiment, out / experiment.label() / f"seed-{experiment.seed}"))
    _run_all(experiments, jobs)
    write_report(out, None, runs=find_runs(out))


def _run_all(experiments: list[tuple[Any, Path]], jobs: int) -> None:
    if jobs == 1 or len(experiments) == 1:
        for experiment, folder in experiments:
            _run_one(experiment, folder, quiet=False)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    context = multiprocessing.get_context("spawn")
    with (
        show_progress("training") as bar,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool,
    ):
        waiting = [pool.submit(_run_one, experiment, folder, quiet=True) for experiment, folder in experiments]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            bar(done, len(experiments))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _run_one(experiment: Any, folder: Path, *, quiet: bool) -> None:
    from avshot.protocol import run

    if quiet:
        run(experiment, folder)
        return
    with show_progress(f"{experiment.label()} seed {experiment.seed}") as bar:

        def tell(stage: str, done: int, total: int, numbers: dict[str, float]) -> None:
            bar(done, total, f"{stage} " + " ".join(f"{k} {v:.3f}" for k, v in numbers.items()))

        run(experiment, folder, progress=tell)


def write_report(root: Path, out: Path | None, *, runs: list[Any] | None = None) -> Path:
    """`avshot report`: print the table, write the HTML page and its Markdown twin; returns the page's path."""
    from avshot.report.page import write_page
    from avshot.report.summary import summarise, table
    from avshot.run import find_runs

    runs = find_runs(root) if runs is None else runs
    if not runs:
        raise ValueError(f"No finished Run in or below {root}; make one with `avshot train`.")
    rows = summarise(runs)
    for name in dict.fromkeys(row.dataset for row in rows):
        head, cells = table([row for row in rows if row.dataset == name])
        print_table(f"{name}: per cent, mean ± deviation over seeds", head, cells)
    page = out or root / "report.html"
    write_page(runs, page)
    _say(f"report: {page}")
    return page


def predict_videos(
    run: Path, videos: Sequence[Path], names: Sequence[str] | None, *, top: int, as_json: bool, device: str
) -> int:
    """`avshot predict`: returns how many videos could not be used; they do not stop the others."""
    from avshot.predict import Predictor
    from avshot.run import load_run

    predictor = Predictor(load_run(run), device)
    predictor.classes(names)  # a wrong class name is reported before any video is decoded
    failed = 0
    for video in videos:
        try:
            found = predictor.predict(str(video), names, top=top)
        except ValueError as error:
            failed += 1
            print(json.dumps({"video": str(video), "error": str(error)}) if as_json else f"{video}: {error}")
            continue
        if as_json:
            print(json.dumps(found.to_dict()))
        else:
            _show(found)
    return failed


def _show(found: Any) -> None:
    rows = [
        [guess.name, f"{100 * guess.probability:.1f} %", "trained" if guess.seen else "from words"]
        for guess in found.ranking
    ]
    print_table(f"{found.video} ({found.duration:.1f} s, {found.status})", ["class", "probability", "known"], rows)
    if found.modality:
        print("rested on: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.modality.items()))
    moments = sorted((m for m in found.moments if m.share > 0), key=lambda m: -m.share)[:3]
    if moments:
        print("moments: " + ", ".join(f"{m.start:.2f}-{m.end:.2f} s ({100 * m.share:.0f} %)" for m in moments))
    for note in found.notes:
        print(f"note: {note}")


def print_methods() -> None:
    """`avshot methods`: what each method needs, from the registry."""
    from avshot.method import Inputs, create_method, get_method, list_methods

    rows = []
    for name in list_methods():
        cls = get_method(name)
        inputs = Inputs(128, 4096, {f"text{i}": 300 for i in range(cls.needs.texts)})
        size = sum(p.numel() for p in create_method(name, inputs).parameters()) / 1e6
        reads = ["steps" if cls.needs.temporal else "averages"] + (["negatives"] if cls.needs.negatives else [])
        rows.append([name, " + ".join(reads), str(cls.needs.texts), f"{size:.2f} M", str(len(cls.presets)), cls.paper])
    head = ["method", "reads", "texts", "parameters", "presets", "paper"]
    print_table("methods (parameters at audio 128, visual 4096, text 300)", head, rows)


def print_audit(root: Path, name: str, text: Path | None, descriptions: Path | None) -> None:
    """`avshot audit`."""
    from avshot.data.audit import audit

    print(audit(root, name, text, descriptions=descriptions).render())


def print_optimisation(names: Path, text: str, plot: Path | None, changes: Sequence[str]) -> None:
    """`avshot optimise-classes`."""
    from avshot.classes.embed import embed_classes
    from avshot.classes.optimise import OptimiseConfig, optimise_classes
    from avshot.classes.report import print_outcome
    from avshot.method import replace_fields

    lines = [line.strip() for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]
    settings = replace_fields(OptimiseConfig(), {k: parse_value(v) for k, _, v in (c.partition("=") for c in changes)})
    _, outcomes = optimise_classes(embed_classes(lines, (text,)), settings)
    for outcome in outcomes.values():
        print_outcome(outcome)
        if plot is not None:
            from avshot.classes.plot import plot_outcome

            plot_outcome(outcome, plot)
