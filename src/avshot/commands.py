"""What the commands of `avshot.cli` do; imported only when a command runs."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from avshot.progress import show_progress
from avshot.tables import print_table

LONGEST_FOLDER = 100  # characters; file systems end at 255 bytes


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
    """A value as YAML reads it, except that 1e-4 is a number and None is nothing."""
    text = text.strip()
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", text):
        return float(text)
    try:
        return None if text == "None" else yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(
            f"Got the value {text!r}; expected a number, a word, true, false, null or [a, list]."
        ) from None


def extract_source(
    source: str | Path,
    store: str | None,
    *,
    audio: str | None,
    visual: str | None,
    workers: int | None,
    runner: str = "local",
    retry: bool = False,
    shared: bool = False,
    time_limit: float | None = None,
    memory_limit: float | None = None,
) -> int:
    """`avshot extract`: returns how many clips failed, after a table of what failed and why."""
    from avshot.data.dataset import load_dataset
    from avshot.data.manifest import features_path, load_manifest
    from avshot.extraction import beside, files, given, limits, say_outcome
    from avshot.features.extract import extract

    path, config = given(str(source)), limits(time_limit, memory_limit)
    declared = path.suffix == ".toml"
    clips = load_manifest(path, features=False).clips if declared else files(path)
    usual = features_path(path) if declared else beside(path)
    store = store or usual
    options: dict[str, Any] = {"audio": audio, "visual": visual, "workers": workers, "runner": runner}
    options |= {"retry_failed": retry, "alone": not shared, "config": config}
    told = f"note: another extraction writes to {store}; waiting until it has finished"
    try:
        with show_progress("extracting") as bar:
            found = extract(clips, store, progress=bar, waiting=lambda: _say(told), **options)
    except RuntimeError as error:  # an extractor that does not work at all, or a store that cannot be written
        raise ValueError(str(error)) from error
    say_outcome(store, found)
    if declared and Path(store).resolve() != Path(usual).resolve():
        _say(f'note: to train on these features, write  features = "{store}"  at the top of {path}')
    elif declared:
        for warning in load_dataset(str(path)).warnings():
            _say(f"note: {warning}")
    return len(found.failed)


def train_grid(
    base: dict[str, Any], axes: dict[str, list[Any]], out: Path, *, jobs: int = 1, processes: int = 1
) -> None:
    """`avshot train`: every combination of `axes` on top of `base`, then the table and the report.

    A training that fails does not stop the others; the finished ones are reported before its error is raised. Of
    several processes that share a training the first one alone speaks and reports.
    """
    from avshot.data.dataset import load_described
    from avshot.grid import raise_first, train_all
    from avshot.processes import follows, warning
    from avshot.run import describe, find_runs, parse_experiment

    experiments: dict[Path, Any] = {}  # one of each: "devise,devise" asks for the same Run twice
    for values in itertools.product(*axes.values()):
        experiment = parse_experiment(base | dict(zip(axes, values, strict=True)))
        describe(experiment)  # an unknown method, preset or field ends here, before any training
        experiments[run_folder(out, experiment)] = experiment
    dataset = load_described(base["dataset"])
    precisions = {experiment.resolved_recipe().precision for experiment in experiments.values()}
    slow = [note for precision in sorted(precisions) if (note := warning(precision, base.get("device", "cpu")))]
    for note in () if follows() else (*dataset.warnings(), *slow):
        _say(f"note: {note}")
    failed = train_all(experiments, dataset, jobs, processes)
    if follows():
        return
    runs = find_runs(out)
    if runs:
        write_report(out, None, runs=runs)
    raise_first(failed, len(experiments))


def run_folder(out: Path, experiment: Any) -> Path:
    """Where `avshot train` puts a Run: `out/<label>/seed-<seed>`."""
    label = experiment.label()
    if len(label) > LONGEST_FOLDER:
        label = f"{label[:LONGEST_FOLDER]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
    return out / label / f"seed-{experiment.seed}"


def write_report(root: Path, out: Path | None, *, runs: list[Any] | None = None) -> Path:
    """`avshot report`: print the table, write the HTML page and its Markdown twin; returns the page's path."""
    from avshot.report.page import write_page
    from avshot.report.summary import summarise, table
    from avshot.run import find_runs

    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; pass one with Runs in or below it.")
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
            if as_json:
                print(json.dumps({"video": str(video), "error": str(error)}))
            else:
                _say(f"avshot: {error}")
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
    if any(found.modality.values()):
        print("rested on: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.modality.items()))
    else:
        print("rested on: nothing in this clip; a clip like the average of the training clips gets the same answer")
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
        try:
            size = f"{sum(p.numel() for p in create_method(name, inputs).parameters()) / 1e6:.2f} M"
        except ValueError:  # these sizes do not fit it
            size = "-"
        reads = ["steps" if cls.needs.temporal else "averages"] + (["negatives"] if cls.needs.negatives else [])
        year = re.search(r"\b(19|20)\d\d\b", cls.paper)
        texts = f"1-{cls.needs.texts}" if cls.needs.fewer_texts else str(cls.needs.texts)
        row = [name, year[0] if year else "-", " + ".join(reads), texts, size, str(len(cls.presets)), cls.paper]
        rows.append(row)
    head = ["method", "year", "reads", "texts", "parameters", "presets", "paper"]
    print_table("methods (parameters at audio 128, visual 4096, text 300)", head, rows)


def print_audit(root: Path, name: str, text: Path | None, descriptions: Path | None) -> None:
    """`avshot audit`."""
    from avshot.data.audit import audit
    from avshot.report.causes import explain

    found = audit(root, name, text, descriptions=descriptions)
    print(found.render())
    print(explain(found))


def print_optimisation(names: Path, text: str, plot: Path | None, changes: Sequence[str]) -> None:
    """`avshot optimise-classes`."""
    from avshot.classes.embed import embed_classes
    from avshot.classes.optimise import OptimiseConfig, optimise_classes, report
    from avshot.classes.plot import plot_outcome
    from avshot.method import replace_fields

    lines = [line.strip() for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{names} holds no class names; expected one per line.")
    wanted = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"Got --set {change!r}; expected NAME=VALUE, for example alpha=0.3.")
        wanted[key.strip()] = parse_value(value)
    settings = replace_fields(OptimiseConfig(), wanted)
    _, outcomes = optimise_classes(embed_classes(lines, (text,)), settings)
    for outcome in outcomes.values():  # one text encoder, one outcome
        print(report(outcome))
        if plot is not None:
            plot_outcome(outcome, plot)
