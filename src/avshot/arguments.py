"""What a person types as the value of an option, as values: lists, seeds, amounts."""

from __future__ import annotations

import csv
import math


def parse_list(text: str) -> list[str]:
    """Comma-separated parts; one that holds a comma itself is put in double quotes."""
    rows = list(csv.reader([text], skipinitialspace=True))
    return [part.strip() for row in rows for part in row if part.strip()]


def parse_seeds(text: str) -> list[int]:
    """`"0,1,2"` as numbers. Raises ValueError for anything else."""
    parts = parse_list(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"Got --seeds {text!r}; expected whole numbers from 0 on, for example 0,1,2.")
    return [int(part) for part in parts]


def parse_some(option: str, text: str) -> list[str]:
    """`parse_list`, at least one part. Raises ValueError, naming the option, for none."""
    parts = parse_list(text)
    if not parts:
        raise ValueError(f"Got nothing for {option}; name at least one.")
    return parts


def parse_amount(text: str) -> int | float:
    """A count such as `8`, or a fraction such as `0.2`. Raises ValueError for anything else."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):  # float() also reads "nan" and "infinity"
        raise ValueError(f"Got the amount {text!r}; expected a count such as 8 or a fraction such as 0.2.")
    return amount


def parse_labels(text: str) -> tuple[str, ...] | int | float:
    """Names of labels, or how many of them, or which fraction."""
    try:
        return parse_amount(text)
    except ValueError:
        return tuple(parse_list(text))
