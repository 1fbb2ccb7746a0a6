"""The honest protocol: stage 1 selects, stage 2 retrains from scratch, the test clips are scored once.

`run(experiment, folder)` is the whole story, top to bottom; what the stages are, and what counts as good, the task
says. A killed run resumes where it was.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avshot.classes.candidates import candidates_of_stage
from avshot.data.dataset import Dataset
from avshot.data.load import load_dataset
from avshot.data.noise import NoisyAudio
from avshot.experiment import Experiment, Parts, resolve
from avshot.files.atomic import load_tensors
from avshot.files.lock import sole_writer
from avshot.method import Method
from avshot.metrics.temperature import fit_temperature
from avshot.prediction.novelty import usual_of
from avshot.run import Run, load_run
from avshot.runs.claim import claim, finish, release
from avshot.runs.key import key_of
from avshot.runs.knowledge import measured
from avshot.runs.resume import check_stage, keep_choice, kept_choice
from avshot.runs.write import Part, Trained, write_run
from avshot.task import Stage
from avshot.terminal.callbacks import Progress, Say, unsaid, unshown
from avshot.training.checkpoint import History
from avshot.training.clips import ClipSource, clips_of_each
from avshot.training.distributed import current
from avshot.training.fitting import as_read, embedded, fit, shown
from avshot.training.scoring import Judged, score_clips
from avshot.training.selection import Judge, last_file, weights_in
from avshot.types import Classes


def run(
    experiment: Experiment,
    folder: str | Path,
    *,
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Run:
    """Train and test one method with one seed, and write everything to `folder`. Also `avshot.run_experiment`.

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
            fit the method or the task.
    """
    folder, tell, parts = Path(folder), say or unsaid, resolve(experiment)
    dataset = load_dataset(experiment.dataset) if dataset is None else dataset
    raw = embedded(parts, dataset)
    key = key_of(experiment, dataset, raw)
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder, waiting=lambda: tell(f"another command trains in {folder}; waiting for it.")):
        if claim(folder, experiment, key, raw, tell):
            current(parts.device).share(None)
            return load_run(folder)
        try:
            started = time.time()
            training = _Training(parts, as_read(parts, dataset), raw, folder, progress or unshown, tell)
            trained = training.select_and_test()
            write_run(folder, experiment, parts, training.dataset, trained, key, time.time() - started)
        except BaseException:
            release(folder)
            raise
        finish(folder)
        return load_run(folder)


def follow(experiment: Experiment, *, dataset: Dataset | None = None) -> None:
    """What all processes but the main one do beside its `run`: train along whenever it trains, and write nothing."""
    parts = resolve(experiment)
    dataset = as_read(parts, load_dataset(experiment.dataset) if dataset is None else dataset)
    while (order := current(parts.device).share(None)) is not None:
        stage, classes, options = order
        fit(parts, dataset, stage, classes, **options)


@dataclass(frozen=True)
class _Training:
    """One training in its folder: what is asked, of which data.

    Attributes:
        parts: What is asked.
        dataset: As the method reads it.
        raw: All candidate classes, before any optimisation.
        folder: Where it is written.
        progress: Called after each epoch.
        say: Told sentences.
    """

    parts: Parts
    dataset: Dataset
    raw: Classes
    folder: Path
    progress: Progress
    say: Say

    def select_and_test(self) -> Trained:
        """Select on the first stage, then train and test each of the others as it chose."""
        first, *others = self.parts.task.stages(self.dataset)
        chosen, val = self._select(first)
        tested = [self._retrain(stage, chosen) for stage in others]
        current(self.parts.device).share(None)
        model, plain, _ = tested[0]
        names = ["test", *(f"test{i}" for i in range(2, len(tested) + 1))]
        results = {name: part for name, (_, _, part) in zip(names, tested, strict=True)}
        usual = usual_of(self.dataset, others[0].train, results["test"].judged.source.modality)
        knows = self._knows(model, chosen, [(first, val), (others[0], results["test"])])
        return Trained(model, plain, usual, chosen, knows, {"val": val} | results, others[0].few)

    def _knows(self, model: Method, chosen: dict[str, Any], stages: list[tuple[Stage, Part]]) -> dict[str, Any]:
        """What the Run knows about itself: judged on the first of the stages with clips, trained on the last."""
        held = [(stage.judged_on, part.judged.scored(part.scores)) for stage, part in stages if part.scores is not None]
        on, scored = held[0] if held else ((), None)
        learns = bool(model.phases()) or model.adapts()
        settings = chosen["settings"]
        return measured(
            self.parts.task, self.dataset, stages[-1][0], scored=scored, settings=settings, on=on, learns=learns
        )

    def _select(self, stage: Stage) -> tuple[dict[str, Any], Part]:
        """Stage 1: choose epochs, learning-rate drops, settings and temperature. Kept in stage1.json for a resume."""
        best = self.folder / "stage1.safetensors"
        judged, _, outcomes = self._judged(stage, self.dataset)
        record = kept_choice(self.folder, best, self.say)
        if record is None:
            check_stage(self.folder / "stage1.checkpoint", best if len(judged) else None, self.say)
            _, history = self._fit(stage, judged.classes, judge=self._judge(judged, best))
            record = {"chosen": self._choice(history, stage, judged, best), "history": asdict(history)}
            keep_choice(self.folder, record["chosen"], record["history"], best)
        scores = (
            load_tensors(last_file(best, record["history"].get("starts", ())))[0]["scores"] if len(judged) else None
        )
        return record["chosen"], Part(stage.name, judged, scores, record["history"], outcomes)

    def _retrain(self, stage: Stage, chosen: dict[str, Any]) -> tuple[Method, Classes, Part]:
        """Train from scratch as chosen and score the test clips once. An oracle lets the test clips choose."""
        judged, plain, outcomes = self._judged(stage, self._noisy())
        name = "oracle" if stage.name == "stage2" else f"{stage.name}-oracle"
        best, by_test = self.folder / f"{name}.safetensors", self.parts.oracle and len(judged) > 0
        check_stage(self.folder / f"{stage.name}.checkpoint", best if by_test else None, self.say)
        if by_test:
            model, history = self._fit(stage, judged.classes, judge=self._judge(judged, best))
            model.load_state_dict(weights_in(last_file(best, history.starts)))
            chosen.update(self._choice(history, stage, judged, best))
        else:
            epochs = chosen.get("parts") or chosen["epochs"]
            model, history = self._fit(stage, judged.classes, epochs=epochs, drops=chosen["drops"])
        scores = score_clips(model, judged, chosen["settings"]["view"]) if len(judged) else None
        return model, plain, Part(stage.name, judged, scores, asdict(history), outcomes)

    def _judged(self, stage: Stage, dataset: Dataset) -> tuple[Judged, Classes, dict[str, Any]]:
        """The clips of a stage to score, its candidates before optimisation, and what optimisation did."""
        used, plain, outcomes = candidates_of_stage(self.raw, stage.candidates, stage.seen, self.parts.optimise)
        source = ClipSource(dataset, stage.judge, used, shown(self.parts, self.dataset, stage))
        return Judged(source, used, stage.trials, clips_of_each(dataset, stage.train, used)), plain, outcomes

    def _judge(self, judged: Judged, best: Path) -> Judge | None:
        return Judge(judged, self.parts.task, self.parts.selection, best) if len(judged) else None

    def _fit(
        self, stage: Stage, classes: Classes, *, judge: Judge | None = None, **options: Any
    ) -> tuple[Method, History]:
        """Train on one stage, in this process and in those that follow it."""
        current(self.parts.device).share((stage, classes, options))
        options |= {
            "checkpoint": self.folder / f"{stage.name}.checkpoint",
            "progress": partial(self.progress, stage.name),
        }
        return fit(self.parts, self.dataset, stage, classes, judge=judge, **options)

    def _choice(self, history: History, stage: Stage, judged: Judged, best: Path) -> dict[str, Any]:
        """What the judged clips chose; without any the recipe's epochs, neutral settings and temperature 1."""
        task, parts = self.parts.task, history.parts if history.starts else []
        if not history.scores:
            untested: dict[str, Any] = {"settings": dict(task.neutral), "temperature": 1.0, "by": [], "score": None}
            return {"epochs": len(history.losses), "parts": parts, "drops": []} | untested
        settings, scores = history.settings[history.best], load_tensors(last_file(best, history.starts))[0]["scores"]
        ranked = task.apply(scores.double(), judged.classes.seen, settings)
        return {
            "epochs": sum(history.parts),
            "parts": parts,
            "drops": history.drops,
            "settings": settings,
            "temperature": fit_temperature(ranked, judged.source.labels),
            "by": list(stage.judged_on),
            "score": history.scores[history.best],
        }

    def _noisy(self) -> Dataset:
        """The dataset as the test sees it: with noise on the sound where that is asked for."""
        if not self.parts.audio_noise or self.dataset.features is None:
            return self.dataset
        return replace(self.dataset, features=NoisyAudio(self.dataset.features, self.parts.audio_noise))
