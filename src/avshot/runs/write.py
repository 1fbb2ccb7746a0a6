"""The files of a Run, written when its training ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from avshot.classes.candidates import descriptions_of
from avshot.data.dataset import Dataset
from avshot.experiment import Experiment, describe
from avshot.prediction.novelty import usual_of
from avshot.files.atomic import file_digest, save_json, save_tensors, save_text
from avshot.training.scoring import embed_clips
from avshot.runs.key import Key
from avshot.method import Method
from avshot.metrics.generalised import gzsl_metrics
from avshot.report.card import model_card
from avshot.training.distributed import here
from avshot.run import FORMAT, versions
from avshot.runs.record import write_record
from avshot.tasks.gzsl import stages
from avshot.training.clips import ClipSource
from avshot.types import Classes


@dataclass(frozen=True)
class Part:
    """The judged clips of one stage: what was scored, among which classes, and how it came about."""

    source: ClipSource
    classes: Classes
    scores: Tensor | None
    history: dict[str, Any]
    outcomes: dict[str, Any]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """What `scores.safetensors` holds of it, each name behind `prefix/`; there must be scores."""
        assert self.scores is not None
        values = {"scores": self.scores, "labels": self.source.labels, "seen": self.classes.seen}
        return {f"{prefix}/{key}": value for key, value in values.items()}

    def about(self, dataset: Dataset) -> dict[str, Any]:
        """Which classes and clips the columns and rows of the scores are."""
        return {"names": list(self.classes.names), "ids": [dataset.clips[i].id for i in self.source.clips.tolist()]}


def write_run(
    experiment: Experiment,
    dataset: Dataset,
    folder: Path,
    chosen: dict[str, Any],
    parts: dict[str, Part],
    model: Method,
    raw: Classes,
    key: Key,
    seconds: float,
) -> None:
    """Write the Run; `run.json` comes last, names the digest of every other file and marks the Run as finished."""
    test, classes = parts["test"], parts["test"].classes
    scored = {name: part for name, part in parts.items() if part.scores is not None}
    text = {f"text/{k}": v for k, v in classes.text.items()} | {f"raw/{k}": v for k, v in raw.text.items()}
    tensors = {
        "weights": model.state_dict(),
        "classes": text | {"seen": classes.seen},
        "scores": {k: v for name, part in scored.items() for k, v in part.tensors(name).items()},
        "familiar": usual_of(dataset, stages(dataset)[1].train, test.source.modality),
    }
    metrics: dict[str, Any] = {}
    if test.scores is not None:
        metrics = gzsl_metrics(test.scores, test.source.labels, classes.seen, chosen["beta"])
        tensors["embeddings"] = embed_clips(model, test.source, classes, chosen["view"])
    digests = {f"{name}.safetensors": save_tensors(folder / f"{name}.safetensors", t) for name, t in tensors.items()}
    save_json(folder / "metrics.json", metrics)
    save_json(folder / "history.json", {"stage1": parts["val"].history, "stage2": test.history})
    digests |= {name: file_digest(folder / name) for name in ("metrics.json", "history.json", "experiment.yaml")}
    info = {
        "format": FORMAT,
        "chosen": chosen | {"grid": experiment.resolved_recipe().beta_grid, "select": experiment.select},
        "inputs": asdict(model.inputs),
        "shown": test.source.modality,
        "classes": list(classes.names),
        "encoders": list(classes.text),
        "resolved": describe(experiment),
        "features": {} if dataset.features is None else dict(dataset.features.spec),
        "data": {"name": dataset.name, "fingerprint": key.data["fingerprint"], "warnings": list(dataset.warnings())}
        | {"folds": {fold: len(rows) for fold, rows in dataset.folds.items()}, "phrases": dict(dataset.phrases)},
        "scored": {name: part.about(dataset) for name, part in scored.items()},
        "optimise": {name: part.outcomes for name, part in parts.items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "processes": here(experiment.device).count,
        "versions": versions(),
        "descriptions": descriptions_of(experiment),
        "key": key.to_dict(),
        "files": digests,
    }
    save_text(folder / "README.md", model_card(experiment, info, metrics, seen=classes.seen.tolist()))
    write_record(folder / "run.json", info)
