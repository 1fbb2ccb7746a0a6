"""What may stand in a bench file: its keys and the types of their values (`avshot.bench.plan` says what they mean)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avshot.errors import BadSetting
from avshot.settings import did_you_mean


class _Row(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    label: str = ""
    note: str = ""
    misprint: str = ""
    published: dict[str, dict[str, Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]]] = {}


class _Common(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    config: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    selection: dict[str, Any] = {}
    optimise: dict[str, Any] = {}
    task_config: dict[str, Any] = {}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: str
    rows: list[_Row] = Field(min_length=1)
    source: str = ""
    datasets: list[str] = []
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    metrics: list[str] = Field(default=["HM"], min_length=1)
    against: str = ""
    common: _Common = _Common()
    references: list[str] = []


def check_types(file: Path, content: dict[str, Any]) -> None:
    """Refuse a value of another type than its key has. Raises ValueError that names the key and what it got."""
    try:
        _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        raise BadSetting(f"{file}: {where} is {first['input']!r}: {first['msg'].lower()}.") from None


def check_keys(where: str, content: Mapping[str, Any], known: set[str], needed: set[str]) -> None:
    """Refuse a key that is not `known` and the lack of one that is `needed`. Raises ValueError that begins `where`."""
    for key in content:
        if key not in known:
            near = did_you_mean(key, known)
            raise BadSetting(f"{where} has the key {key!r}; expected some of {', '.join(sorted(known))}.{near}")
    for key in sorted(needed):
        if key not in content:
            raise BadSetting(f"{where} has no key {key!r}; it needs {' and '.join(sorted(needed))}.")
