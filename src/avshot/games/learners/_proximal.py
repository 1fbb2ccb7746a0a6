"""What PPO and NLPO share: a value head, advantages per token, several epochs on a batch.

The thesis names beta and the clip; everything else is ours, from what was usual: gamma 1, lambda .95, 4 epochs,
whitened advantages. The value head stands on the last hidden state and does not change it: only the policy's loss does.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avshot.games.learners.learner import Learner, Rollouts, Said
from avshot.games.objectives import (
    advantages,
    clipped_loss,
    message_sums,
    shaped_rewards,
    token_log_probs,
    token_mean,
    whitened,
)
from avshot.games.speakers.speaker import LearningSpeaker


class Proximal(Learner):
    """Clipped policy gradient over tokens."""

    @dataclass(frozen=True)
    class Config(Learner.Config):
        """Settings of PPO and NLPO."""

        beta: float = 0.2  # thesis, F.5
        clip: float = 1.0  # thesis, F.5: ratios in [0, 2], so that hardly anything is clipped
        gamma: float = 1.0
        smoothing: float = 0.95  # lambda
        epochs: int = 4
        value_rate: float = 10.0  # learning rate of the value head, in learning rates of the policy

    def __init__(self, speaker: LearningSpeaker, config: Any = None) -> None:
        self.value: nn.Linear | None = None
        super().__init__(speaker, config)

    def _groups(self) -> list[dict[str, Any]]:
        groups = super()._groups()
        if self.value is not None:
            groups.append({"params": list(self.value.parameters()), "lr": self.rate * self.config.value_rate})
        return groups

    def prepare(self, width: int) -> None:
        """Make the value head for hidden states of a width; it begins at 0."""
        if self.value is None:
            self.value = nn.Linear(width, 1)
            nn.init.zeros_(self.value.weight)
            nn.init.zeros_(self.value.bias)
            self.restart()

    def _extra(self) -> dict[str, Tensor]:
        return {} if self.value is None else {"weight": self.value.weight, "bias": self.value.bias}

    def load(self, state: Any) -> None:
        """See `Learner`; the value head is made first, where there was one."""
        if "extra/weight" in state:
            self.prepare(state["extra/weight"].shape[1])
        super().load(state)

    @abstractmethod
    def restricted(self, said: Said) -> Tensor | None:
        """Which words `[message, token, word]` the policy may say; None: all."""

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """Several epochs on one batch."""
        said = Said.of(self.speaker, rollouts.sights, rollouts.messages)
        allowed = self.restricted(said)
        with torch.no_grad():
            spoke = said.step(self.speaker)
            self.prepare(spoke.hidden.shape[-1])
            old = token_log_probs(spoke.logits, said.tokens, allowed)
            free = token_log_probs(spoke.logits, said.tokens)  # the drift is that of the policy without a mask
            reference = said.reference(self.speaker, self.first)
            values = self._values(spoke.hidden)
        rewards = shaped_rewards(rollouts.rewards, free, reference, said.mask, self.config.beta)
        raw = advantages(rewards, values, said.mask, self.config.gamma, self.config.smoothing)
        wanted, gains = raw + values, whitened(raw, said.mask)
        for _ in range(self.config.epochs):
            step = said.step(self.speaker)
            new = token_log_probs(step.logits, said.tokens, allowed)
            policy = clipped_loss(new, old, gains, said.mask, self.config.clip)
            miss = token_mean((self._values(step.hidden.detach()) - wanted) ** 2, said.mask)
            self._step(policy + miss)
        self.updates += 1
        drift = message_sums(free - reference, said.mask).mean()
        return {"loss": policy.item(), "value": miss.item(), "drift": drift.item()}

    def _values(self, hidden: Tensor) -> Tensor:
        assert self.value is not None
        found: Tensor = self.value(hidden.float()).squeeze(-1)
        return found
