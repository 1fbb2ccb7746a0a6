"""Commands that only show: methods, the audit of a released folder, class-embedding optimisation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from avshot.classes.name_list import read_name_list
from avshot.files.output import output_file
from avshot.settings import read_value
from avshot.terminal.progress import note
from avshot.terminal.tables import print_table


def print_methods(names: Sequence[str] = ()) -> None:
    """`avshot methods`: what each method needs, and which tasks there are, from the registry.

    Args:
        names: Only these methods, names or paths of files, each with its presets and settings; none = all there are.
    """
    from avshot.registry import METHODS, TASKS, get_method, list_methods
    from avshot.task import get_task, list_tasks

    rows = []
    for name in names or list_methods():
        cls = get_method(name)
        extra = {"negatives": cls.needs.negatives, "pairs": cls.needs.pairs}
        reads = ["steps" if cls.needs.temporal else "averages", *(what for what, needed in extra.items() if needed)]
        year = re.search(r"\b(19|20)\d\d\b", cls.paper)
        texts = f"1-{cls.needs.texts}" if cls.needs.fewer_texts else str(cls.needs.texts)
        about = [year[0] if year else "-", " + ".join(reads), texts]
        rows.append([name, *about, _size(name), str(len(cls.presets)), cls.paper])
        for alias, fixed in cls.aliases.items():
            variant = ", ".join(f"{field}={value}" for field, value in fixed.items())
            rows.append([f"  {alias}", *about, _size(alias), str(len(cls.presets)), f"{name} with {variant}"])
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
    groups = {"config": cls.released, "recipe": cls.released_recipe, "selection": cls.released_selection}
    restored = [[f"{group}.{key}", str(value)] for group, set_ in groups.items() for key, value in set_.items()]
    if restored:
        print_table(f"what legacy sets for {name}, as the authors' program has it", ["setting", "value"], restored)


def _size(name: str) -> str:
    """Number of parameters of a method; "-" where the sizes of the table do not fit it."""
    from avshot.method import Inputs
    from avshot.registry import create_method, get_method

    needs = get_method(name).needs
    pairs = {"action": tuple(f"action {i}" for i in range(48)), "adverb": tuple(f"adverb {i}" for i in range(10))}
    text = {f"text{i}": 300 for i in range(needs.texts)}
    inputs = Inputs(128, 4096, text, factors=pairs if needs.pairs else {})
    try:
        return f"{sum(p.numel() for p in create_method(name, inputs).parameters()) / 1e6:.2f} M"
    except ValueError:
        return "-"


def print_audit(root: Path, name: str, text: Path | None, descriptions: Path | None) -> None:
    """`avshot audit`."""
    from avshot.data.official.audit import audit
    from avshot.report.causes import explain

    found = audit(root, name, text, descriptions=descriptions)
    print(found.render())
    print(explain(found))


def print_pair_audit(root: Path, name: str | None, split: str) -> None:
    """`avshot audit` of a declared dataset of pairs, or of a released split of adverbs."""
    from avshot.data.findings import rendered
    from avshot.data.manifest import load_manifest
    from avshot.data.official.adverb_audit import adverbs_rendered
    from avshot.data.pair_audit import audit_pairs, broken, split_of

    if name is not None:
        print(adverbs_rendered(root, name, split))
        return
    found = split_of(load_manifest(root, features=False))
    print(rendered(f"{root}", audit_pairs(found)))
    for sentence in broken(found):
        note(sentence)


def print_optimisation(names: Path, text: str, plot: Path | None, changes: Sequence[str]) -> None:
    """`avshot optimise-classes`."""
    from avshot.classes.embed import embed_classes
    from avshot.classes.optimise.config import OptimiseConfig
    from avshot.classes.optimise.optimise import optimise_classes, report
    from avshot.classes.optimise.plot import PICTURES, plot_outcome
    from avshot.method import replace_fields

    if plot is not None:
        output_file(plot, PICTURES, "picture")
    lines = read_name_list(names)
    wanted = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"Got --set {change!r}; expected NAME=VALUE, for example alpha=0.3.")
        wanted[key.strip()] = read_value(value)
    settings = replace_fields(OptimiseConfig(), wanted)
    _, outcomes = optimise_classes(embed_classes(lines, (text,)), settings)
    for outcome in outcomes.values():  # one text encoder, one outcome
        print(report(outcome))
        if plot is not None:
            plot_outcome(outcome, plot)
