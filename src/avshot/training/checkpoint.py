"""What a training leaves behind to be read or gone on with: its history, and one safetensors file with its state."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from avshot.errors import DamagedRun
from avshot.files.atomic import load_tensors, save_tensors
from avshot.method import Method, Recipe


@dataclass
class History:
    """What happened in a training.

    Attributes:
        losses: Per epoch, the mean of each loss term.
        scores: Per epoch, the judge's score (empty without a judge).
        settings: Per epoch, what the task chose along with that score (`avshot.task.Verdict`).
        metrics: Per epoch, the task's metrics, where it wants them of every epoch; else empty.
        drops: Epochs after which the learning rate was cut.
        starts: Epochs with which the stretches of the training began that each have an epoch of their own chosen
            (`avshot.recipe.stretches`); empty where it is one stretch.
        best: Epoch with the best score of the last stretch (the first on ties), 0-based; the last epoch without a
            judge.
        parts: Epochs up to and with the best one of each stretch.
    """

    losses: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Epoch with the best score of the last stretch, or the last one without scores."""
        start = self.starts[-1] if self.starts else 0
        return start + self.parts[-1] - 1

    @property
    def parts(self) -> list[int]:
        """How many epochs each stretch needs."""
        starts = self.starts or [0]
        ends = [*starts[1:], len(self.losses)]
        scores = [self.scores[start:end] for start, end in zip(starts, ends, strict=True)]
        return [
            int(np.argmax(own)) + 1 if own else end - start
            for own, start, end in zip(scores, starts, ends, strict=True)
        ]


@dataclass(frozen=True)
class State:
    """A training after an epoch: weights and buffers, the optimisers' state (`Players.state`), the history."""

    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    history: History


def save_state(
    path: Path, method: Method, optimiser: dict[str, Tensor], history: History, seed: int, recipe: Recipe
) -> None:
    """Write the file of `load_state`; it is either complete or as it was."""
    tensors = {f"weights/{key}": value for key, value in method.state_dict().items()}
    tensors |= {f"optimiser/{key}": value for key, value in optimiser.items()}
    save_tensors(path, tensors, about={"history": asdict(history), "seed": seed, "recipe": asdict(recipe)})


def load_state(path: Path, seed: int, recipe: Recipe) -> State:
    """Read what `save_state` wrote.

    Raises:
        ValueError: The file is damaged, or of a training with another seed or recipe; the message names it.
    """
    tensors, about = load_tensors(path)
    history = _history(path, about)
    trained = asdict(Recipe()) | about["recipe"]  # a field that is younger than the file had its default value
    if about["seed"] != seed or json.dumps(trained) != json.dumps(asdict(recipe)):
        raise DamagedRun(f"{path} belongs to a training with another seed or recipe; remove it to start afresh.")

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    return State(part("weights/"), part("optimiser/"), history)


def load_history(path: Path) -> History:
    """The history in what `save_state` wrote, after a look at the whole file. Raises ValueError where it is damaged."""
    return _history(path, load_tensors(path)[1])


def _history(path: Path, about: dict[str, Any]) -> History:
    wanted = {field.name for field in fields(History)}
    if set(about) != {"history", "seed", "recipe"} or {*about["history"], "metrics"} != wanted:
        raise DamagedRun(f"{path} is no checkpoint of a training; it is damaged: remove it.")
    return History(**about["history"])
