"""A Run: the folder in which one training ends up, and the only thing reports and prediction read.

```
run/
  experiment.yaml       everything that was asked for, resolved
  run.json              what was chosen (epoch, calibration, by which fold), inputs, versions, data fingerprint, times
  weights.safetensors   the method after stage 2
  classes.safetensors   candidate classes of stage 2: embeddings as used (text/) and as the encoder gave them (raw/)
  scores.safetensors    scores [clip, class], labels and seen flags of validation (stage 1) and test (stage 2)
  familiar.safetensors  what the training clips were like (mean and spread of the pooled features)
  embeddings.safetensors  test clips: pooled input features, and what the method embedded them to where it can
  metrics.json          S, U, HM, ZSL, AUSUC on test at the chosen calibration
  history.json          losses and validation scores per epoch, per stage
  README.md             model card
```
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from avshot.classes.optimise import OptimiseConfig
from avshot.method import Inputs, Method, Recipe, build_method, get_method, get_preset, replace_fields
from avshot.types import Classes

FORMAT = 1


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
        legacy: Do as the authors' program does where ours departs from it (`Method.released`). How class vectors are
            joined is the dataset's business: `official:...&legacy=true`.
        modality: What the method gets to see.
        audio_noise: Share of the audio steps of each test clip that are drowned in noise (`avshot.data.disturb`).
        seed: Decides initial weights, draws and dropout.
        task: Only "gzsl" for now.
        select: Which clips choose epoch and calibration: "val", or "oracle" for the test clips themselves.
        device: torch device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    method: str = "ez_avgzl"
    preset: str = "default"
    config: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    text: tuple[str, ...] = ("wordllama",)
    join_text: bool = False
    prompts: str = "name"
    descriptions: str | None = None
    optimise_classes: bool | None = None
    optimise: dict[str, Any] = Field(default_factory=dict)
    legacy: bool = False
    modality: Literal["both", "audio", "visual"] = "both"
    audio_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    seed: int = 0
    task: Literal["gzsl"] = "gzsl"
    select: Literal["val", "oracle"] = "val"
    device: str = "cpu"

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
        """Short name for tables and folders: method, preset and whatever departs from it."""
        parts = [self.method]
        if self.preset != "default":
            parts.append(self.preset)
        if self.optimise_classes is not None:
            parts.append("ceo" if self.optimise_classes else "no-ceo")
        parts += [f"{k}={v}" for k, v in {**self.config, **self.recipe, **self.optimise}.items()]
        if self.legacy:
            parts.append("legacy")
        if self.modality != "both":
            parts.append(self.modality)
        if self.audio_noise:
            parts.append(f"noise={self.audio_noise:g}")
        if self.select != "val":
            parts.append(self.select)
        return "-".join(str(p).replace("/", "_").replace(" ", "") for p in parts)


def parse_experiment(values: dict[str, Any]) -> Experiment:
    """Check a mapping against `Experiment`. Raises ValueError with one sentence per wrong field."""
    try:
        return Experiment(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        raise ValueError(
            f"The experiment is not valid: {wrong}. Fields: {', '.join(Experiment.model_fields)}."
        ) from None


@dataclass(frozen=True)
class Scored:
    """Scores of one set of clips.

    Attributes:
        scores: `[clip, class]`, before calibration.
        labels: `[clip]` index into `names`.
        seen: `[class]` bool.
        names: Class names.
        ids: Clip ids.
    """

    scores: Tensor
    labels: Tensor
    seen: Tensor
    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A finished Run read from its folder (see the module's docstring).

    Attributes:
        path: The folder.
        experiment: What was asked.
        info: Content of `run.json`.
        metrics: Content of `metrics.json`; its values are None where the dataset has no test clips.
    """

    path: Path
    experiment: Experiment
    info: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def beta(self) -> float:
        """Calibration subtracted from the scores of seen classes."""
        return float(self.info["chosen"]["beta"])

    @property
    def temperature(self) -> float:
        """Divides calibrated scores before the softmax."""
        return float(self.info["chosen"]["temperature"])

    @property
    def view(self) -> str:
        """The modality that scores go by where a clip has it: "both", "audio" or "visual" (chosen on validation)."""
        return str(self.info["chosen"]["view"])

    @property
    def shown(self) -> str:
        """What the method was shown: "both", or the modality that was asked for, or the only one training clips had."""
        return str(self.info.get("shown", self.experiment.modality))  # Runs of earlier versions do not say

    @property
    def inputs(self) -> Inputs:
        """Sizes the method was built for."""
        return Inputs(**self.info["inputs"])

    def method(self, device: str = "cpu") -> Method:
        """The trained method in eval mode."""
        model = build_method(get_method(self.experiment.method), self.experiment.resolved_config(), self.inputs)
        model.load_state_dict(load_file(self.path / "weights.safetensors"))
        return model.to(device).eval()

    def classes(self, *, raw: bool = False) -> Classes:
        """Candidate classes of stage 2 with the embeddings the method used, or with the encoder's own (`raw`)."""
        tensors = load_file(self.path / "classes.safetensors")
        prefix = "raw/" if raw else "text/"
        text = {k.removeprefix(prefix): tensors[k] for k in sorted(tensors) if k.startswith(prefix)}
        return Classes(tuple(self.info["classes"]), {k: text[k] for k in self.info["encoders"]}, tensors["seen"])

    def scored(self, part: Literal["val", "test"]) -> Scored | None:
        """Scores of the validation (stage 1) or test (stage 2) clips; None where there were none."""
        if part not in self.info["scored"]:
            return None
        with safe_open(self.path / "scores.safetensors", framework="pt") as file:
            tensors = [file.get_tensor(f"{part}/{key}") for key in ("scores", "labels", "seen")]
        about = self.info["scored"][part]
        scores, labels, seen = tensors
        return Scored(scores, labels, seen, tuple(about["names"]), tuple(about["ids"]))

    def embeddings(self) -> dict[str, Tensor]:
        """Test clips as tensors: `audio`, `visual` (pooled inputs) and, where the method embeds, `clip`, `class`."""
        file = self.path / "embeddings.safetensors"
        return load_file(file) if file.exists() else {}

    def history(self) -> dict[str, Any]:
        """Losses and validation scores per epoch for "stage1" and "stage2"."""
        return json.loads((self.path / "history.json").read_text())


def load_run(path: str | Path) -> Run:
    """Open a Run folder. Raises ValueError when it is not one, is unfinished, or has a newer format."""
    path = Path(path)
    if not (path / "experiment.yaml").exists():
        raise ValueError(
            f"{path} is not a Run folder (it has no experiment.yaml); pass a folder made by `avshot train`."
        )
    if not (path / "run.json").exists():
        raise ValueError(f"The Run in {path} is not finished; run the same `avshot train` command again to resume it.")
    info = json.loads((path / "run.json").read_text())
    if info["format"] > FORMAT:
        raise ValueError(
            f"The Run in {path} has format {info['format']}; this avshot reads up to {FORMAT}. Upgrade it."
        )
    experiment = parse_experiment(yaml.safe_load((path / "experiment.yaml").read_text()))
    return Run(path, experiment, info, json.loads((path / "metrics.json").read_text()))


def find_runs(root: str | Path) -> list[Run]:
    """All finished Runs in or below `root`, sorted by path."""
    root = Path(root)
    return [
        load_run(file.parent) for file in sorted(root.rglob("run.json")) if (file.parent / "experiment.yaml").exists()
    ]


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file that is either complete or absent."""
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, partial)
    os.replace(partial, path)


def save_text(path: Path, text: str) -> None:
    """Write a text file that is either complete or absent."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def save_json(path: Path, content: Any) -> None:
    """Write JSON that is either complete or absent."""
    save_text(path, json.dumps(content, indent=1) + "\n")


def describe(experiment: Experiment) -> dict[str, Any]:
    """Everything an experiment resolves to, for the record."""
    optimise = experiment.resolved_optimise()
    return {
        "config": asdict(experiment.resolved_config()),
        "recipe": asdict(experiment.resolved_recipe()),
        "optimise": None if optimise is None else asdict(optimise),
        "source": get_preset(experiment.method, experiment.preset).source,
    }


def versions() -> dict[str, str]:
    """Versions of what produced the numbers."""
    import platform
    from importlib.metadata import version

    packages = ("avshot", "torch", "numpy", "av", "transformers", "wordllama", "safetensors")
    return (
        {"python": platform.python_version()}
        | {name: version(name) for name in packages}
        | {"threads": str(torch.get_num_threads())}
    )
