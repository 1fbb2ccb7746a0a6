"""What a person types as the value of an option, as values: lists, seeds, amounts."""

from __future__ import annotations

import csv
import math
import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from typer.core import TyperCommand

from avshot.errors import BadSetting
from avshot.settings import did_you_mean, read_value

_OTHER_SEPARATORS = ";|\uff0c\u3001\uff1b\u060c"  # semicolon, bar, and the commas of other scripts
_LARGEST_SEED = 2**32  # what every generator of random numbers takes


def parse_list(text: str) -> list[str]:
    """Parts separated by commas or line ends; one that holds a comma itself is put in double quotes.

    Raises:
        ValueError: A quote that is not closed, or parts that are separated by something else.
    """
    text = _as_utf8(text)
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise BadSetting(f"Got the list {text!r} ({error}); close each quote, and put commas between parts.") from None
    parts = [part.strip() for row in rows for part in row if part.strip()]
    marks = [mark for mark in _OTHER_SEPARATORS if '"' not in text and any(mark in part for part in parts)]
    if marks:
        raise BadSetting(
            f"Got the list {text!r}; separate parts by commas, and put one that holds {marks[0]!r} in double quotes."
        )
    return parts


def parse_seeds(text: str) -> list[int]:
    """`"0,1,2"` as numbers. Raises ValueError for anything else."""
    parts = parse_list(text)
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 11 for part in parts):
        raise BadSetting(f"Got --seeds {text!r}; expected whole numbers from 0 on, for example 0,1,2.")
    seeds = [int(part) for part in parts]
    if max(seeds) >= _LARGEST_SEED:
        raise BadSetting(f"Got --seeds {text!r}; expected numbers below {_LARGEST_SEED}.")
    return seeds


def parse_some(option: str, text: str) -> list[str]:
    """`parse_list`, at least one part. Raises ValueError, naming the option, for none."""
    parts = parse_list(text)
    if not parts:
        raise BadSetting(f"Got nothing for {option}; name at least one.")
    return parts


def parse_amount(text: str) -> int | float:
    """A count such as `8`, or a fraction such as `0.2`. Raises ValueError for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount) or "_" in text:  # float() also reads "nan", "infinity" and "1_0"
        comma = f" Write {text.replace(',', '.')}." if text.count(",") == 1 and "." not in text else ""
        raise BadSetting(f"Got the amount {text!r}; expected a count such as 8 or a fraction such as 0.2.{comma}")
    return amount


def parse_labels(text: str) -> tuple[str, ...] | int | float:
    """Names of labels, or how many of them, or which fraction."""
    try:
        return parse_amount(text)
    except ValueError:
        return tuple(parse_list(text))


def _as_utf8(text: str) -> str:
    """What was typed in UTF-8, also where the locale knows ASCII alone and Python kept the bytes as they came."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


class ExtractCommand(TyperCommand):
    """`avshot extract`, whose help lists the extractors there are, without loading any of them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Look for them when help is asked for."""
        folder = "avshot.features.extractors"
        files = {module.name for module in pkgutil.iter_modules(import_module(folder).__path__)}
        names = sorted(
            {name for name in files if name[0] != "_"} | {point.name for point in entry_points(group=folder)}
        )
        self.epilog = f"Extractors: {', '.join(names)}. Options follow a question mark: logmel?mels=64."
        super().format_help(ctx, formatter)


def parse_changes(changes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`["config.dim=64", "recipe.lr=1e-4"]` as `{"config": {"dim": 64}, "recipe": {"lr": 1e-4}}`.

    Raises:
        ValueError: Not of the form group.field=value, or an unknown group.
    """
    groups: dict[str, dict[str, Any]] = {"config": {}, "recipe": {}, "selection": {}, "optimise": {}}
    for change in changes:
        key, equals, value = change.partition("=")
        group, dot, name = key.strip().partition(".")
        if not equals or not dot or group not in groups:
            near = did_you_mean(group, groups) if dot and group not in groups else ""
            raise BadSetting(
                f"Got --set {change!r}; expected GROUP.NAME=VALUE, with the group {', '.join(groups)}.{near}"
            )
        groups[group][name] = read_value(value)
    return groups
