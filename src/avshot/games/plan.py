"""A file of experiments: rows (speakers and learners) x columns (listeners) x seeds, as in a figure of the thesis.

```toml
title = "What is compared"
source = "Where the idea is from"
seeds = [0, 1, 2]
against = "zero-shot"            # the row that others are tested against

[play]                           # what all have in common: fields of `Play`
game = "rei"
source = "symbolic"

[[rows]]
label = "zero-shot"

[[rows]]
label = "KTO"
learner = "kto"

[[columns]]
label = "colour-blind"
listener = "exact?ignores=color"

[[published]]                    # printed numbers, which stand beside ours
row = "KTO"
column = "colour-blind"
value = 0.69
note = "LLaVA-7B"
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from avshot.errors import BadSetting, MissingFile
from avshot.files.text import read_text
from avshot.games.experiment import Play
from avshot.settings import did_you_mean, replace_fields

_KEYS = {"title", "source", "seeds", "against", "play", "rows", "columns", "published"}


@dataclass(frozen=True)
class Published:
    """One printed number.

    Attributes:
        row: Label of the row that it stands beside.
        column: Of the column.
        value: As printed.
        note: Whose number it is, and what is odd about it.
    """

    row: str
    column: str
    value: float
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What a file asks for.

    Attributes:
        title: Of the table.
        source: Where the idea is from.
        seeds: Of every cell.
        against: Label of the row that others are tested against; empty for none.
        cells: `{(row, column): experiment}` in order, without its seed.
        published: Printed numbers.
    """

    title: str
    source: str
    seeds: tuple[int, ...]
    against: str
    cells: Mapping[tuple[str, str], Play]
    published: tuple[Published, ...] = ()

    @property
    def rows(self) -> list[str]:
        """Labels of the rows, in order."""
        return list(dict.fromkeys(row for row, _ in self.cells))

    @property
    def columns(self) -> list[str]:
        """Labels of the columns, in order."""
        return list(dict.fromkeys(column for _, column in self.cells))


def load_plan(path: Path) -> Plan:
    """Read a file of experiments.

    Raises:
        ValueError: There is no such file, it is no TOML, or asks for what does not exist; names file and place.
    """
    try:
        content = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise MissingFile(f"There is no file {path}; experiments/ has those of the thesis's figures.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{path} is no TOML ({error}); mend that line.") from None
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        near = did_you_mean(unknown[0], _KEYS)
        raise BadSetting(f"{path} has {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}.{near}")
    common = _changed(Play(), content.get("play", {}), f"{path}: [play]")
    rows, columns = (_labelled(content.get(kind), kind, path) for kind in ("rows", "columns"))
    cells = {
        (row, column): _changed(common, {**a, **b}, f"{path}: {row} / {column}")
        for row, a in rows.items()
        for column, b in columns.items()
    }
    plan = Plan(
        str(content.get("title", path.stem)),
        str(content.get("source", "")),
        _seeds(content.get("seeds", [0]), path),
        str(content.get("against", "")),
        cells,
        tuple(_published(each, path) for each in content.get("published", [])),
    )
    return _checked(plan, path)


def _seeds(value: Any, path: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or any(type(each) is not int or each < 0 for each in value):
        raise BadSetting(f"{path}: seeds is {value!r}; expected a list of whole numbers from 0: [0, 1, 2].")
    return tuple(value)


def _labelled(value: Any, kind: str, path: Path) -> dict[str, dict[str, Any]]:
    if not isinstance(value, list) or not value or any(not isinstance(e, dict) or "label" not in e for e in value):
        raise BadSetting(f"{path} needs [[{kind}]], each with a label.")
    labels = [str(each["label"]) for each in value]
    if len({label.casefold() for label in labels}) < len(labels):
        raise BadSetting(f"{path}: two of [[{kind}]] have the same label; name each otherwise.")
    return {str(each["label"]): {k: v for k, v in each.items() if k != "label"} for each in value}


def _changed(play: Play, changes: Any, place: str) -> Play:
    if not isinstance(changes, dict):
        raise BadSetting(f"{place} is {changes!r}; expected settings.")
    if "seed" in changes:
        raise BadSetting(f"{place} sets seed; list seeds at the top: seeds = [0, 1, 2].")
    try:
        return replace_fields(play, changes)
    except ValueError as error:
        raise BadSetting(f"{place}: {error}") from None


def _published(value: Any, path: Path) -> Published:
    known = {each.name for each in fields(Published)}
    if not isinstance(value, dict) or not {"row", "column", "value"} <= set(value) <= known:
        raise BadSetting(f"{path}: one of [[published]] is {value!r}; expected row, column, value and perhaps note.")
    return Published(**value)


def _checked(plan: Plan, path: Path) -> Plan:
    if plan.against and plan.against not in plan.rows:
        raise BadSetting(f"{path}: against is {plan.against!r}, which is no row; rows: {', '.join(plan.rows)}.")
    for each in plan.published:
        if (each.row, each.column) not in plan.cells:
            raise BadSetting(f"{path}: a published number stands at {each.row!r} / {each.column!r}, which is no cell.")
    return plan


def only(plan: Plan, labels: Sequence[str]) -> Plan:
    """The plan with some of its rows, and the one that they are tested against. Raises ValueError for others."""
    unknown = [label for label in labels if label not in plan.rows]
    if unknown:
        near = did_you_mean(unknown[0], plan.rows)
        raise BadSetting(f"There is no row {unknown[0]!r}; rows: {', '.join(plan.rows)}.{near}")
    kept = {*labels, plan.against}
    cells = {key: value for key, value in plan.cells.items() if key[0] in kept}
    published = tuple(each for each in plan.published if each.row in kept)
    return Plan(plan.title, plan.source, plan.seeds, plan.against, cells, published)
