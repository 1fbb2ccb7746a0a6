"""The one training loop: balanced batches, Adam, a schedule, an optional judge after each epoch, exact resume.

Every random draw of epoch e comes from a generator seeded with (seed, e), so a training killed in epoch e and resumed
from the checkpoint of epoch e - 1 ends in the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.sampling import BalancedSampler
from avshot.method import Method, Phase, Recipe
from avshot.players import Players
from avshot.types import Batch, Classes, Features

PLATEAU_PATIENCE = 3  # AVCA, TCaF and ClipClap code


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

    def features(self, positions: Tensor | slice) -> Features:
        """Features of the clips at `positions` (not of the whole dataset)."""
        index = positions.numpy() if isinstance(positions, Tensor) else positions
        return self.dataset.gather(self.clips[index]).only(self.modality)

    def batch(self, positions: Tensor) -> Batch:
        """The clips at `positions` as a batch without negatives."""
        return Batch(self.features(positions), self.labels[positions], self.classes)

    def once(self, device: torch.device, size: int = 256) -> Passes:
        """All clips in order, as batches on `device`; can be passed through several times."""
        return Passes(self, device, size)


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


@dataclass
class History:
    """What happened in a training.

    Attributes:
        losses: Per epoch, the mean of each loss term.
        scores: Per epoch, the judge's score (empty without a judge).
        betas: Per epoch, the judge's calibration.
        views: Per epoch, the modalities the judge trusts (see `Recipe.views`).
        drops: Epochs after which the learning rate was cut.
        best: Epoch with the best score (the first on ties), 0-based; the last epoch without a judge.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Epoch with the best score, or the last one without scores."""
        return int(np.argmax(self.scores)) if self.scores else len(self.losses) - 1


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
    """Train `method` in place.

    Args:
        method: On the device to train on.
        source: Training clips.
        recipe: Optimiser, batch and schedule settings.
        seed: Decides every draw.
        epochs: How many to run; None runs `recipe.epochs`. Schedules always span `recipe.epochs`, so fewer epochs are
            a prefix of the full training.
        judge: Called in eval mode after each epoch.
        candidates: Classes that the method is to be judged on; it adapts to them before the judge sees it and at the
            end. None = it is not judged on any.
        drops: Epochs after which to cut the learning rate (stage 2 replays those of stage 1). None lets the plateau
            rule decide from the judge.
        checkpoint: File to resume from and to write after each epoch.
        progress: Called after each epoch with (epochs done, epochs in all, last numbers).

    Returns:
        The history, including epochs run before a resume.

    Raises:
        ValueError: The loss became NaN or infinite, or the checkpoint is of another training.
    """
    total = recipe.epochs if epochs is None else epochs
    phases = method.phases()
    total = total if phases else 1  # what learns nothing by gradient is ready after one look
    classes = source.classes.to(method.device)
    history, players, phase = History(), Players(method, None, recipe), None
    state = _load(checkpoint, seed, recipe) if checkpoint is not None and checkpoint.exists() else None
    if state is not None:
        history = state.history
        method.load_state_dict(state.weights)
    for epoch in range(len(history.losses), total):
        if phase is None or phase != _phase_of(phases, epoch, recipe.epochs):
            phase = _phase_of(phases, epoch, recipe.epochs)
            players = Players(method, phase, recipe)
            if state is not None and phase == _phase_of(phases, epoch - 1, recipe.epochs):
                players.restore(state.optimiser)
        state = None
        seeded = _seed_epoch(seed, epoch)
        sums: dict[str, float] = {}
        if phases:
            sums = _epoch(players, source, classes, seeded, epoch, drops if drops is not None else history.drops)
        history.losses.append(sums)
        method.eval()
        if candidates is not None and (judge is not None or epoch + 1 == total):
            method.adapt(source.once(method.device), candidates.to(method.device))
        if judge is not None:
            _judge(method, judge, history, recipe, epoch)
        if checkpoint is not None:
            _save(checkpoint, method, players, history, seed, recipe)
        if progress is not None:
            progress(epoch + 1, total, sums | ({"score": history.scores[-1]} if history.scores else {}))
    method.eval()
    return history


def _epoch(
    players: Players, source: ClipSource, classes: Classes, seeded: torch.Generator, epoch: int, drops: Sequence[int]
) -> dict[str, float]:
    """All steps of one epoch; the mean of each loss term. Raises ValueError when one is not finite."""
    method, recipe, sampler = players.method, players.recipe, BalancedSampler(source.labels)
    method.train()
    sums: dict[str, float] = {}
    batches = recipe.batches(len(source))
    for step in range(batches):
        batch = _draw(source, sampler, recipe.batch_size, seeded, method.needs.negatives)
        batch = Batch(batch.features, batch.labels, classes, batch.negative).to(method.device)
        players.set_rate(epoch + (step + 1) / batches, drops)
        for name, value in players.step(batch, epoch * batches + step).items():
            sums[name] = sums.get(name, 0.0) + value / batches
    if not all(math.isfinite(v) for v in sums.values()):
        raise ValueError(f"Epoch {epoch + 1}: the loss is not finite ({sums}). Lower the learning rate or clip.")
    return sums


def _seed_epoch(seed: int, epoch: int) -> torch.Generator:
    """Seed torch's global generator (dropout draws from it) and return one for the sampler."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(mixed)
    return torch.Generator().manual_seed(mixed ^ 0x5DEECE66D)


def _draw(
    source: ClipSource, sampler: BalancedSampler, count: int, generator: torch.Generator, negatives: bool
) -> Batch:
    batch = source.batch(sampler.draw(count, generator))
    if not negatives:
        return batch
    return Batch(batch.features, batch.labels, batch.classes, source.batch(sampler.negatives(batch.labels, generator)))


def _judge(method: Method, judge: Judge, history: History, recipe: Recipe, epoch: int) -> None:
    method.eval()
    with torch.inference_mode():
        judgement = judge(method)
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


# --- checkpoint: one safetensors file with weights, Adam's state and the history ------------------------------------


@dataclass(frozen=True)
class _State:
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    history: History


def _save(path: Path, method: Method, players: Players, history: History, seed: int, recipe: Recipe) -> None:
    tensors = {f"weights/{k}": v.detach().cpu().contiguous().clone() for k, v in method.state_dict().items()}
    tensors |= {f"optimiser/{key}": value for key, value in players.state().items()}
    meta = {"history": asdict(history), "seed": seed, "recipe": asdict(recipe)}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"avshot": json.dumps(meta)})
    os.replace(partial, path)


def _load(path: Path, seed: int, recipe: Recipe) -> _State:
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["avshot"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    if meta["seed"] != seed or meta["recipe"] != json.loads(json.dumps(asdict(recipe))):
        raise ValueError(f"{path} belongs to a training with another seed or recipe; remove it to start afresh.")

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    return _State(part("weights/"), part("optimiser/"), History(**meta["history"]))
