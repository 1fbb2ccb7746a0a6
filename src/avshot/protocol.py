"""The honest protocol: stage 1 selects, stage 2 retrains from scratch, the test clips are scored once.

`run(experiment, folder)` is the whole story, top to bottom. A killed run resumes where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avshot.classes.candidates import class_embeddings, stage_candidates
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.noise import NoisyAudio
from avshot.experiment import Experiment
from avshot.files.atomic import load_tensors
from avshot.files.lock import sole_writer
from avshot.method import Inputs, Method, build_method, check_modalities
from avshot.metrics.temperature import fit_temperature
from avshot.registry import get_method
from avshot.run import Run, load_run
from avshot.runs.claim import claim, finish, release
from avshot.runs.key import Key, key_of
from avshot.runs.resume import check_stage, keep_choice, kept_choice
from avshot.runs.write import Part, write_run
from avshot.task import Stage
from avshot.tasks.gzsl import stages
from avshot.training.checkpoint import History
from avshot.training.clips import ClipSource, modalities_of
from avshot.training.distributed import here
from avshot.training.loop import train
from avshot.training.scoring import score_clips
from avshot.training.selection import Judge
from avshot.types import Classes

Report = Callable[[str, int, int, dict[str, float]], None]
Say = Callable[[str], None]


def run(
    experiment: Experiment,
    folder: str | Path,
    *,
    dataset: Dataset | None = None,
    progress: Report | None = None,
    say: Say | None = None,
) -> Run:
    """Train and test one method with one seed, and write everything to `folder`.

    Of several commands that train into one folder the first works, and the others wait and return its Run.

    Args:
        experiment: What to do.
        folder: The Run folder. A finished Run of the same experiment on the same data is returned as it is; an
            unfinished one resumes.
        dataset: The dataset when it is already loaded; else `experiment.dataset` is.
        progress: Called with (stage, epochs done, epochs in all, numbers).
        say: Called with sentences: that the Run was there already, who is waited for, which file was damaged.

    Returns:
        The finished Run.

    Raises:
        ValueError: The folder holds a Run of something else (the message says what differs), or the dataset does not
            fit the method.
    """
    folder, tell = Path(folder), say or _unsaid
    dataset = load_dataset(experiment.dataset) if dataset is None else dataset
    raw = class_embeddings(dataset, experiment, candidates_of(dataset))
    key = key_of(experiment, dataset, raw)
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder, waiting=lambda: tell(f"another command trains in {folder}; waiting for it.")):
        if claim(folder, experiment, key, raw, tell):
            here(experiment.device).share(None)
            return load_run(folder)
        try:
            _train_and_test(experiment, folder, _opened(experiment, dataset), raw, key, progress, tell)
        except BaseException:
            release(folder)
            raise
        finish(folder)
        return load_run(folder)


def _unsaid(text: str) -> None:
    """For a caller who does not listen: nothing that is said changes a number."""


def candidates_of(dataset: Dataset) -> tuple[str, ...]:
    """The classes that either stage may choose from."""
    first, second = stages(dataset)
    return tuple(dict.fromkeys(first.candidates + second.candidates))


def _train_and_test(
    experiment: Experiment,
    folder: Path,
    dataset: Dataset,
    raw: Classes,
    key: Key,
    progress: Report | None,
    say: Say,
) -> None:
    started, (first, second) = time.time(), stages(dataset)
    chosen, val = _select(experiment, dataset, first, raw, folder, progress, say)
    model, plain, test = _retrain(experiment, dataset, second, raw, folder, chosen, progress, say)
    here(experiment.device).share(None)
    parts = {"val": val, "test": test}
    write_run(experiment, dataset, folder, chosen, parts, model, plain, key, time.time() - started)


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
    experiment: Experiment,
    dataset: Dataset,
    stage: Stage,
    raw: Classes,
    folder: Path,
    progress: Report | None,
    say: Say,
) -> tuple[dict[str, Any], Part]:
    """Stage 1: choose epochs, learning-rate drops, calibration and temperature. Kept in stage1.json for a resume."""
    best = folder / "stage1.safetensors"
    classes, _, outcomes = stage_candidates(experiment, stage, raw)
    source = ClipSource(dataset, stage.judge, classes, _shown(experiment, dataset, stage))
    record = kept_choice(folder, best, say)
    if record is None:
        check_stage(folder / "stage1.checkpoint", best if len(source) else None, say)
        judge = Judge(source, classes, experiment.resolved_recipe(), best) if len(source) else None
        _, history = _train(experiment, dataset, stage, classes, folder, judge=judge, progress=progress)
        record = {"chosen": _choice(history, stage, source, classes, best), "history": asdict(history)}
        keep_choice(folder, record["chosen"], record["history"], best)
    scores = load_tensors(best)[0]["scores"] if len(source) else None
    return record["chosen"], Part(source, classes, scores, record["history"], outcomes)


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
        "temperature": fit_temperature(load_tensors(best)[0]["scores"], source.labels, classes.seen, beta),
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
    say: Say,
) -> tuple[Method, Classes, Part]:
    """Stage 2: train from scratch as chosen and score the test clips once. "oracle" lets the test clips choose."""
    classes, plain, outcomes = stage_candidates(experiment, stage, raw)
    source = ClipSource(_tested(dataset, experiment), stage.judge, classes, _shown(experiment, dataset, stage))
    best, by_test = folder / "oracle.safetensors", experiment.select == "oracle" and len(source) > 0
    check_stage(folder / "stage2.checkpoint", best if by_test else None, say)
    if by_test:
        judge = Judge(source, classes, experiment.resolved_recipe(), best)
        model, history = _train(experiment, dataset, stage, classes, folder, judge=judge, progress=progress)
        weights = {k.removeprefix("weights/"): v for k, v in load_tensors(best)[0].items() if k.startswith("weights/")}
        model.load_state_dict(weights)
        chosen.update(_choice(history, stage, source, classes, best))
    else:
        planned = {"epochs": chosen["epochs"], "drops": chosen["drops"]}
        model, history = _train(experiment, dataset, stage, classes, folder, progress=progress, **planned)
    scores = score_clips(model, source, classes, chosen["view"]) if len(source) else None
    return model, plain, Part(source, classes, scores, asdict(history), outcomes)
