"""The plain policy gradient: messages that win more than usual become likelier, less drift. Not in the thesis.

Source: Williams 1992, with a running mean as the baseline, and the reward of the thesis's equation 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avshot.games.learners.learner import Learner, Rollouts, Said
from avshot.games.objectives import message_sums


class Reinforce(Learner):
    """One step an update; the reward of a message is what it won minus beta times its log-ratio to the first policy."""

    @dataclass(frozen=True)
    class Config(Learner.Config):
        """Its settings; ours, as the thesis does not try it."""

        beta: float = 0.2  # as of PPO there
        decay: float = 0.95  # of the running mean of rewards

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._usual = torch.zeros(2, dtype=torch.float64)  # mean so far, and how much of it is known

    def _extra(self) -> dict[str, Tensor]:
        return {"usual": self._usual}

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """One step; the first one compares with the batch's own mean."""
        said = Said.of(self.speaker, rollouts.sights, rollouts.messages)
        log_probs = message_sums(said.log_probs(self.speaker), said.mask)
        drift = log_probs.detach() - message_sums(said.reference(self.speaker, self.first), said.mask)
        rewards = rollouts.rewards - self.config.beta * drift
        self._usual.mul_(self.config.decay).add_(
            (1 - self.config.decay) * torch.tensor([rewards.mean().item(), 1.0], dtype=torch.float64)
        )
        gains = rewards - (self._usual[0] / self._usual[1]).float()
        loss = -(gains * log_probs).mean()
        self._step(loss)
        self.updates += 1
        return {"loss": loss.item(), "drift": drift.mean().item()}
