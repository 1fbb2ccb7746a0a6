"""What a training leaves behind to be read or gone on with: its history, and one safetensors file with its state."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from avshot.method import Method, Recipe


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
    tensors = {f"weights/{k}": v.detach().cpu().contiguous().clone() for k, v in method.state_dict().items()}
    tensors |= {f"optimiser/{key}": value for key, value in optimiser.items()}
    meta = {"history": asdict(history), "seed": seed, "recipe": asdict(recipe)}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"avshot": json.dumps(meta)})
    os.replace(partial, path)


def load_state(path: Path, seed: int, recipe: Recipe) -> State:
    """Read what `save_state` wrote. Raises ValueError when it is of a training with another seed or recipe."""
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["avshot"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    trained = asdict(Recipe()) | meta["recipe"]  # a field that is younger than the file had its default value
    if meta["seed"] != seed or json.dumps(trained) != json.dumps(asdict(recipe)):
        raise ValueError(f"{path} belongs to a training with another seed or recipe; remove it to start afresh.")

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    return State(part("weights/"), part("optimiser/"), History(**meta["history"]))
