"""The one training loop: balanced batches, Adam, a schedule, an optional judge after each epoch, exact resume.

Every random draw of epoch e comes from a generator seeded with (seed, e), so a training killed in epoch e and resumed
from the checkpoint of epoch e - 1 ends in the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
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
from avshot.types import Batch, Classes, Features

PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.1  # AVCA, TCaF and ClipClap code
WARM_UP = 0.05  # share of all steps, for the cosine schedule


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
    device = next(method.parameters()).device
    sampler, classes = BalancedSampler(source.labels), source.classes.to(device)
    batches = recipe.batches(len(source))
    history, optimiser, phase = History(), None, None
    state = _load(checkpoint, seed, recipe) if checkpoint is not None and checkpoint.exists() else None
    if state is not None:
        history = state.history
        method.load_state_dict(state.weights)
    for epoch in range(len(history.losses), total):
        if phase != _phase_of(method, epoch, recipe.epochs):
            phase = _phase_of(method, epoch, recipe.epochs)
            optimiser = _optimiser(method, phase, recipe)
            if state is not None and phase == _phase_of(method, epoch - 1, recipe.epochs):
                _restore_optimiser(optimiser, state.optimiser, device)
        assert optimiser is not None
        state = None
        seeded = _seed_epoch(seed, epoch)
        method.train()
        sums: dict[str, float] = {}
        for step in range(batches):
            batch = _draw(source, sampler, recipe.batch_size, seeded, method.needs.negatives)
            batch = Batch(batch.features, batch.labels, classes, batch.negative).to(device)
            _set_rate(optimiser, recipe, epoch + (step + 1) / batches, drops if drops is not None else history.drops)
            terms = _step(method, batch, optimiser, recipe.clip_norm)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value / batches
        if not all(math.isfinite(v) for v in sums.values()):
            raise ValueError(f"Epoch {epoch + 1}: the loss is not finite ({sums}). Lower the learning rate or clip.")
        history.losses.append(sums)
        if judge is not None:
            _judge(method, judge, history, recipe, epoch)
        if checkpoint is not None:
            _save(checkpoint, method, optimiser, history, seed, recipe)
        if progress is not None:
            progress(epoch + 1, total, sums | ({"score": history.scores[-1]} if history.scores else {}))
    method.eval()
    return history


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


def _step(method: Method, batch: Batch, optimiser: torch.optim.Optimizer, clip_norm: float | None) -> dict[str, float]:
    terms = method.loss(batch)
    loss = torch.stack(list(terms.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(method.parameters(), clip_norm)
    optimiser.step()
    return {name: float(value.detach()) for name, value in terms.items()}


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


def _phase_of(method: Method, epoch: int, epochs: int) -> Phase:
    phases, passed = method.phases(), 0.0
    for phase in phases:
        passed += phase.share
        if epoch < round(passed * epochs):
            return phase
    return phases[-1]


def _optimiser(method: Method, phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    chosen = []
    for name, parameter in method.named_parameters():
        trains = not phase.parameters or name.startswith(phase.parameters)
        parameter.requires_grad_(trains and not name.startswith(method.frozen))
        if parameter.requires_grad:
            chosen.append(parameter)
    return torch.optim.Adam(chosen, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay)


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, passed: float, drops: Sequence[int]) -> None:
    """Learning rate of the step that ends at `passed` epochs, a fraction counted from the start of training."""
    rate = recipe.lr * PLATEAU_FACTOR ** sum(1 for drop in drops if drop + 1 < passed)
    if recipe.schedule == "cosine":
        done = passed / recipe.epochs
        rate *= min(1.0, done / WARM_UP) * 0.5 * (1 + math.cos(math.pi * max(0.0, done - WARM_UP)))
    for group in optimiser.param_groups:
        group["lr"] = rate


# --- checkpoint: one safetensors file with weights, Adam's state and the history ------------------------------------


@dataclass(frozen=True)
class _State:
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    history: History


def _save(
    path: Path, method: Method, optimiser: torch.optim.Optimizer, history: History, seed: int, recipe: Recipe
) -> None:
    tensors = {f"weights/{k}": v.detach().cpu().contiguous().clone() for k, v in method.state_dict().items()}
    for i, values in optimiser.state_dict()["state"].items():
        for key, value in values.items():
            tensors[f"optimiser/{i}/{key}"] = value.detach().cpu().contiguous().clone()
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


def _restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Tensor], device: torch.device) -> None:
    content = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        i, name = key.split("/")
        state.setdefault(int(i), {})[name] = value if name == "step" else value.to(device)
    content["state"] = state
    optimiser.load_state_dict(content)
