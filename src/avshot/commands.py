"""What the commands of `avshot.cli` do; imported only when a command runs."""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from avshot.files.output import output_file
from avshot.files.text import read_lines
from avshot.names import refuse_alike, tidy
from avshot.predict_files import predict_videos as predict_videos
from avshot.progress import show_progress
from avshot.tables import print_table


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _note(text: str) -> None:
    _say(f"note: {text}")


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
    try:
        value = float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", text) else _plain_value(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        return value
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ValueError(
            f"Got the value {text!r}; expected a number, a word, true, false, null or [a, list]."
        ) from None


def _plain_value(text: str) -> Any:
    """YAML's reading, but for 010, which it takes for 8, and 1:30, which it takes for 90."""
    if re.fullmatch(r"[-+]?\d{1,18}", text, flags=re.ASCII):
        return int(text)
    if text == "None":
        return None
    return text if re.fullmatch(r"[-+]?[\d_]+(:[\d_.]+)+", text) else yaml.safe_load(text)


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
) -> dict[Path, Any]:
    """`avshot train`: every combination of `axes` on top of `base`, then the table and the report.

    Returns `{Run folder: experiment}`.

    What can be known beforehand is found out before any training: an unknown field, a device that is not there, a
    method that the data do not fit, a folder that cannot be written to. A training that fails does not stop the others;
    the finished ones are reported before its error is raised. Of several processes that share a training the first one
    alone speaks and reports.
    """
    from avshot.data.dataset import load_described
    from avshot.device import check_device
    from avshot.grid import raise_first, train_all
    from avshot.placing import place_runs
    from avshot.processes import follows, warning
    from avshot.run import describe, find_runs, parse_experiment

    check_device(base.get("device", "cpu"))
    asked: dict[Path, Any] = {}  # one of each: "devise,devise" asks for the same Run twice
    for values in itertools.product(*axes.values()):
        experiment = parse_experiment(base | dict(zip(axes, values, strict=True)))
        describe(experiment)  # an unknown method, preset or field ends here, before any training
        asked[run_folder(out, experiment)] = experiment
    dataset = load_described(base["dataset"])
    precisions = {experiment.resolved_recipe().precision for experiment in asked.values()}
    slow = [note for precision in sorted(precisions) if (note := warning(precision, base.get("device", "cpu")))]
    for note in () if follows() else (*dataset.warnings(), *slow):
        _say(f"note: {note}")
    placed = asked if follows() else place_runs(out, list(asked.values()), dataset)
    failed = train_all(placed, dataset, jobs, processes)
    if follows():
        return placed
    found = find_runs(out, skipped=_note)
    runs = [run for run in found if run.path not in failed]  # what was refused is not shown as if it were new
    if runs:
        write_report(out, None, runs=runs)
    raise_first(failed, len(placed))
    return placed


def run_folder(out: Path, experiment: Any) -> Path:
    """Where `avshot train` puts a Run unless another dataset's lies there (see `avshot.placing`)."""
    from avshot.placing import run_folder

    return run_folder(out, experiment)


def write_report(root: Path, out: Path | None, *, runs: list[Any] | None = None) -> Path:
    """`avshot report`: print the table, write the HTML page and its Markdown twin; returns the page's path.

    A damaged Run is named in a note and left out.
    """
    from avshot.report.page import check_page, write_page
    from avshot.report.summary import remarks, summarise, table
    from avshot.run import find_runs

    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; pass one with Runs in or below it.")
    page = check_page(out or root / "report.html")
    runs = find_runs(root, skipped=_note) if runs is None else runs
    if not runs:
        raise ValueError(f"No finished Run in or below {root} that can be read; make one with `avshot train`.")
    rows = summarise(runs)
    for name in dict.fromkeys(row.dataset for row in rows):
        members = [row for row in rows if row.dataset == name]
        print_table(f"{name}: per cent, mean ± deviation over seeds", *table(members))
        for remark in remarks(members):
            _note(remark)
    write_page(runs, page)
    _say(f"report: {page}")
    return page


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
    from avshot.classes.plot import PICTURES, plot_outcome
    from avshot.method import replace_fields

    if plot is not None:
        output_file(plot, PICTURES, "picture")
    lines = _read_names(names)
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


def _read_names(path: Path) -> list[str]:
    """Class names of a text file, one per line."""
    found = []
    for line, text in read_lines(path):
        try:
            found.append(tidy(text))
        except ValueError as error:
            raise ValueError(f"{path} line {line}: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no class names; expected one per line.")
    if len(found) == 1 and "," in found[0]:
        raise ValueError(f"{path} holds a single line, {found[0]!r}; expected one class name per line.")
    refuse_alike(found, f"{path}: ")
    return found
