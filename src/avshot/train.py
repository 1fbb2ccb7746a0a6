"""The one training loop: balanced batches, Adam, a schedule, an optional judge after each epoch, exact resume.

Every random draw of epoch e comes from a generator seeded with (seed, e), so a training killed in epoch e and resumed
from the checkpoint of epoch e - 1 ends in the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avshot.checkpoint import History, load_state, save_state
from avshot.data.ahead import one_ahead, pays
from avshot.data.dataset import Dataset
from avshot.data.sampling import BalancedSampler
from avshot.finite import why_not_finite
from avshot.method import Method, Phase, Recipe
from avshot.players import Players
from avshot.processes import here, refuse
from avshot.types import MODALITIES, Batch, Classes, Features

PLATEAU_PATIENCE = 3  # AVCA, TCaF and ClipClap code
_LOOK = 32  # clips read at a time to see which modalities there are


class ClipSource:
    """Clips of a dataset as batches of one stage: features, labels among `classes`, and the chosen modality.

    Args:
        dataset: Where the features come from.
        clips: `[clip]` indices into the dataset's clips; all their labels must be in `classes`.
        classes: The classes that labels refer to.
        modality: "both", "audio" or "visual": what the method gets to see.
    """

    def __init__(self, dataset: Dataset, clips: np.ndarray, classes: Classes, modality: str = "both") -> None:
        self.dataset, self.clips, self.classes, self.modality = dataset, clips, classes, modality
        names = [dataset.names[i] for i in dataset.labels(clips).tolist()]
        self.labels = torch.tensor([classes.index(name) for name in names], dtype=torch.long)

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def waits(self) -> str:
        """What gathering waits for (see `avshot.data.ahead.pays`)."""
        return str(getattr(self.dataset.features, "waits", ""))

    def features(self, positions: Tensor | slice) -> Features:
        """Features of the clips at `positions` (not of the whole dataset)."""
        index = positions.numpy() if isinstance(positions, Tensor) else positions
        return self.dataset.gather(self.clips[index]).only(self.modality)

    def parts(self, size: int = 256) -> Iterator[tuple[list[str], Features]]:
        """All clips in order, `size` at a time: their ids, and their features with the chosen modality."""
        for i in range(0, len(self), size):
            ids = [self.dataset.clips[clip].id for clip in self.clips[i : i + size].tolist()]
            yield ids, self.features(slice(i, i + size))

    def batch(self, positions: Tensor) -> Batch:
        """The clips at `positions` as a batch without negatives."""
        return Batch(self.features(positions), self.labels[positions], self.classes)

    def once(self, device: torch.device, size: int = 256) -> Passes:
        """All clips in order, as batches on `device`; can be passed through several times."""
        return Passes(self, device, size)


def modalities_of(dataset: Dataset, clips: np.ndarray) -> tuple[str, ...]:
    """Those of "audio" and "visual" that any of the clips (indices `[clip]` into the dataset's) has.

    Reads clips until both are found: where all is well, one small batch.
    """
    found: set[str] = set()
    for i in range(0, len(clips), _LOOK):
        part = dataset.gather(clips[i : i + _LOOK])
        found |= {name for name in MODALITIES if bool(getattr(part, f"has_{name}").any())}
        if len(found) == len(MODALITIES):
            break
    return tuple(name for name in MODALITIES if name in found)


class Passes:
    """All clips of a source in order, as batches without negatives: what `Method.adapt` learns from."""

    def __init__(self, source: ClipSource, device: torch.device, size: int) -> None:
        self.source, self.device, self.size = source, device, size

    def __iter__(self) -> Iterator[Batch]:
        for i in range(0, len(self.source), self.size):
            yield self.source.batch(torch.arange(i, min(i + self.size, len(self.source)))).to(self.device)


@dataclass(frozen=True)
class Judgement:
    """What a judge says after an epoch: a score to maximise, and the calibration and view that go with it."""

    score: float
    beta: float
    view: str = "both"


Judge = Callable[[Method], Judgement]
Progress = Callable[[int, int, dict[str, float]], None]


def train(
    method: Method,
    source: ClipSource,
    recipe: Recipe,
    *,
    seed: int,
    epochs: int | None = None,
    judge: Judge | None = None,
    candidates: Classes | None = None,
    drops: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> History:
    """Train `method` in place, in this process or as one of several that call this alike (`avshot.processes`).

    Args:
        method: On the device to train on.
        source: Training clips.
        recipe: Optimiser, batch and schedule settings.
        seed: Decides every draw.
        epochs: How many to run; None runs `recipe.epochs`. Schedules always span `recipe.epochs`, so fewer epochs are
            a prefix of the full training.
        judge: Called in eval mode after each epoch.
        candidates: Classes that the method is to be judged on; it adapts to them before the judge sees it and at the
            end. None = it is not judged on any. Of several processes, the main one alone judges and adapts.
        drops: Epochs after which to cut the learning rate (stage 2 replays those of stage 1). None lets the plateau
            rule decide from the judge.
        checkpoint: File to resume from and to write after each epoch.
        progress: Called after each epoch with (epochs done, epochs in all, last numbers).

    Returns:
        The history, including epochs run before a resume.

    Raises:
        ValueError: A loss or weight became NaN or infinite (the message names the clip or class whose input is at
            fault, if any is), the checkpoint is of another training, or several processes cannot train this method.
    """
    total = recipe.epochs if epochs is None else epochs
    phases, processes = method.phases(), here(method.device)
    refuse(method, recipe.batch_size, processes.count)
    total = total if phases else 1  # what learns nothing by gradient is ready after one look
    classes = source.classes.to(method.device)
    history, players, phase = History(), Players(method, None, recipe, processes), None
    kept = processes.main and checkpoint is not None and checkpoint.exists()
    state = processes.share(load_state(checkpoint, seed, recipe) if kept and checkpoint is not None else None)
    if state is not None:
        history = state.history
        method.load_state_dict(state.weights)
    processes.align(method)
    for epoch in range(len(history.losses), total):
        if phase is None or phase != _phase_of(phases, epoch, recipe.epochs):
            phase = _phase_of(phases, epoch, recipe.epochs)
            players = Players(method, phase, recipe, processes)
            if state is not None and phase == _phase_of(phases, epoch - 1, recipe.epochs):
                players.restore(state.optimiser)
        state = None
        seeded = _seed_epoch(seed, epoch, processes.index)
        sums: dict[str, float] = {}
        if phases:
            sums = _epoch(players, source, classes, seeded, epoch, drops if drops is not None else history.drops)
        history.losses.append(sums)
        method.eval()
        processes.align(method)
        _check_weights(method, source, classes)
        if processes.main and candidates is not None and (judge is not None or epoch + 1 == total):
            _adapt(method, source, candidates.to(method.device))
        judgement = processes.share(_judged(method, judge) if processes.main and judge is not None else None)
        if judgement is not None:
            _note(judgement, history, recipe, epoch)
        if processes.main and checkpoint is not None:
            save_state(checkpoint, method, players.state(), history, seed, recipe)
        if progress is not None:
            progress(epoch + 1, total, sums | ({"score": history.scores[-1]} if history.scores else {}))
    method.eval()
    return history


def _epoch(
    players: Players, source: ClipSource, classes: Classes, seeded: torch.Generator, epoch: int, drops: Sequence[int]
) -> dict[str, float]:
    """All steps of one epoch; the mean of each loss term. Raises ValueError when one is not finite."""
    method, recipe, sampler = players.method, players.recipe, BalancedSampler(source.labels)
    part = players.processes.part(recipe.batch_size)
    method.train()
    sums: dict[str, float] = {}
    batches = recipe.batches(len(source))
    count, negatives = recipe.batch_size, method.needs.negatives
    drawn = (_draw(source, sampler, count, seeded, negatives, part) for _ in range(batches))
    with one_ahead(drawn, pays(source.waits, method.device)) as ready:
        for step, batch in enumerate(ready):
            batch = Batch(batch.features, batch.labels, classes, batch.negative).to(method.device)
            players.set_rate(epoch + (step + 1) / batches, drops)
            for name, value in players.step(batch, epoch * batches + step).items():
                sums[name] = sums.get(name, 0.0) + value / batches
    wrong = ", ".join(f"{name} is {value}" for name, value in sums.items() if not math.isfinite(value))
    if wrong:
        raise ValueError(_blamed(f"Epoch {epoch + 1}: the loss is not finite ({wrong})", method, source, classes))
    return sums


def _adapt(method: Method, source: ClipSource, candidates: Classes) -> None:
    """`Method.adapt`. Raises ValueError where it has no solution, or one that is not finite."""
    try:
        method.adapt(source.once(method.device), candidates)
    except torch.linalg.LinAlgError as error:
        cause = str(error).partition("\n")[0].rstrip(".")
        what = f"{method.name} has no solution that is finite ({cause})"
        raise ValueError(_blamed(what, method, source, candidates)) from error
    if method.adapts():
        _check_weights(method, source, candidates)


def _check_weights(method: Method, source: ClipSource, classes: Classes) -> None:
    """Raise ValueError where a weight or buffer is not finite: such a method would be kept, and answer NaN."""
    for name, value in method.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(_blamed(f"What {method.name} learnt is not finite ({name})", method, source, classes))


def _blamed(what: str, method: Method, source: ClipSource, classes: Classes) -> str:
    cure = "lower the learning rate (recipe.lr) or clip gradients (recipe.clip_norm)"
    return why_not_finite(what, classes, source.parts(), cure if method.phases() else "change its settings")


def _seed_epoch(seed: int, epoch: int, process: int) -> torch.Generator:
    """Seed torch's global generator (dropout draws from it) and return one for the sampler, alike in all processes."""
    mixed = _mixed(seed, epoch)
    torch.manual_seed(_mixed(seed, epoch, process) if process else mixed)
    return torch.Generator().manual_seed(mixed ^ 0x5DEECE66D)


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _draw(
    source: ClipSource,
    sampler: BalancedSampler,
    count: int,
    generator: torch.Generator,
    negatives: bool,
    part: slice,
) -> Batch:
    """Draw `count` clips and gather `part` of them: what is drawn does not depend on how many processes share it."""
    positions = sampler.draw(count, generator)
    others = sampler.negatives(source.labels[positions], generator) if negatives else None
    batch = source.batch(positions[part])
    return batch if others is None else replace(batch, negative=source.batch(others[part]))


@torch.inference_mode()
def _judged(method: Method, judge: Judge) -> Judgement:
    method.eval()
    return judge(method)


def _note(judgement: Judgement, history: History, recipe: Recipe, epoch: int) -> None:
    history.scores.append(judgement.score)
    history.betas.append(judgement.beta)
    history.views.append(judgement.view)
    if recipe.schedule != "plateau":
        return
    since = max([history.best, *history.drops])
    if epoch - since > PLATEAU_PATIENCE:
        history.drops.append(epoch)


def _phase_of(phases: Sequence[Phase], epoch: int, epochs: int) -> Phase | None:
    passed = 0.0
    for phase in phases:
        passed += phase.share
        if epoch < round(passed * epochs):
            return phase
    return phases[-1] if phases else None
