"""`Experiment`: what one training is asked to do, checked; `resolve`, once, to what its names stand for; its label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.wording import Wording, prompts_by_encoder, prompts_of
from avshot.data.official.benchmark import released_descriptions, released_prompts
from avshot.errors import BadSetting
from avshot.machine.python_file import full_path, is_python_file
from avshot.method import Method, Recipe, Selection
from avshot.metrics.generalised import BETA_GRIDS
from avshot.registry import METHODS, TASKS, digest_of, get_method, get_preset
from avshot.settings import did_you_mean, numbers_in, replace_fields
from avshot.task import Task, get_task, split_task

_SELECTION = frozenset(field.name for field in fields(Selection))
AMBIGUOUS = ("margin", "distance")  # fields of `OptimiseConfig` that the `Config` of some method has, too


class Experiment(BaseModel):
    """What one training is asked to do. Stored in the Run; the same experiment gives the same numbers.

    Attributes:
        dataset: What `load_dataset` takes: a `.toml`, `simulated:...` or `official:...`.
        method: Method name, or the path of a `.py` file with one.
        preset: Preset of the method.
        config: Changes to the preset's `Config`.
        recipe: Changes to the preset's `Recipe`.
        selection: Changes to the preset's `Selection`.
        text: Text encoders, in the order the method joins them. Where the dataset ships class vectors, those of its
            own that are named here, or all of them if none is.
        join_text: Join several text encoders end to end into one class embedding, each at unit length, for methods
            that take one.
        prompts: Prompt ensemble, or "name"; `{text encoder: ensemble}` ("clip=clip-actions,clap=clap-actions") where
            each has its own, "name" for those not named; "released" takes those of ClipClap's authors, which differ
            by benchmark and text encoder (on other data those of VGGSound).
        descriptions: CSV with descriptions of the classes, or None; "released" takes the one that KDA ships in the
            folder of a released benchmark.
        separate_descriptions: Every description is a class embedding of its own, so that a class has a mean and a
            spread (`kda`); False: one mean over prompts and descriptions (`avshot.classes.wording`).
        optimise_classes: Class-embedding optimisation on or off; None takes the preset's choice.
        optimise: Changes to `OptimiseConfig`.
        legacy: Do as the authors' program does it where ours departs from it (`Method.released`, `released_recipe`,
            `released_selection`); what else is changed here still counts. How class vectors are joined is the
            dataset's business: `official:...&legacy=true`.
        modality: What the method gets to see.
        audio_noise: Share of the audio steps of each test clip that are drowned in noise (`avshot.data.noise`).
        seed: Decides initial weights, draws and dropout.
        task: Task name, or the path of a `.py` file with one; `gfsl?shots=5` also sets `task_config`.
        task_config: Changes to the task's settings.
        select: Which clips choose epoch and calibration: "val", or "oracle" for the test clips themselves.
        device: torch device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(min_length=1)
    method: str = "ez_avgzl"
    preset: str = "default"
    config: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    selection: dict[str, Any] = Field(default_factory=dict)
    text: tuple[str, ...] = Field(default=("wordllama",), min_length=1)
    join_text: bool = False
    prompts: str | dict[str, str] = "name"
    descriptions: str | None = None
    separate_descriptions: bool = False
    optimise_classes: bool | None = None
    optimise: dict[str, Any] = Field(default_factory=dict)
    legacy: bool = False
    modality: Literal["both", "audio", "visual"] = "both"
    audio_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    task: str = "gzsl"
    task_config: dict[str, Any] = Field(default_factory=dict)
    select: Literal["val", "oracle"] = "val"
    device: str = "cpu"

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, values: Any) -> Any:
        """Fields of `Selection` stood in `recipe` in avshot 0.1."""
        if not isinstance(values, dict) or not isinstance(values.get("recipe"), dict):
            return values
        old = {key: value for key, value in values["recipe"].items() if key in _SELECTION}
        if not old:
            return values
        recipe = {key: value for key, value in values["recipe"].items() if key not in old}
        return {**values, "recipe": recipe, "selection": {**old, **(values.get("selection") or {})}}

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, values: Any) -> Any:
        """`gfsl?shots=5` is the task gfsl with settings."""
        if not isinstance(values, dict) or "?" not in str(values.get("task", "")):
            return values
        task, settings = split_task(str(values["task"]))
        return {**values, "task": task, "task_config": {**settings, **(values.get("task_config") or {})}}

    @field_validator("prompts")
    @classmethod
    def _per_encoder(cls, prompts: str | dict[str, str]) -> str | dict[str, str]:
        return prompts_by_encoder(prompts) if isinstance(prompts, str) and "=" in prompts else prompts

    @field_validator("method", "task")
    @classmethod
    def _absolute(cls, name: str) -> str:
        """A Run is opened from anywhere."""
        return str(full_path(name)) if is_python_file(name) else name

    @field_validator("config", "recipe", "selection", "optimise", "task_config")
    @classmethod
    def _finite(cls, changes: dict[str, Any]) -> dict[str, Any]:
        for name, value in changes.items():
            if any(isinstance(number, float) and not math.isfinite(number) for number in numbers_in(value)):
                raise BadSetting(f"{name} is {value}, which is not a finite number")
        return changes

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

        yield _last(self.method) if short else self.method
        if self.task != "gzsl":
            yield f"task={_last(self.task) if short else self.task}"
        yield from (f"{name}={value}" for name, value in self.task_config.items())
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
            each = self.prompts.items() if isinstance(self.prompts, dict) else ()
            yield f"prompts={'+'.join(f'{place(encoder)}={name}' for encoder, name in each) or self.prompts}"
        if self.descriptions is not None:
            yield f"descriptions={PurePath(self.descriptions).stem if short else self.descriptions}"
        if self.separate_descriptions:
            yield "separate"
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
        yield from self.selection.items()
        for name, value in self.optimise.items():
            yield f"optimise.{name}" if name in AMBIGUOUS else name, value


def parse_experiment(values: Any) -> Experiment:
    """Check a mapping against `Experiment`. Raises ValueError with one sentence per wrong field."""
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {_reason(e['msg'])}" for e in error.errors())
        unknown = [str(e["loc"][-1]) for e in error.errors() if e["type"] == "extra_forbidden"]
        near = "".join(did_you_mean(name, Experiment.model_fields) for name in unknown)
        raise BadSetting(
            f"The experiment is not valid: {wrong}. Fields: {', '.join(Experiment.model_fields)}.{near}"
        ) from None


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").lower()


@dataclass(frozen=True)
class Parts:
    """An experiment with every name replaced by what it stands for; made by `resolve`.

    Attributes:
        task: The task.
        method: Class of the method.
        config: Its settings, after preset and changes.
        recipe: How it is trained.
        selection: What is chosen around it.
        optimise: Settings of class-embedding optimisation; None = off.
        wording: How class names become class embeddings.
        modality: What the method gets to see.
        audio_noise: Share of the audio steps of test clips that are drowned in noise.
        oracle: The test clips choose epoch and calibration.
        seed: Decides every draw.
        device: torch device.
        source: Where the numbers of the preset come from.
    """

    task: Task
    method: type[Method]
    config: Any
    recipe: Recipe
    selection: Selection
    optimise: OptimiseConfig | None
    wording: Wording
    modality: str
    audio_noise: float
    oracle: bool
    seed: int
    device: str
    source: str

    @property
    def class_transductive(self) -> bool:
        """Names of classes to be tested act on what is trained: by class-embedding optimisation, or by the method."""
        return self.method.class_transductive or (self.optimise is not None and self.optimise.scope == "all")

    def to_dict(self) -> dict[str, Any]:
        """The settings, for the record."""
        return {
            "class_transductive": self.class_transductive,
            "config": asdict(self.config),
            "recipe": asdict(self.recipe),
            "selection": asdict(self.selection),
            "optimise": None if self.optimise is None else asdict(self.optimise),
            "source": self.source,
        }


def resolve(experiment: Experiment) -> Parts:
    """What an experiment asks for, name by name. Reads no data.

    Raises:
        ValueError: An unknown task, method, preset or field, or a value that does not suit it; the message names what
            there is.
    """
    method, preset = get_method(experiment.method), get_preset(experiment.method, experiment.preset)
    names = ("released", "released_recipe", "released_selection")
    released, as_trained, as_chosen = (getattr(method, name) if experiment.legacy else {} for name in names)
    selection = replace_fields(preset.selection, {**as_chosen, **experiment.selection})
    if selection.beta_grid not in BETA_GRIDS:
        near = did_you_mean(selection.beta_grid, BETA_GRIDS)
        raise BadSetting(f"beta_grid {selection.beta_grid!r} does not exist; use one of {', '.join(BETA_GRIDS)}.{near}")
    wanted = selection.optimise_classes if experiment.optimise_classes is None else experiment.optimise_classes
    optimise = replace_fields(OptimiseConfig(), experiment.optimise)
    return Parts(
        task=get_task(experiment.task, experiment.task_config),
        method=method,
        config=replace_fields(preset.config, {**released, **experiment.config}),
        recipe=replace_fields(preset.recipe, {**as_trained, **experiment.recipe}),
        selection=selection,
        optimise=optimise if wanted else None,
        wording=_wording(experiment),
        modality=experiment.modality,
        audio_noise=experiment.audio_noise,
        oracle=experiment.select == "oracle",
        seed=experiment.seed,
        device=experiment.device,
        source=preset.source,
    )


def _wording(experiment: Experiment) -> Wording:
    prompts, described, text = experiment.prompts, experiment.descriptions, experiment.text
    if experiment.separate_descriptions and described is None:
        raise BadSetting("separate_descriptions needs descriptions: name a CSV of them, or leave it out.")
    # A bench file names its datasets before anybody says where they lie.
    located = ":" in experiment.dataset or experiment.dataset.endswith(".toml")
    if described == "released":
        described = str(released_descriptions(experiment.dataset)) if located else None
    if prompts == "released":
        prompts = released_prompts(experiment.dataset) if located else "name"
    separate = experiment.separate_descriptions and described is not None
    return Wording(text, prompts_of(prompts, text), described, experiment.join_text, separate)


def files_of(experiment: Experiment) -> dict[str, str]:
    """Digests of the files that an experiment names as its method or task; empty where it names none."""
    found = {
        "method": digest_of(METHODS, experiment.method),
        "task": digest_of(TASKS, experiment.task),
    }
    return {kind: digest for kind, digest in found.items() if digest is not None}


def _last(name: str) -> str:
    """The name of the file where a method or a task is one, with its ending: `devise.py` is not `devise`."""
    return PurePath(name).name if is_python_file(name) else name
