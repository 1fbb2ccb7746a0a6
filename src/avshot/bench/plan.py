"""A bench file: which rows are run on which datasets with which seeds. The files in `experiments/` are examples.

```toml
title = "AVCA without each of its loss terms"
source = "Mercea et al., CVPR 2022, Table 5"
datasets = ["ucf-main"]           # released benchmarks by name, or what `load_dataset` takes
seeds = [0, 1, 2]
metrics = ["HM", "ZSL"]           # left out: those of the task (gzsl: S U HM ZSL AUSUC)
against = "all terms"             # label of the row that differences are tested against
references = ["eszsl"]            # rows that are added where their inputs fit; left out: eszsl and nearest_text

[common]                          # fields of `avshot.experiment.Experiment` for every row; a method or task that is
                                  # the path of a .py file is looked for beside this file
method = "avca"
preset = "auto"                   # the preset named like the dataset where there is one, else "default"

[[rows]]
label = "all terms"
note = "a sentence for below the table"
[rows.published]                  # per cent, as printed
"ucf-main" = {HM = 27.15, ZSL = 20.01}
```
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePath
from typing import Any

from avshot.bench.plan_file import check_keys, check_types
from avshot.data.official.adverb_tables import SETS
from avshot.errors import BadSetting
from avshot.experiment import Experiment, parse_experiment, resolve
from avshot.files.text import read_text
from avshot.machine.python_file import full_path, is_python_file
from avshot.registry import get_method
from avshot.settings import did_you_mean
from avshot.task import Task, get_task

REFERENCES = ("eszsl", "nearest_text")
_OF_A_METHOD = ("method", "preset", "config", "recipe", "selection", "separate_descriptions")  # no reference has them
RELEASED = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}
_ADVERBS_NAME = re.compile(rf"({'|'.join(SETS)})(-unseen)?(\?.*)?")
_RELEASED_NAME = re.compile(rf"({'|'.join(RELEASED)})-(cls|main)(\?.*)?")


@dataclass(frozen=True)
class Entry:
    """One row of a bench file.

    Attributes:
        label: What the table calls it; unique.
        settings: Fields of `Experiment`.
        published: `{dataset: {metric: per cent}}` as printed.
        note: A sentence for below the table.
        misprint: Why the published numbers of the row cannot all be right.
        reference: A trivial reference that the plan added.
    """

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""
    misprint: str = ""
    reference: bool = False


@dataclass(frozen=True)
class Plan:
    """A bench file, read and checked (see the module's docstring)."""

    title: str
    rows: tuple[Entry, ...]
    source: str = ""
    datasets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = ()
    against: str = ""

    def only(self, methods: list[str]) -> Plan:
        """The rows of some methods, a file by its path or its name alone.

        Raises:
            ValueError: One is not in the plan; the message names those that are.
        """
        known = sorted({row.settings["method"] for row in self.rows})
        names = {name: {name, PurePath(name).name} for name in known}
        wanted = {str(full_path(name)) if len(PurePath(name).parts) > 1 else name for name in methods}
        kept = tuple(row for row in self.rows if names[row.settings["method"]] & wanted)
        strange = [name for name in sorted(wanted) if not any(name in also for also in names.values())]
        if not kept or strange:
            near = did_you_mean(strange[0], known) if strange else ""
            raise BadSetting(f"Got the methods {', '.join(methods)}; this bench has {', '.join(known)}.{near}")
        against = self.against if any(row.label == self.against for row in kept) else ""
        return replace(self, rows=kept, against=against)

    def with_task(self, spec: str) -> Plan:
        """Every row for another task, in place of the one that it has; with that task's metrics where it lacks these.

        Args:
            spec: As for `avshot.task.get_task`, with settings or without.

        Raises:
            ValueError: No such task, or a row does not go with it.
        """
        task = get_task(spec)
        rows = tuple(
            replace(row, settings={**{k: v for k, v in row.settings.items() if k != "task_config"}, "task": spec})
            for row in self.rows
        )
        metrics = self.metrics if set(self.metrics) <= set(task.metrics) else task.metrics
        plan = replace(self, rows=rows, metrics=metrics)
        _check_rows(plan)
        return plan

    def with_legacy(self) -> Plan:
        """Behind every row the same as the authors' program does it."""
        rows: list[Entry] = []
        for row in self.rows:
            twin = replace(row, label=f"{row.label} (legacy)", settings={**row.settings, "legacy": True})
            rows += [row] if row.reference else [row, twin]
        return replace(self, rows=tuple(rows))


def load_plan(file: str | Path) -> Plan:
    """Read and check a bench file.

    Every row is resolved, so an unknown method, preset or field ends here and not after hours of training.

    Raises:
        ValueError: Not TOML, an unknown or missing key, a label that is used twice, or a row that does not resolve.
    """
    file = Path(file)
    try:
        content = tomllib.loads(read_text(file))
    except FileNotFoundError:
        raise BadSetting(f"There is no bench file {file}; the ones of avshot lie in its folder experiments/.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{file} is not TOML: {error}.") from None
    except RecursionError:
        raise BadSetting(f"{file} is not TOML: brackets in it are nested too deep.") from None
    known = {f.name for f in fields(Plan)} | {"common", "references"}
    check_keys(f"{file}", content, known, {"title", "rows"})
    check_types(file, content)
    common, references = content.pop("common", {}), content.pop("references", REFERENCES)
    check_keys(f"{file}, [common]", common, set(Experiment.model_fields), set())
    rows = [_entry(file, _beside(file, common), _beside(file, row)) for row in content.pop("rows")]
    used = {row.settings["method"] for row in rows}
    shared = {key: value for key, value in common.items() if key not in _OF_A_METHOD}
    rows += [Entry(name, shared | {"method": name}, reference=True) for name in references if name not in used]
    rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    plan = Plan(rows=tuple(rows), **rest)
    tasks = {task_of(row).title for row in rows}
    if len(tasks) > 1:
        raise BadSetting(
            f"{file} has rows of the tasks {', '.join(sorted(tasks))}; a table is of one: name it in [common]."
        )
    task = task_of(rows[0])
    _check(file, plan, task)
    return replace(plan, metrics=plan.metrics or task.metrics)


def task_of(row: Entry) -> Task:
    """The task of a row, with the settings that the row gives it."""
    return get_task(row.settings.get("task", "gzsl"), row.settings.get("task_config"))


def _entry(file: Path, common: Mapping[str, Any], row: dict[str, Any]) -> Entry:
    own = {f.name for f in fields(Entry)} - {"settings", "reference"}
    check_keys(f"{file}, row {row.get('label', '')!r}: it", row, own | set(Experiment.model_fields), set())
    settings = {**common, **{key: value for key, value in row.items() if key not in own}}
    for group in ("config", "recipe", "selection", "optimise", "task_config"):  # a row adds to the common ones
        if group in common and group in row:
            settings[group] = {**common[group], **row[group]}
    label = row.get("label") or PurePath(settings.get("method", "")).name
    if not label or "method" not in settings:
        raise BadSetting(f"{file}: a row has no method; name one in the row or in [common].")
    about = {key: value for key, value in row.items() if key in own and key != "label"}
    return Entry(str(label), settings, **about)


def _beside(file: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which paths of methods and tasks are whole: a bench file and what it names travel together."""
    named = {k: settings[k].partition("?") for k in ("method", "task") if isinstance(settings.get(k), str)}
    whole = {
        kind: str(full_path(os.path.join(file.resolve().parent, os.path.expanduser(name)))) + mark + query
        for kind, (name, mark, query) in named.items()
        if is_python_file(name)
    }
    return {**settings, **whole}


def _check(file: Path, plan: Plan, task: Task) -> None:
    labels = [row.label for row in plan.rows]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise BadSetting(f"{file}: two rows are labelled {twice[0]!r}; give each its own label.")
    if plan.against and plan.against not in labels:
        raise BadSetting(f"{file}: against is {plan.against!r}; expected a label of a row: {', '.join(labels)}.")
    unknown = set(plan.metrics) - set(task.metrics)
    if unknown:
        raise BadSetting(f"{file}: no metric {', '.join(sorted(unknown))}; expected some of {', '.join(task.metrics)}.")
    try:
        _check_rows(plan)
    except ValueError as error:
        raise BadSetting(f"{file}, {error}") from None


def _check_rows(plan: Plan) -> None:
    for row in plan.rows:
        for name in plan.datasets or ("",):
            try:
                resolve(experiment_of(row, name or "any", seed=0))
            except ValueError as error:
                raise BadSetting(f"row {row.label!r}: {error}") from None


def experiment_of(row: Entry, dataset: str, *, seed: int, name: str = "", **more: Any) -> Experiment:
    """The experiment of a row.

    Args:
        row: Of a plan.
        dataset: What `load_dataset` takes.
        seed: Of the training.
        name: Name of the dataset when it is loaded, for `preset = "auto"`; else `dataset` itself is looked at.
        more: Further fields of `Experiment`.

    Raises:
        ValueError: A field is unknown or does not suit.
    """
    settings = {**row.settings, **more}
    if settings.get("preset") == "auto":
        preset, presets = benchmark_of(name or dataset), get_method(settings["method"]).presets
        settings["preset"] = preset if preset in presets else "default"
    return parse_experiment({**settings, "dataset": dataset, "seed": seed})


def benchmark_of(name: str) -> str:
    """The released benchmark that a dataset is, or imitates: `simulated-ucf-cls`, `ucf-cls-legacy` -> `ucf-cls`."""
    name = name.lower().removeprefix("simulated:").removeprefix("simulated-").partition("?")[0]
    return name.removesuffix("-legacy").removesuffix("-shifted")


def locate(name: str, root: Path | None, *, legacy: bool = False) -> str:
    """What `load_dataset` takes for a dataset as a bench file names it.

    Args:
        name: `ucf-cls`, `vggsound-main?features=own`, `vatex-adverbs-unseen` (a released benchmark under `root`), or a
            spec as it is.
        root: Folder of the released benchmarks.
        legacy: Class vectors joined to classes as the authors' program does; only for datasets that can be.

    Raises:
        ValueError: A released benchmark without a root.
    """
    pairs = _ADVERBS_NAME.fullmatch(name)
    match = _RELEASED_NAME.fullmatch(name)
    if match is None and pairs is None:
        kind, query = name.partition(":")[0], "?" in name
        option = {"official": "legacy=true", "simulated": "shifted=true"}.get(kind)
        return name if not legacy or option is None else f"{name}{'&' if query else '?'}{option}"
    if root is None:
        raise BadSetting(
            f"{name} is a released benchmark: pass --root FOLDER that holds it (docs/reproduce.md says where to get "
            "it), or --dataset SPEC to run this bench on other data."
        )
    if pairs is not None:
        split, more = "unseen" if pairs[2] else "seen", "&" + pairs[3][1:] if pairs[3] else ""
        return f"adverbs:{root}?name={pairs[1]}&split={split}{more}"
    assert match is not None
    more = "&" + match[3][1:] if match[3] else ""
    return f"official:{root}?name={RELEASED[match[1]]}&split={match[2]}{more}{'&legacy=true' if legacy else ''}"
