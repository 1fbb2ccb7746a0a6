"""The honest protocol: stage 1 selects, stage 2 retrains from scratch, the test clips are scored once.

`run(experiment, folder)` is the whole story, top to bottom. A killed run resumes where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from avshot.candidates import class_embeddings, stage_candidates
from avshot.checkpoint import History
from avshot.data.dataset import Dataset, load_dataset
from avshot.data.disturb import NoisyAudio
from avshot.familiar import usual_of
from avshot.judge import Judge, embed_clips, score_clips
from avshot.method import Inputs, Method, build_method, check_modalities, get_method
from avshot.metrics import fit_temperature, gzsl_metrics
from avshot.model_card import model_card
from avshot.processes import here
from avshot.run import (
    FORMAT,
    Experiment,
    Run,
    describe,
    load_run,
    parse_experiment,
    save_json,
    save_tensors,
    save_text,
    versions,
)
from avshot.tasks.gzsl import Stage, stages
from avshot.train import ClipSource, modalities_of, train
from avshot.types import Classes

Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class _Part:
    """The judged clips of one stage: what was scored, among which classes, and how it came about."""

    source: ClipSource
    classes: Classes
    scores: Tensor | None
    history: dict[str, Any]
    outcomes: dict[str, Any]

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        assert self.scores is not None
        values = {"scores": self.scores, "labels": self.source.labels, "seen": self.classes.seen}
        return {f"{prefix}/{key}": value for key, value in values.items()}

    def about(self, dataset: Dataset) -> dict[str, Any]:
        return {"names": list(self.classes.names), "ids": [dataset.clips[i].id for i in self.source.clips.tolist()]}


def run(
    experiment: Experiment, folder: str | Path, *, dataset: Dataset | None = None, progress: Report | None = None
) -> Run:
    """Train and test one method with one seed, and write everything to `folder`.

    Args:
        experiment: What to do.
        folder: The Run folder. A finished Run of the same experiment is returned as it is; an unfinished one resumes.
        dataset: The dataset when it is already loaded; else `experiment.dataset` is.
        progress: Called with (stage, epochs done, epochs in all, numbers).

    Returns:
        The finished Run.

    Raises:
        ValueError: The folder belongs to another experiment, or the dataset does not fit the method.
    """
    folder = Path(folder)
    _claim(folder, experiment)
    if (folder / "run.json").exists():
        here(experiment.device).share(None)
        return load_run(folder)
    started = time.time()
    dataset = _opened(experiment, dataset)
    first, second = stages(dataset)
    raw = class_embeddings(dataset, experiment, tuple(dict.fromkeys(first.candidates + second.candidates)))
    chosen, val = _select(experiment, dataset, first, raw, folder, progress)
    model, plain, test = _retrain(experiment, dataset, second, raw, folder, chosen, progress)
    here(experiment.device).share(None)
    _write(experiment, dataset, folder, chosen, {"val": val, "test": test}, model, plain, time.time() - started)
    return load_run(folder)


def follow(experiment: Experiment, *, dataset: Dataset | None = None) -> None:
    """What all processes but the main one do beside its `run`: train along whenever it trains, and write nothing."""
    processes = here(experiment.device)
    dataset = _opened(experiment, dataset)
    while (order := processes.share(None)) is not None:
        stage, classes, options = order
        _fit(experiment, dataset, stage, classes, **options)


def _opened(experiment: Experiment, dataset: Dataset | None) -> Dataset:
    dataset = load_dataset(experiment.dataset) if dataset is None else dataset
    if dataset.features is not None:  # by its sizes alone: nothing is read yet
        check_modalities(
            get_method(experiment.method), Inputs(*dataset.features.dims, {}).modalities, experiment.modality
        )
    return dataset.averaged if reads_averages(experiment) else dataset


def reads_averages(experiment: Experiment) -> bool:
    """Whether its features are averaged once for all epochs; noise must be added to what was not averaged yet."""
    return not get_method(experiment.method).needs.temporal and not experiment.audio_noise


def _tested(dataset: Dataset, experiment: Experiment) -> Dataset:
    """The dataset as the test sees it: with noise on the sound where that is asked for."""
    if not experiment.audio_noise or dataset.features is None:
        return dataset
    return replace(dataset, features=NoisyAudio(dataset.features, experiment.audio_noise))


def _claim(folder: Path, experiment: Experiment) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "experiment.yaml"
    content = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)
    if file.exists() and parse_experiment(yaml.safe_load(file.read_text())) != experiment:
        raise ValueError(f"{folder} holds a Run of another experiment; choose another folder or remove this one.")
    save_text(file, content)


def _build(experiment: Experiment, dataset: Dataset, clips: np.ndarray, classes: Classes) -> Method:
    torch.manual_seed(experiment.seed)
    inputs = Inputs.of(dataset.gather(clips[:1]), classes)
    cls = get_method(experiment.method)
    return build_method(cls, experiment.resolved_config(), inputs, experiment.modality).to(experiment.device)


def _train(
    experiment: Experiment,
    dataset: Dataset,
    stage: Stage,
    classes: Classes,
    folder: Path,
    *,
    judge: Judge | None = None,
    progress: Report | None,
    **options: Any,
) -> tuple[Method, History]:
    """Build and train a method on one stage, in this process and in those that follow it."""

    def tell(done: int, total: int, numbers: dict[str, float]) -> None:
        if progress is not None:
            progress(stage.name, done, total, numbers)

    here(experiment.device).share((stage, classes, options))
    checkpoint = folder / f"{stage.name}.checkpoint"
    return _fit(experiment, dataset, stage, classes, judge=judge, checkpoint=checkpoint, progress=tell, **options)


def _fit(
    experiment: Experiment, dataset: Dataset, stage: Stage, classes: Classes, **options: Any
) -> tuple[Method, History]:
    """The part of it that all processes do: labels refer to the seen classes only."""
    model = _build(experiment, dataset, stage.train, classes)
    check_modalities(model, modalities_of(dataset, stage.train), experiment.modality)  # a width alone is no features
    source = ClipSource(dataset, stage.train, classes.select(stage.seen), _shown(experiment, dataset, stage))
    seed = int(np.random.SeedSequence([experiment.seed, int(stage.name[-1])]).generate_state(1)[0])
    return model, train(model, source, experiment.resolved_recipe(), seed=seed, candidates=classes, **options)


def _shown(experiment: Experiment, dataset: Dataset, stage: Stage) -> str:
    """What a method sees: what is asked for, or the only modality that the training clips have.

    Another one, in a clip to be scored, would pass through layers that nothing trained, and have a say.
    """
    there = modalities_of(dataset, stage.train)
    return there[0] if experiment.modality == "both" and len(there) == 1 else experiment.modality


def _select(
    experiment: Experiment, dataset: Dataset, stage: Stage, raw: Classes, folder: Path, progress: Report | None
) -> tuple[dict[str, Any], _Part]:
    """Stage 1: choose epochs, learning-rate drops, calibration and temperature. Kept in stage1.json for a resume."""
    done, best = folder / "stage1.json", folder / "stage1.safetensors"
    classes, _, outcomes = stage_candidates(experiment, stage, raw)
    source = ClipSource(dataset, stage.judge, classes, _shown(experiment, dataset, stage))
    if not done.exists():
        judge = Judge(source, classes, experiment.resolved_recipe(), best) if len(source) else None
        _, history = _train(experiment, dataset, stage, classes, folder, judge=judge, progress=progress)
        save_json(done, {"chosen": _choice(history, stage, source, classes, best), "history": asdict(history)})
    record = json.loads(done.read_text())
    scores = load_file(best)["scores"] if best.exists() else None
    return record["chosen"], _Part(source, classes, scores, record["history"], outcomes)


def _choice(history: History, stage: Stage, source: ClipSource, classes: Classes, best: Path) -> dict[str, Any]:
    """What the judged clips chose; without judged clips the recipe's epochs, beta 0 and temperature 1."""
    if not history.scores:
        untested: dict[str, Any] = {"beta": 0.0, "view": "both", "temperature": 1.0, "by": [], "score": None}
        return {"epochs": len(history.losses), "drops": []} | untested
    beta = history.betas[history.best]
    return {
        "epochs": history.best + 1,
        "drops": history.drops,
        "beta": beta,
        "view": history.views[history.best],
        "temperature": fit_temperature(load_file(best)["scores"], source.labels, classes.seen, beta),
        "by": list(stage.judged_on),
        "score": history.scores[history.best],
    }


def _retrain(
    experiment: Experiment,
    dataset: Dataset,
    stage: Stage,
    raw: Classes,
    folder: Path,
    chosen: dict[str, Any],
    progress: Report | None,
) -> tuple[Method, Classes, _Part]:
    """Stage 2: train from scratch as chosen and score the test clips once. "oracle" lets the test clips choose."""
    classes, plain, outcomes = stage_candidates(experiment, stage, raw)
    source = ClipSource(_tested(dataset, experiment), stage.judge, classes, _shown(experiment, dataset, stage))
    best = folder / "oracle.safetensors"
    if experiment.select == "oracle" and len(source):
        judge = Judge(source, classes, experiment.resolved_recipe(), best)
        model, history = _train(experiment, dataset, stage, classes, folder, judge=judge, progress=progress)
        weights = {k.removeprefix("weights/"): v for k, v in load_file(best).items() if k.startswith("weights/")}
        model.load_state_dict(weights)
        chosen.update(_choice(history, stage, source, classes, best))
    else:
        planned = {"epochs": chosen["epochs"], "drops": chosen["drops"]}
        model, history = _train(experiment, dataset, stage, classes, folder, progress=progress, **planned)
    scores = score_clips(model, source, classes, chosen["view"]) if len(source) else None
    return model, plain, _Part(source, classes, scores, asdict(history), outcomes)


def _write(
    experiment: Experiment,
    dataset: Dataset,
    folder: Path,
    chosen: dict[str, Any],
    parts: dict[str, _Part],
    model: Method,
    raw: Classes,
    seconds: float,
) -> None:
    """Write the Run; `run.json` comes last and marks it as finished."""
    classes = parts["test"].classes
    save_tensors(folder / "weights.safetensors", model.state_dict())
    text = {f"text/{k}": v for k, v in classes.text.items()} | {f"raw/{k}": v for k, v in raw.text.items()}
    save_tensors(folder / "classes.safetensors", text | {"seen": classes.seen})
    scored = {name: part for name, part in parts.items() if part.scores is not None}
    save_tensors(
        folder / "scores.safetensors", {k: v for n, part in scored.items() for k, v in part.tensors(n).items()}
    )
    test = parts["test"]
    save_tensors(folder / "familiar.safetensors", usual_of(dataset, stages(dataset)[1].train, test.source.modality))
    metrics: dict[str, Any] = {}
    if test.scores is not None:
        metrics = gzsl_metrics(test.scores, test.source.labels, classes.seen, chosen["beta"])
        save_tensors(folder / "embeddings.safetensors", embed_clips(model, test.source, classes, chosen["view"]))
    save_json(folder / "metrics.json", metrics)
    save_json(folder / "history.json", {"stage1": parts["val"].history, "stage2": test.history})
    info = {
        "format": FORMAT,
        "chosen": chosen | {"grid": experiment.resolved_recipe().beta_grid, "select": experiment.select},
        "inputs": asdict(model.inputs),
        "shown": test.source.modality,
        "classes": list(classes.names),
        "encoders": list(classes.text),
        "resolved": describe(experiment),
        "features": {} if dataset.features is None else dict(dataset.features.spec),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint(), "warnings": list(dataset.warnings())}
        | {"folds": {fold: len(rows) for fold, rows in dataset.folds.items()}, "phrases": dict(dataset.phrases)},
        "scored": {name: part.about(dataset) for name, part in scored.items()},
        "optimise": {name: part.outcomes for name, part in parts.items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "processes": here(experiment.device).count,
        "versions": versions(),
    }
    save_text(folder / "README.md", model_card(experiment, info, metrics, n_seen=int(classes.seen.sum())))
    save_json(folder / "run.json", info)
    for leftover in (*folder.glob("*.checkpoint"), folder / "oracle.safetensors", folder / "stage1.safetensors"):
        leftover.unlink(missing_ok=True)
