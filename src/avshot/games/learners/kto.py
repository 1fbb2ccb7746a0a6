"""Kahneman-Tversky optimisation, online: each message was good or bad, and is made likelier or less likely.

Source: thesis, section 7.3.3, equations 7.3 and 7.4; Ethayarajh et al., ICML 2024. Their program, and TRL's, learn from
a stored data set in rounds; here every update learns from what was said just now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from avshot.games.episode import Message, Sight
from avshot.games.learners.learner import Learner, Rollouts, Said, log_ratios
from avshot.games.objectives import kto_drift, kto_loss


class KTO(Learner):
    """One step an update. Batches of one sign go on as they are (the thesis is silent)."""

    @dataclass(frozen=True)
    class Config(Learner.Config):
        """Settings of the thesis, but for `replay`."""

        beta: float = 0.1
        good: float = 1.0  # lambda+
        bad: float = 1.0  # lambda-
        replay: int = 0  # earlier messages that are learnt from again in every update (the outlook, section 8.2)
        seed: int = 0  # decides which

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.remembers = self.config.replay > 0
        self._earlier: list[tuple[Sight, Message, bool]] = []

    def remember(self, rollouts: Rollouts) -> None:
        """Keep messages for `replay`."""
        if self.remembers:
            self._earlier += zip(rollouts.sights, rollouts.messages, rollouts.good.tolist(), strict=True)

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """One step; the first one has a loss of exactly .5."""
        sights, messages, good = list(rollouts.sights), list(rollouts.messages), rollouts.good.tolist()
        for sight, message, was_good in self._replayed():
            sights.append(sight)
            messages.append(message)
            good.append(was_good)
        drift = kto_drift(self._mismatched(sights, messages))
        ratios = log_ratios(self.speaker, Said.of(self.speaker, sights, messages), self.first)
        weights = (self.config.good, self.config.bad)
        loss = kto_loss(ratios, drift, torch.tensor(good), self.config.beta, weights)
        self._step(loss)
        self.updates += 1
        return {"loss": loss.item(), "drift": ratios.mean().item(), "kl": drift.item()}

    @torch.no_grad()
    def _mismatched(self, sights: Sequence[Sight], messages: Sequence[Message]) -> torch.Tensor:
        """Log phi of each message under the sight before it.

        Shifted by one, not reversed: that would leave the middle of an odd batch with itself (TRL's issue 1911).
        """
        if len(messages) < 2:
            return torch.zeros(0)
        shifted = [*messages[1:], messages[0]]
        return log_ratios(self.speaker, Said.of(self.speaker, sights, shifted), self.first)

    def _replayed(self) -> list[tuple[Sight, Message, bool]]:
        n = min(self.config.replay, len(self._earlier))
        rng = np.random.default_rng([self.config.seed, self.updates])
        return [self._earlier[i] for i in rng.choice(len(self._earlier), n, replace=False)] if n else []
