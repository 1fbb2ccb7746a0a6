"""What `run.json`, `metrics.json` and `history.json` of a Run may hold, and reading them back unchanged.

`run.json` holds its own digest and those of the other files. Format 1, of avshot 0.1, has no digests: its Runs are read
as far as their files fit together. Up to format 2 there was one task, and `beta` and `view` stood beside what they are
part of now, the settings that the task chose; they are read as such.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from avshot.errors import DamagedRun, MissingFile, WrongRun, told_as
from avshot.files.atomic import content_digest, file_digest, load_json, save_json

FORMAT = 3
_VIEWS = ("both", "audio", "visual")
_DIGEST = "digest"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Width = Annotated[int, Field(ge=0, le=10_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Chosen(_Part):
    epochs: int = Field(ge=1)
    parts: list[int] = []
    drops: list[int] = []
    settings: dict[str, Any]
    temperature: float = Field(gt=0, allow_inf_nan=False)
    by: list[str]
    score: _Finite | None = None
    grid: str = "-"
    select: Literal["val", "oracle"] = "val"

    @model_validator(mode="after")
    def _plain(self) -> _Chosen:
        for name, value in self.settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
        if self.settings.get("view") not in _VIEWS:
            raise ValueError(f"view is {self.settings.get('view')!r}")
        if not isinstance(self.settings.get("beta", 0.0), int | float):
            raise ValueError(f"beta is {self.settings['beta']!r}")
        return self


class _Inputs(_Part):
    model_config = ConfigDict(extra="forbid", strict=True)

    audio: _Width
    visual: _Width
    text: dict[str, _Width] = Field(min_length=1)
    classes: list[str] = []
    factors: dict[str, list[str]] = {}


class _Data(_Part):
    name: str
    fingerprint: str
    warnings: list[str] = []
    folds: dict[str, int] = {}
    phrases: dict[str, str] = {}


class _Scored(_Part):
    names: list[str] = Field(min_length=1)
    ids: list[str]


class _Key(_Part):
    experiment: dict[str, Any]
    origin: str
    data: dict[str, Any]
    classes: dict[str, str]


class _Judged(_Part):
    clips: int = Field(ge=1)
    on: list[str]
    metric: str
    value: _Finite
    guess: _Finite
    guesser: str
    as_good: int = Field(ge=0)
    shuffles: int = Field(ge=1)


class _Knows(_Part):
    clips: int = Field(ge=0)
    classes: int = Field(ge=0)
    fewest: int = Field(ge=0)
    median: float = Field(ge=0, allow_inf_nan=False)
    most: int = Field(ge=0)
    examples: list[str]
    described: list[str]
    learns: bool
    judged: _Judged | None = None


class _Taught(_Part):
    name: str
    clips: int = Field(ge=1)


class _Record(_Part):
    format: int = Field(ge=1)
    chosen: _Chosen
    inputs: _Inputs
    shown: Literal["both", "audio", "visual"] | None = None
    classes: list[str] = Field(min_length=1)
    encoders: list[str] = Field(min_length=1)
    resolved: dict[str, Any]
    features: dict[str, Any]
    data: _Data
    scored: dict[str, _Scored]
    optimise: dict[str, dict[str, dict[str, Any]]] = {}
    parameters: int = Field(ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    processes: int = Field(default=1, ge=1)
    versions: dict[str, str]
    descriptions: dict[str, list[str]] | None = None
    files: dict[str, str] = {}
    sources: dict[str, str] = {}
    key: _Key | None = None
    knows: _Knows | None = None
    few: list[str] = []
    factors: dict[str, list[str]] = {}
    task: dict[str, Any] = {}
    taught: list[_Taught] = []

    @model_validator(mode="after")
    def _check(self) -> _Record:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if set(self.encoders) != set(self.inputs.text):
            raise ValueError("encoders and inputs.text name different text encoders")
        if not {one.name for one in self.taught} <= set(self.classes):
            raise ValueError("a taught class is none of its classes")
        if self.format > 1 and self.key is None:
            raise ValueError("it has no key")
        return self


class _Metrics(_Part):
    per_class: list[_Share | None] | None = None
    without_clips: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _numbers(self) -> _Metrics:
        for name, value in (self.model_extra or {}).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}")
        return self


class _Stage(_Part):
    losses: list[dict[str, _Finite]]
    scores: list[_Finite] = []
    settings: list[dict[str, Any]] = []
    drops: list[int] = []
    starts: list[int] = []


@told_as(DamagedRun)
def read_record(path: Path) -> dict[str, Any]:
    """Content of a `run.json`, with defaults for what its format did not have.

    Raises:
        ValueError: Damaged, changed since it was written, or of a newer format; the message names the file.
    """
    content = load_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise WrongRun(f"{path} has format {found}; this avshot reads up to {FORMAT}. Upgrade it.")
    if found != 1 or _DIGEST in content:
        noted = content.pop(_DIGEST, None) if isinstance(content, dict) else None
        if noted is None or noted != _digest(content):
            raise DamagedRun(f"{path} was changed or damaged after the training (its digest differs); train again.")
    return checked(path, _in_settings(content), _Record)


def _in_settings(content: Any) -> Any:
    """`run.json` of an older format with what the task chose where it is now."""
    chosen = content.get("chosen") if isinstance(content, dict) else None
    if not isinstance(chosen, dict) or "settings" in chosen or "beta" not in chosen:
        return content
    settings = {"beta": chosen["beta"], "view": chosen.get("view", "both")}
    kept = {key: value for key, value in chosen.items() if key not in settings}
    return {**content, "chosen": {**kept, "settings": settings}}


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a `run.json` with its digest, which leaves out `seconds`: equal trainings have equal digests."""
    plain = json.loads(json.dumps(content))
    save_json(path, plain | {_DIGEST: _digest(plain)})


def _digest(content: Mapping[str, Any]) -> str:
    return content_digest({key: value for key, value in content.items() if key != "seconds"})


def checked(path: Path, content: Any, schema: type[BaseModel]) -> dict[str, Any]:
    """`content` with the defaults of `schema`. Raises ValueError that names the file and what is wrong in it."""
    try:
        return schema.model_validate(content).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        what = first["msg"].removeprefix("Value error, ").lower()
        raise DamagedRun(f"{path} is damaged ({where}: {what}); train again.") from None


@told_as(DamagedRun)
def read_metrics(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Content of a `metrics.json`; empty where nothing was tested.

    Args:
        path: The file.
        names: Metrics that it must hold, each a fraction or None.

    Raises:
        ValueError: It does not; the message names the file.
    """
    content = load_json(path)
    if content == {}:
        return {}
    known = checked(path, content, _Metrics)
    found = {name: value for name, value in known.items() if name in content}
    for name in names:
        value = found.get(name, "missing")
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
            raise DamagedRun(f"{path} is damaged ({name} is {value}); train again.")
    return found


@told_as(DamagedRun)
def read_history(path: Path) -> dict[str, Any]:
    """Content of a `history.json`: a mapping for each stage. Raises ValueError naming the file."""
    content = load_json(path)
    if not isinstance(content, dict) or not content:
        raise DamagedRun(f"{path} is damaged (it holds no stages); train again.")
    return {stage: checked(path, _settings_of_epochs(found), _Stage) for stage, found in content.items()}


def _settings_of_epochs(stage: Any) -> Any:
    """A stage of an older format, whose betas and views were lists of their own."""
    if not isinstance(stage, dict) or "betas" not in stage:
        return stage
    views = stage.get("views") or ["both"] * len(stage["betas"])
    settings = [{"beta": beta, "view": view} for beta, view in zip(stage["betas"], views, strict=False)]
    return {key: value for key, value in stage.items() if key not in ("betas", "views")} | {"settings": settings}


def check_file(path: Path, files: dict[str, str]) -> None:
    """Compare a file of a Run with its digest in `files`; one without a digest (format 1) only has to be there.

    Raises:
        FileNotFoundError: The Run's folder is gone.
        ValueError: The file is missing, unreadable, or not what was written.
    """
    if not path.parent.is_dir():
        raise MissingFile(f"The Run in {path.parent} is gone: there is no such folder (any more).")
    try:
        found = file_digest(path)
    except FileNotFoundError:
        raise DamagedRun(f"{path} is missing; train again, or copy the whole Run folder.") from None
    except OSError as error:
        raise DamagedRun(f"{path} cannot be read ({error.strerror or error}); train again.") from None
    if path.name in files and found != files[path.name]:
        raise DamagedRun(
            f"{path} was changed or damaged after the training (its digest differs); bring the file back, or train "
            "again into an empty folder."
        )
