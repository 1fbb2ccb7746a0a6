"""The one training loop: balanced batches, Adam, a schedule, an optional judge after each epoch, exact resume.

Every random draw of epoch e comes from a generator seeded with (seed, e), so a training killed in epoch e and resumed
from the checkpoint of epoch e - 1 ends in the same weights, bit for bit, on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avshot.method import Method, Recipe
from avshot.task import Verdict
from avshot.training.checkpoint import History, load_state, save_state
from avshot.training.clips import ClipSource
from avshot.training.course import Course
from avshot.training.distributed import Processes, check, current
from avshot.training.finite import why_not_finite
from avshot.training.optimisers import Players
from avshot.training.prefetch import one_ahead, pays
from avshot.training.sampling import BalancedSampler
from avshot.training.selection import Judge
from avshot.types import Batch, Classes

PLATEAU_PATIENCE = 3  # AVCA, TCaF and ClipClap code


_Judge = Callable[[Method], Verdict]  # a `Judge`, or a test's own


def train(
    method: Method,
    source: ClipSource,
    recipe: Recipe,
    *,
    seed: int,
    epochs: int | Sequence[int] | None = None,
    judge: _Judge | None = None,
    candidates: Classes | None = None,
    drops: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> History:
    """Train `method` in place, in this process or as one of several that call this alike.

    Args:
        method: On the device to train on.
        source: Training clips.
        recipe: Optimiser, batch and schedule settings.
        seed: Decides every draw.
        epochs: How many to run, or how many of each stretch (`avshot.recipe.stretches`); None runs `recipe.epochs`.
            Schedules always span `recipe.epochs`, so fewer epochs are a prefix of the full training.
        judge: Called in eval mode after each epoch. Where the training has several stretches it is a
            `Judge`, and each goes on from the best weights of the one before.
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
    phases, processes = method.phases(), current(method.device)
    check(method, recipe.batch_size, processes.count)
    course = Course(phases, recipe.epochs, epochs)
    classes = source.classes.to(method.device)
    kept = processes.main and checkpoint is not None and checkpoint.exists()
    state = processes.share(load_state(checkpoint, seed, recipe) if kept and checkpoint is not None else None)
    history, players = History() if state is None else state.history, None
    if state is not None:
        method.load_state_dict(state.weights)
    if isinstance(judge, Judge) and history.starts:
        judge.go_on(len(history.starts) - 1, course.by(len(history.losses) - 1))
    processes.align(method)
    for count in range(len(history.losses), len(course)):
        epoch, phase = course[count], course.phase(count)
        if course.begins(count):
            _begin_stretch(method, judge, history, course.by(count), processes)
        if players is None or phase != course.phase(count - 1):
            players = Players(method, phase, recipe, processes)
        if state is not None and phase == course.phase(count - 1):
            players.restore(state.optimiser)
        state = None
        seeded = _seed_epoch(seed, epoch, processes.index)
        sums: dict[str, float] = {}
        if phases:
            cuts = [drop for drop in (history.drops if drops is None else drops) if drop >= course.start(count)]
            sums = _epoch(players, source, classes, seeded, epoch, cuts)
        history.losses.append(sums)
        method.eval()
        processes.align(method)
        _check_weights(method, source, classes)
        if processes.main and candidates is not None and (judge is not None or count + 1 == len(course)):
            _adapt(method, source, candidates)
        verdict = processes.share(_judged(method, judge) if processes.main and judge is not None else None)
        if verdict is not None:
            _note(verdict, history, recipe, epoch)
        if processes.main and checkpoint is not None:
            save_state(checkpoint, method, players.state(), history, seed, recipe)
        if progress is not None:
            progress(count + 1, len(course), sums | ({"score": history.scores[-1]} if history.scores else {}))
    method.eval()
    return history


def _begin_stretch(method: Method, judge: _Judge | None, history: History, by: str, processes: Processes) -> None:
    """Go on from the best weights of the stretch before, where they were judged."""
    history.starts.append(len(history.losses))
    number = len(history.starts) - 1
    judged = isinstance(judge, Judge) and number > 0
    best = processes.share(judge.best_weights() if isinstance(judge, Judge) and judged else None)
    if best is not None:
        method.load_state_dict(best)
    if isinstance(judge, Judge):
        judge.begin(number, by)


def _epoch(
    players: Players, source: ClipSource, classes: Classes, seeded: torch.Generator, epoch: int, drops: Sequence[int]
) -> dict[str, float]:
    """All steps of one epoch; the mean of each loss term. Raises ValueError when one is not finite."""
    method, recipe = players.method, players.recipe
    draws = {pool: _Draw(source, pool, recipe.class_balanced) for pool in players.pools}
    part = players.processes.part(recipe.batch_size)
    method.train()
    sums: dict[str, float] = {}
    batches = recipe.batches(len(source))
    count, negatives = recipe.batch_size, method.needs.negatives
    steps = range(epoch * batches, (epoch + 1) * batches)
    drawn = (draws[players.pool_at(step)].batch(count, seeded, negatives, part) for step in steps)
    with one_ahead(drawn, pays(source.waits, method.device)) as ready:
        for step, batch in enumerate(ready):
            pool = players.pool_at(epoch * batches + step)
            batch = replace(batch, classes=classes, pool=pool).to(method.device)
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
        method.adapt(source.once(method.device), candidates.to(method.device))
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


class _Draw:
    """Draws batches from a pool of training clips; the pool "" is all of them."""

    def __init__(self, source: ClipSource, pool: str, balanced: bool) -> None:
        if pool and pool not in {**source.pools, **source.aside}:
            known = ", ".join({**source.pools, **source.aside}) or "none"
            raise ValueError(f"A turn draws from the pool {pool!r} of training clips; the task has {known}.")
        self.source = source.aside.get(pool, source)
        self.places = source.pools.get(pool)
        self.labels = self.source.labels if self.places is None else self.source.labels[self.places]
        # What is aside has labels that nobody knows: they must not decide what is drawn.
        self.sampler = BalancedSampler(self.labels, balanced=balanced and self.source is source)

    def batch(self, count: int, generator: torch.Generator, negatives: bool, part: slice) -> Batch:
        """Draw `count` clips, gather `part` of them: what is drawn does not depend on how many processes share it."""
        positions = self.sampler.draw(count, generator)
        others = self.sampler.negatives(self.labels[positions], generator) if negatives else None
        batch = self._gathered(positions[part])
        return batch if others is None else replace(batch, negative=self._gathered(others[part]))

    def _gathered(self, positions: Tensor) -> Batch:
        return self.source.batch(positions if self.places is None else self.places[positions])


@torch.inference_mode()
def _judged(method: Method, judge: _Judge) -> Verdict:
    method.eval()
    return judge(method)


def _note(verdict: Verdict, history: History, recipe: Recipe, epoch: int) -> None:
    history.scores.append(verdict.score)
    history.settings.append(dict(verdict.settings))
    if verdict.metrics:
        history.metrics.append(dict(verdict.metrics))
    if recipe.schedule != "plateau":
        return
    since = max([history.best, *history.drops])
    if epoch - since > PLATEAU_PATIENCE:
        history.drops.append(epoch)
