"""`Experiment`: what one training is asked to do, checked; and the short name that tables and folders give it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from avshot.classes.optimise.config import OptimiseConfig
from avshot.method import Recipe, replace_fields
from avshot.registry import get_method, get_preset

AMBIGUOUS = ("margin", "distance")  # fields of `OptimiseConfig` that the `Config` of some method has, too


class Experiment(BaseModel):
    """What one training is asked to do. Stored in the Run; the same experiment gives the same numbers.

    Attributes:
        dataset: What `load_dataset` takes: a `.toml`, `simulated:...` or `official:...`.
        method: Method name.
        preset: Preset of the method.
        config: Changes to the preset's `Config`.
        recipe: Changes to the preset's `Recipe`.
        text: Text encoders, in the order the method joins them. Where the dataset ships class vectors, those of its
            own that are named here, or all of them if none is.
        join_text: Join several text encoders end to end into one class embedding, each at unit length, for methods
            that take one.
        prompts: Prompt ensemble, or "name".
        descriptions: CSV with descriptions of the classes, or None; "released" takes the one that KDA ships in the
            folder of a released benchmark.
        optimise_classes: Class-embedding optimisation on or off; None takes the recipe's choice.
        optimise: Changes to `OptimiseConfig`.
        legacy: Do as the authors' program does it where ours departs from it (`Method.released`). How class vectors
            are joined is the dataset's business: `official:...&legacy=true`.
        modality: What the method gets to see.
        audio_noise: Share of the audio steps of each test clip that are drowned in noise (`avshot.data.noise`).
        seed: Decides initial weights, draws and dropout.
        task: Only "gzsl" for now.
        select: Which clips choose epoch and calibration: "val", or "oracle" for the test clips themselves.
        device: torch device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(min_length=1)
    method: str = "ez_avgzl"
    preset: str = "default"
    config: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    text: tuple[str, ...] = Field(default=("wordllama",), min_length=1)
    join_text: bool = False
    prompts: str = "name"
    descriptions: str | None = None
    optimise_classes: bool | None = None
    optimise: dict[str, Any] = Field(default_factory=dict)
    legacy: bool = False
    modality: Literal["both", "audio", "visual"] = "both"
    audio_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    task: Literal["gzsl"] = "gzsl"
    select: Literal["val", "oracle"] = "val"
    device: str = "cpu"

    @field_validator("config", "recipe", "optimise")
    @classmethod
    def _finite(cls, changes: dict[str, Any]) -> dict[str, Any]:
        for name, value in changes.items():
            if any(isinstance(number, float) and not math.isfinite(number) for number in _numbers(value)):
                raise ValueError(f"{name} is {value}, which is not a finite number")
        return changes

    def resolved_config(self) -> Any:
        """The method's `Config` after preset and changes."""
        released = get_method(self.method).released if self.legacy else {}
        return replace_fields(get_preset(self.method, self.preset).config, {**released, **self.config})

    def resolved_recipe(self) -> Recipe:
        """The `Recipe` after preset and changes."""
        return replace_fields(get_preset(self.method, self.preset).recipe, self.recipe)

    def resolved_optimise(self) -> OptimiseConfig | None:
        """Settings of class-embedding optimisation, or None when it is off."""
        wanted = self.resolved_recipe().optimise_classes if self.optimise_classes is None else self.optimise_classes
        return replace_fields(OptimiseConfig(), self.optimise) if wanted else None

    def label(self) -> str:
        """Short name for tables and folders: method, preset and whatever departs from it, but for data and device.

        Of files and models it holds the last part of the name alone; `in_full` holds all of it.
        """
        return "-".join(text.replace("/", "_").replace(" ", "") for text in self._parts(short=True))

    def in_full(self) -> tuple[str, ...]:
        """The parts of `label` without any abbreviation: equal for equal settings alone."""
        return tuple(self._parts(short=False))

    def _parts(self, *, short: bool) -> Iterator[str]:
        def place(text: str) -> str:
            kind, colon, name = text.rpartition(":")
            return f"{kind}{colon}{PurePath(name).name}" if short else text

        yield self.method
        if self.preset != "default":
            yield self.preset
        if self.optimise_classes is not None:
            yield "ceo" if self.optimise_classes else "no-ceo"
        yield from (f"{name}={value}" for name, value in self._changes())
        if self.text != ("wordllama",):
            yield f"text={'+'.join(map(place, self.text))}"
        if self.join_text:
            yield "join"
        if self.prompts != "name":
            yield f"prompts={self.prompts}"
        if self.descriptions is not None:
            yield f"descriptions={PurePath(self.descriptions).stem if short else self.descriptions}"
        if self.legacy:
            yield "legacy"
        if self.modality != "both":
            yield self.modality
        if self.audio_noise:
            yield f"noise={self.audio_noise}"
        if self.select != "val":
            yield self.select

    def _changes(self) -> Iterator[tuple[str, Any]]:
        """Changed fields; no two of different groups have one name."""
        yield from self.config.items()
        yield from self.recipe.items()
        for name, value in self.optimise.items():
            yield f"optimise.{name}" if name in AMBIGUOUS else name, value


def _numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    else:
        yield value


def parse_experiment(values: Any) -> Experiment:
    """Check a mapping against `Experiment`. Raises ValueError with one sentence per wrong field."""
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {_reason(e['msg'])}" for e in error.errors())
        raise ValueError(
            f"The experiment is not valid: {wrong}. Fields: {', '.join(Experiment.model_fields)}."
        ) from None


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").lower()


def describe(experiment: Experiment) -> dict[str, Any]:
    """Everything an experiment resolves to, for the record."""
    optimise = experiment.resolved_optimise()
    return {
        "config": asdict(experiment.resolved_config()),
        "recipe": asdict(experiment.resolved_recipe()),
        "optimise": None if optimise is None else asdict(optimise),
        "source": get_preset(experiment.method, experiment.preset).source,
    }
