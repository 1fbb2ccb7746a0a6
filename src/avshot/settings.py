"""Text that a person typed, as settings: `kind:place?key=value`, fields of frozen dataclasses, true and false.

Extractors, text encoders, datasets and `--set` are read by the functions below, each in one way for all.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl

from avshot.errors import BadSetting

T = TypeVar("T")


def replace_fields(settings: T, changes: Mapping[str, Any]) -> T:
    """`dataclasses.replace` for values that a person typed.

    Values become the field's type where that loses nothing: 1 a float, a list a tuple.

    Raises:
        ValueError: No such field (the message names the valid ones), or a value that does not suit it.
    """
    hints, kind = get_type_hints(type(settings)), type(settings).__qualname__
    fixed = {}
    for key, value in changes.items():
        if key not in hints:
            known = ", ".join(f.name for f in dataclasses.fields(settings))  # type: ignore[arg-type]
            near = did_you_mean(key, hints)
            raise BadSetting(f"{kind} has no field {key!r}; fields: {known}.{near}")
        now = getattr(settings, key)
        fixed[key] = value if type(value) is type(now) else _converted(value, hints[key], f"{kind}.{key}", now)
    return dataclasses.replace(settings, **fixed)  # type: ignore[type-var]


def as_recorded(settings: T, record: Mapping[str, Any]) -> T:
    """`settings` with the values of a record (`dataclasses.asdict`) that an older avshot may have written.

    Fields that are younger than the record have their defaults; fields that are gone are passed over.
    """
    known = {f.name: f.default for f in dataclasses.fields(settings)}  # type: ignore[arg-type]
    young = {k: value for k, value in known.items() if k not in record and value is not dataclasses.MISSING}
    return replace_fields(settings, {**young, **{k: value for k, value in record.items() if k in known}})


def numbers_in(value: Any) -> Iterator[Any]:
    """A value, or all that the lists and mappings in it hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part)
    else:
        yield value


def _converted(value: Any, hint: Any, field: str, now: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError  # here, so that methods load nothing heavy but torch

    if isinstance(value, bool) and hint is not Any and bool not in (hint, *get_args(hint)):  # else it would become 1
        raise BadSetting(f"{field} is {value}: input should not be true or false; it is {now!r} now.")
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        wrong = error.errors()[0]["msg"].lower()
        raise BadSetting(f"{field} is {value!r}: {wrong}; it is {now!r} now.") from None


def split_spec(spec: str) -> tuple[str, str, str]:
    """`kind:place?query` as (kind, place, query); what is not there is empty."""
    head, _, query = spec.partition("?")
    kind, _, place = head.partition(":")
    return kind, place, query


def read_options(query: str, types: Mapping[str, Callable[[str], Any]], what: str) -> dict[str, Any]:
    """`key=value&key=value` as values.

    Args:
        query: What stands behind the question mark of a spec; `%26` and the like stand for the character.
        types: `{key: what makes a value of the text}`: `int`, `float`, `str`, `bool` (true or false) or any function
            that raises ValueError. A key that ends in `.` stands for all keys that begin so.
        what: Whose options they are, for messages: "Extractor logmel".

    Raises:
        ValueError: An unknown key, one without a value or given twice, or a value of another type.
    """
    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        ((key, text),) = parse_qsl(part, keep_blank_values=True)
        kind = types.get(key) or types.get(f"{key.partition('.')[0]}.")
        if kind is None:
            known = [f"{name}<name>" if name.endswith(".") else name for name in types]
            raise BadSetting(f"{what} has no option {key!r}; options: {', '.join(known)}.{did_you_mean(key, known)}")
        if "=" not in part or key in options:
            raise BadSetting(f"{what}: option {part!r} is incomplete or repeated; write {key}=value once.")
        try:
            options[key] = read_truth(text) if kind is bool else kind(text)
        except ValueError:
            wanted = "true or false" if kind is bool else f"a value of type {getattr(kind, '__name__', 'its own')}"
            raise BadSetting(f"{what}: option {key} is {text!r}; expected {wanted}.") from None
    return options


def read_truth(text: str) -> bool:
    """`true` or `false`, in any case. Raises ValueError for anything else."""
    if text.lower() not in ("true", "false"):
        raise BadSetting(f"Got {text!r}; expected true or false.")
    return text.lower() == "true"


def read_value(text: str) -> Any:
    """A value as YAML reads it, except that 1e-4 is a number and None is nothing."""
    import yaml

    text = text.strip()
    try:
        value = float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", text) else _plain_value(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadSetting(text)
        return value
    except (yaml.YAMLError, RecursionError, ValueError):
        raise BadSetting(
            f"Got the value {text!r}; expected a number, a word, true, false, null or [a, list]."
        ) from None


def _plain_value(text: str) -> Any:
    """YAML's reading, but for 010, which it takes for 8, and 1:30, which it takes for 90."""
    import yaml

    if re.fullmatch(r"[-+]?\d{1,18}", text, flags=re.ASCII):
        return int(text)
    if text == "None":
        return None
    return text if re.fullmatch(r"[-+]?[\d_]+(:[\d_.]+)+", text) else yaml.safe_load(text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of the `known` names, whatever its capitals; empty where none is near."""
    spelt = {other.casefold(): other for other in known}
    near = get_close_matches(name.casefold(), list(spelt), n=1)
    return f" Did you mean {spelt[near[0]]!r}?" if near else ""
