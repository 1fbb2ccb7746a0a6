"""Settings as frozen dataclasses: changing fields to values that a person typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

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
            raise ValueError(f"{kind} has no field {key!r}; fields: {known}.")
        now = getattr(settings, key)
        fixed[key] = value if type(value) is type(now) else _converted(value, hints[key], f"{kind}.{key}", now)
    return dataclasses.replace(settings, **fixed)  # type: ignore[type-var]


def _converted(value: Any, hint: Any, field: str, now: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError  # here, so that methods load nothing heavy but torch

    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        wrong = error.errors()[0]["msg"].lower()
        raise ValueError(f"{field} is {value!r}: {wrong}; it is {now!r} now.") from None
