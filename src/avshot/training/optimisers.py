"""Who trains: the players of a phase, each with an optimiser of its own, taking turns batch by batch.

Most methods have one player that trains everything. Adversarial ones have several (a critic and a generator).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avshot.method import Method, Phase, Recipe, Turn
from avshot.training.distributed import Processes
from avshot.types import Batch

PLATEAU_FACTOR = 0.1  # AVCA, TCaF and ClipClap code
WARM_UP = 0.05  # share of all steps, for the cosine schedule


class Players:
    """The players of a phase, each with its optimiser or one that they share; they take turns batch by batch."""

    def __init__(self, method: Method, phase: Phase | None, recipe: Recipe, processes: Processes | None = None) -> None:
        self.method, self.recipe = method, recipe
        self.processes = Processes() if processes is None else processes
        self.turns = () if phase is None else phase.turns
        self.lr = recipe.lr * (1.0 if phase is None else phase.rate)
        self.order = [i for i, turn in enumerate(self.turns) for _ in range(turn.steps)]
        self.chosen = [self._trained_by(turn) for turn in self.turns]
        self.optimisers = self._optimisers()
        self.turn = -1

    @property
    def pools(self) -> set[str]:
        """The pools of training clips that the turns draw from."""
        return {turn.pool for turn in self.turns}

    def pool_at(self, count: int) -> str:
        """The pool that step `count` of the training draws from."""
        return self.turns[self.order[count % len(self.order)]].pool

    def _trained_by(self, turn: Turn) -> dict[str, nn.Parameter]:
        """Parameters of a turn, by name. Raises ValueError where its prefixes fit none."""
        chosen = {
            name: parameter
            for name, parameter in self.method.named_parameters()
            if (not turn.parameters or name.startswith(turn.parameters)) and not name.startswith(self.method.frozen)
        }
        if not chosen:
            raise ValueError(f"A turn of {self.method.name} trains nothing: no parameter is named {turn.parameters}.")
        return chosen

    def _optimisers(self) -> list[torch.optim.Adam]:
        """The optimiser of each turn; those of one name are one."""
        shared: dict[str, dict[str, nn.Parameter]] = {}
        for turn, chosen in zip(self.turns, self.chosen, strict=True):
            if turn.optimiser:
                shared.setdefault(turn.optimiser, {}).update(chosen)
        made = {name: self._optimiser(parameters) for name, parameters in shared.items()}
        return [
            made[turn.optimiser] if turn.optimiser else self._optimiser(chosen)
            for turn, chosen in zip(self.turns, self.chosen, strict=True)
        ]

    def _optimiser(self, chosen: dict[str, nn.Parameter]) -> torch.optim.Adam:
        """Adam of the recipe: on the CPU fused, as the plain form takes 8 to 25 % of a step of a small model."""
        recipe, fused = self.recipe, True if self.method.device.type == "cpu" else None
        return torch.optim.Adam(
            chosen.values(), lr=self.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=fused
        )

    def step(self, batch: Batch, count: int) -> dict[str, float]:
        """One step of the player whose turn it is at step `count` of the training; the values of its terms."""
        self._hand_to(self.order[count % len(self.order)])
        turn, optimiser = self.turns[self.turn], self.optimisers[self.turn]
        trained, together = self.chosen[self.turn].values(), self.processes
        weight = together.weight(len(batch), self.recipe.batch_size)
        with together.computing(weight, self.recipe.precision, self.method.device):
            terms = self.method.loss(batch)
        check_terms(self.method.name, terms, turn.terms)
        values = weight * torch.stack([terms[name].float() for name in turn.terms or terms])
        optimiser.zero_grad(set_to_none=True)
        values.sum().backward()
        values = together.add_up(trained, values.detach())
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(trained, self.recipe.clip_norm)
        optimiser.step()
        share = len(self.order) / turn.steps  # so that the mean over an epoch is the mean over the player's own steps
        return {name: share * value for name, value in zip(turn.terms or terms, values.tolist(), strict=True)}

    def _hand_to(self, turn: int) -> None:
        """Only the parameters of this turn get gradients."""
        if turn == self.turn:
            return
        self.turn = turn
        for name, parameter in self.method.named_parameters():
            parameter.requires_grad_(name in self.chosen[turn])

    def set_rate(self, passed: float, drops: Sequence[int]) -> None:
        """Learning rate of the step that ends at `passed` epochs, a fraction counted from the start of training."""
        rate = self.lr * PLATEAU_FACTOR ** sum(1 for drop in drops if drop + 1 < passed)
        if self.recipe.schedule == "cosine":
            done = passed / self.recipe.epochs
            rate *= min(1.0, done / WARM_UP) * 0.5 * (1 + math.cos(math.pi * max(0.0, done - WARM_UP)))
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate

    def state(self) -> dict[str, Tensor]:
        """State of all optimisers as `{player/parameter/quantity: tensor}`."""
        return {
            f"{player}/{i}/{key}": value.detach().cpu().contiguous().clone()
            for player, optimiser in enumerate(self.optimisers)
            for i, values in optimiser.state_dict()["state"].items()
            for key, value in values.items()
        }

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Undo `state`."""
        for player, optimiser in enumerate(self.optimisers):
            content = optimiser.state_dict()
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in saved.items():
                owner, i, name = key.split("/")
                if int(owner) == player:
                    on = "cpu" if name == "step" else self.method.device
                    state.setdefault(int(i), {})[name] = value.to(on)
            content["state"] = state
            optimiser.load_state_dict(content)


def check_terms(method: str, terms: Any, wanted: Sequence[str]) -> None:
    """Refuse what is no loss: a dictionary of scalars that something can be learnt from, with the `wanted` names.

    Args:
        method: Name of the method, for the message.
        terms: What its `loss` returned.
        wanted: Terms that the turn minimises; none = all.

    Raises:
        ValueError: It is not that; the message says what it is.
    """
    who = f"The loss of method {method!r}"
    if not isinstance(terms, Mapping) or not terms:
        raise ValueError(f'{who} is {_kind(terms)}; expected a dictionary such as {{"loss": scalar tensor}}.')
    for name in wanted or terms:
        value = terms.get(name)
        if not isinstance(value, Tensor) or value.dim() > 0:
            raise ValueError(f"{who} has {_kind(value)} as its term {name!r}; expected a tensor of one number.")
    if not any(terms[name].requires_grad for name in wanted or terms):
        raise ValueError(f"{who} does not depend on any weight that trains, so there is nothing to learn from.")


def _kind(value: Any) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.60}"
