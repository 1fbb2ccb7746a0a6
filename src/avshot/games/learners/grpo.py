"""Several messages about each episode: each is compared with its group's mean and deviation. Not in the thesis.

Source: Shao et al., 2024 (DeepSeekMath), equations 3 and 4: clipped ratios, and a KL penalty in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

from avshot.errors import BadSetting
from avshot.games.learners.learner import Learner, Rollouts, Said
from avshot.games.objectives import clipped_loss, token_mean, within_group


class GRPO(Learner):
    """`epochs` steps an update. An episode costs as many interactions as there are messages about it."""

    @dataclass(frozen=True)
    class Config(Learner.Config):
        """Settings of the paper, but for the number of messages (64 there)."""

        messages: int = 4
        beta: float = 0.04
        clip: float = 0.2
        epochs: int = 1

        def __post_init__(self) -> None:
            if self.messages < 2:
                raise BadSetting(f"grpo: messages is {self.messages}; it compares at least 2 about each episode.")

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.messages = self.config.messages

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """Steps on one batch; the first has ratios of 1."""
        said = Said.of(self.speaker, rollouts.sights, rollouts.messages)
        reference = said.reference(self.speaker, self.first)
        old = said.reference(self.speaker, self.speaker.copied())
        gains = within_group(rollouts.rewards, rollouts.groups)[:, None] * said.mask
        for _ in range(self.config.epochs):
            new = said.log_probs(self.speaker)
            apart = (reference - new) * said.mask
            penalty = token_mean(apart.exp() - apart - 1, said.mask)  # never negative, unlike the log-ratio itself
            loss = clipped_loss(new, old, gains, said.mask, self.config.clip) + self.config.beta * penalty
            self._step(loss)
        self.updates += 1
        return {"loss": loss.item(), "drift": ((old - reference) * said.mask).sum(1).mean().item()}
