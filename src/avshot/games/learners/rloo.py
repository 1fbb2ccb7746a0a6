"""Several messages about each episode: each is compared with the mean of the others. Not in the thesis.

Source: Ahmadian et al., ACL 2024 (REINFORCE leave-one-out). TRL has it for language models and whole data sets; a game
needs the listener's answer between saying and learning, for any kind of speaker, which is a few lines here.
"""

from __future__ import annotations

from dataclasses import dataclass

from avshot.errors import BadSetting
from avshot.games.learners.learner import Learner, Rollouts, Said
from avshot.games.objectives import leave_one_out, message_sums


class RLOO(Learner):
    """One step an update. An episode costs as many interactions as there are messages about it."""

    @dataclass(frozen=True)
    class Config(Learner.Config):
        """Its settings; ours."""

        messages: int = 4
        beta: float = 0.2  # of the log-ratio to the first policy, part of the reward

        def __post_init__(self) -> None:
            if self.messages < 2:
                raise BadSetting(f"rloo: messages is {self.messages}; it compares at least 2 about each episode.")

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.messages = self.config.messages

    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """One step."""
        said = Said.of(self.speaker, rollouts.sights, rollouts.messages)
        log_probs = message_sums(said.log_probs(self.speaker), said.mask)
        drift = log_probs.detach() - message_sums(said.reference(self.speaker, self.first), said.mask)
        gains = leave_one_out(rollouts.rewards - self.config.beta * drift, rollouts.groups)
        loss = -(gains * log_probs).mean()
        self._step(loss)
        self.updates += 1
        return {"loss": loss.item(), "drift": drift.mean().item()}
