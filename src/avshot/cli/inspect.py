"""Commands that only show: methods, the audit of a released folder, class-embedding optimisation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from avshot.classes.names import refuse_alike, tidy
from avshot.cli.parsing import parse_value
from avshot.files.output import output_file
from avshot.files.text import read_lines
from avshot.terminal.progress import note
from avshot.terminal.tables import print_table


def print_methods(names: Sequence[str] = ()) -> None:
    """`avshot methods`: what each method needs, and which tasks there are, from the registry.

    Args:
        names: Only these methods, names or paths of files, each with its presets and settings; none = all there are.
    """
    from avshot.method import Inputs
    from avshot.registry import METHODS, TASKS, create_method, get_method, list_methods
    from avshot.task import get_task, list_tasks

    rows = []
    for name in names or list_methods():
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
    for name in names:
        _print_settings(name)
    if names:
        return
    tasks = [get_task(name) for name in list_tasks()]
    print_table("tasks", ["task", "metrics"], [[task.name, " ".join(task.metrics)] for task in tasks])
    for told in (*METHODS.hidden(), *TASKS.hidden()):
        note(told)


def _print_settings(name: str) -> None:
    """The presets of a method, and what each says for every field of its `Config`."""
    from dataclasses import fields

    from avshot.registry import get_method

    cls = get_method(name)
    print_table(f"presets of {name}", ["preset", "from"], [[key, made.source] for key, made in cls.presets.items()])
    first = "default" if "default" in cls.presets else next(iter(cls.presets))
    config = cls.presets[first].config
    settings = [[f"config.{field.name}", str(getattr(config, field.name))] for field in fields(config)]
    if settings:
        print_table(f"settings of {name}, preset {first}; change one by --set", ["setting", "value"], settings)


def print_audit(root: Path, name: str, text: Path | None, descriptions: Path | None) -> None:
    """`avshot audit`."""
    from avshot.data.official.audit import audit
    from avshot.report.causes import explain

    found = audit(root, name, text, descriptions=descriptions)
    print(found.render())
    print(explain(found))


def print_optimisation(names: Path, text: str, plot: Path | None, changes: Sequence[str]) -> None:
    """`avshot optimise-classes`."""
    from avshot.classes.embed import embed_classes
    from avshot.classes.optimise.config import OptimiseConfig
    from avshot.classes.optimise.optimise import optimise_classes, report
    from avshot.classes.optimise.plot import PICTURES, plot_outcome
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
