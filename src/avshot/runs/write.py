"""The files of a Run, written when its training ends."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avshot.classes.factors import factor_tensors
from avshot.data.dataset import Dataset
from avshot.experiment import Experiment, Parts, files_of
from avshot.files.atomic import file_digest, save_json, save_tensors, save_text
from avshot.files.run_record import FORMAT, write_record
from avshot.machine.versions import versions
from avshot.method import Method
from avshot.runs.card import model_card
from avshot.runs.key import Key
from avshot.training.class_statistics import class_statistics
from avshot.training.clips import ClipSource
from avshot.training.distributed import current
from avshot.training.scoring import Judged, embed_clips
from avshot.types import Classes


@dataclass(frozen=True)
class Part:
    """The judged clips of one stage: what was scored, among which classes, and how it came about."""

    stage: str
    judged: Judged
    scores: Tensor | None
    history: dict[str, Any]
    outcomes: dict[str, Any]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What `scores.safetensors` holds of it, each name behind `prefix/`; there must be scores."""
        assert self.scores is not None
        values = {"scores": self.scores, "labels": self.judged.source.labels, "seen": self.judged.classes.seen}
        values |= {} if self.judged.counts is None else {"counts": self.judged.counts}
        return {f"{prefix}/{key}": value for key, value in values.items()}

    def about(self) -> dict[str, Any]:
        """Which classes and clips the columns and rows of the scores are."""
        return {"names": list(self.judged.classes.names), "ids": self.judged.source.ids}


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        model: The method after the first tested stage.
        raw: The candidates of that stage, before any optimisation.
        usual: What the clips were like that it was trained on (`avshot.prediction.novelty`).
        chosen: What validation chose.
        knows: What it knows about itself (`avshot.runs.knowledge`).
        parts: The stages: "val", "test", and "test2" and on for further draws.
        few: The classes of the first tested stage that were trained on a few clips.
    """

    model: Method
    raw: Classes
    usual: dict[str, Tensor]
    chosen: dict[str, Any]
    knows: dict[str, Any]
    parts: Mapping[str, Part]
    few: tuple[str, ...] = ()


def write_run(
    folder: Path, experiment: Experiment, parts: Parts, dataset: Dataset, trained: Trained, key: Key, seconds: float
) -> None:
    """Write the Run; `run.json` comes last, names the digest of every other file and marks the Run as finished."""
    test, model = trained.parts["test"], trained.model
    metrics = _metrics(parts, trained)
    tensors = _tensors(trained)
    tensors["familiar"] |= _statistics(parts, dataset, trained)
    if test.scores is not None:
        view = trained.chosen["settings"]["view"]
        tensors["embeddings"] = embed_clips(model, test.judged.source, test.judged.classes, view)
    digests = {f"{name}.safetensors": save_tensors(folder / f"{name}.safetensors", t) for name, t in tensors.items()}
    save_json(folder / "metrics.json", metrics)
    save_json(folder / "history.json", {part.stage: part.history for part in trained.parts.values()})
    digests |= {name: file_digest(folder / name) for name in ("metrics.json", "history.json", "experiment.yaml")}
    sources = files_of(experiment)
    for kind in sources:  # to be read, not run: where the file has changed, this says how it was
        shutil.copyfile(getattr(experiment, kind), folder / f"{kind}.py")
    info = _info(experiment, parts, dataset, trained, key) | {"seconds": seconds, "files": digests, "sources": sources}
    card = model_card(experiment, parts, info, metrics, seen=test.judged.classes.seen.tolist())
    save_text(folder / "README.md", card)
    write_record(folder / "run.json", info)


def _statistics(parts: Parts, dataset: Dataset, trained: Trained) -> dict[str, Tensor]:
    """What is kept, class by class, of the clips of the first tested stage's training.

    Nothing where clips are scored among different classes: there is no one list that a class could be added to.
    """
    stage, test, view = parts.task.stages(dataset)[1], trained.parts["test"].judged, trained.chosen["settings"]["view"]
    if stage.trials:
        return {}
    source = ClipSource(dataset, stage.train, test.classes.select(stage.trained), test.source.modality)
    return class_statistics(trained.model, source, test.classes, view)


def _info(experiment: Experiment, parts: Parts, dataset: Dataset, trained: Trained, key: Key) -> dict[str, Any]:
    """What `run.json` says of the training itself."""
    test = trained.parts["test"].judged
    return {
        "format": FORMAT,
        "chosen": trained.chosen | {"grid": parts.selection.beta_grid, "select": experiment.select},
        "inputs": asdict(trained.model.inputs),
        "shown": test.source.modality,
        "classes": list(test.classes.names),
        "factors": {name: list(factor.names) for name, factor in test.classes.factors.items()},
        "few": list(trained.few),
        "task": parts.task.record(dataset),
        "encoders": list(test.classes.text),
        "resolved": parts.to_dict(),
        "features": {} if dataset.features is None else dict(dataset.features.spec),
        "data": {"name": dataset.name, "fingerprint": key.data["fingerprint"], "warnings": list(dataset.warnings())}
        | {"folds": {fold: len(rows) for fold, rows in dataset.folds.items()}, "phrases": dict(dataset.phrases)},
        "scored": {name: part.about() for name, part in trained.parts.items() if part.scores is not None},
        "optimise": {name: part.outcomes for name, part in trained.parts.items()},
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "processes": current(parts.device).count,
        "versions": versions(),
        "descriptions": parts.wording.described(),
        "key": key.to_dict(),
        "knows": trained.knows,
    }


def _metrics(parts: Parts, trained: Trained) -> dict[str, Any]:
    """The task's metrics of the tested stages, averaged where there are several; empty where nothing was tested."""
    draws = [
        _measured(parts, part, trained.chosen["settings"])
        for name, part in trained.parts.items()
        if name != "val" and part.scores is not None
    ]
    return {} if not draws else draws[0] if len(draws) == 1 else parts.task.average(draws)


def _measured(parts: Parts, part: Part, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a tested stage; where its clips chose the epoch, as the task counts those of all epochs."""
    assert part.scores is not None
    found = parts.task.measure(part.judged.scored(part.scores), settings)
    return parts.task.over_epochs(found, part.history.get("metrics", ())) if parts.oracle else found


def _tensors(trained: Trained) -> dict[str, dict[str, Tensor]]:
    """The content of each `.safetensors` file but the embeddings."""
    test = trained.parts["test"]
    classes = test.judged.classes
    text = {f"text/{k}": v for k, v in classes.text.items()} | {f"raw/{k}": v for k, v in trained.raw.text.items()}
    scored = {name: part for name, part in trained.parts.items() if part.scores is not None}
    return {
        "weights": trained.model.state_dict(),
        "classes": text | {"seen": classes.seen} | factor_tensors(classes),
        "scores": {k: v for name, part in scored.items() for k, v in part.tensors(name).items()},
        "familiar": trained.usual,
    }
