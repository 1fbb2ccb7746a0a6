"""The contract of a learner, and what all of them share: padded messages, first policy, optimiser, state on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avshot.games.episode import Message, Sight
from avshot.games.objectives import message_sums, token_log_probs
from avshot.games.speakers.speaker import Allowed, LearningSpeaker, Step

CLIP = 1.0  # norm of the gradient at most


@dataclass(frozen=True, eq=False)
class Rollouts:
    """What was said in one update's episodes, and what it won.

    Attributes:
        sights: What the speaker saw, one for each message.
        messages: What it said.
        rewards: `[message]`.
        good: `[message]`: whether each reward is a good one.
        groups: `[message]`: number of the episode that each is about.
    """

    sights: Sequence[Sight]
    messages: Sequence[Message]
    rewards: Tensor
    good: Tensor
    groups: Tensor


class Learner(ABC):
    """Changes a speaker's trained parameters by what its messages won.

    Attributes:
        messages: How many messages it needs about one episode.
        remembers: Whether earlier rollouts matter; then `remember` is told of them, also after a restart.
    """

    messages: int = 1
    remembers: bool = False

    @dataclass(frozen=True)
    class Config:
        """What every learner has; each learner's own begins with it."""

        rate: float | None = None  # of AdamW, without decay; None: what suits the speaker

    def __init__(self, speaker: LearningSpeaker, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config
        self.speaker = speaker
        self.first = speaker.copied()  # pi_0
        self.rate = speaker.rate if self.config.rate is None else self.config.rate
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=0.0)
        self.updates = 0

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with their rates."""
        return [{"params": list(self.speaker.trained().values()), "lr": self.rate}]

    def allowed(self) -> Allowed | None:
        """Which tokens the speaker may say while it learns; None: any."""
        return None

    @abstractmethod
    def update(self, rollouts: Rollouts) -> dict[str, float]:
        """Learn from some rollouts; returns numbers for the curve, the loss among them."""

    def remember(self, rollouts: Rollouts) -> None:
        """Keep rollouts for later updates; learners without a memory let them go."""
        del rollouts

    def restart(self) -> None:
        """Forget what the optimiser knows: the speaker's parameters were set back."""
        self.optimiser = torch.optim.AdamW(self._groups(), weight_decay=0.0)

    def _step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], CLIP)
        self.optimiser.step()

    def _extra(self) -> dict[str, Tensor]:
        """Further tensors of the learner's state."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on: parameters now and at first, moments of the optimiser, counts."""
        found = {f"now/{k}": v for k, v in self.speaker.copied().items()}
        found |= {f"first/{k}": v for k, v in self.first.items()}
        for i, moments in self.optimiser.state_dict()["state"].items():
            found |= {f"moments/{i}/{k}": torch.as_tensor(v) for k, v in moments.items()}
        found |= {f"extra/{k}": v.detach().clone() for k, v in self._extra().items()}
        return found | {"updates": torch.tensor(self.updates)}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Set everything to a state that `state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"now": {}, "first": {}, "moments": {}, "extra": {}}
        for key, value in state.items():
            kind, _, rest = key.partition("/")
            if rest:
                parts[kind][rest] = value
        self.speaker.restore(parts["now"])
        self.first = {k: v.clone() for k, v in parts["first"].items()}
        self.updates = int(state["updates"])
        for name, target in self._extra().items():
            target.copy_(parts["extra"][name])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["moments"].items():
            i, _, name = key.partition("/")
            moments.setdefault(int(i), {})[name] = value.clone()
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})


def padded(messages: Sequence[Message], fill: int) -> tuple[Tensor, Tensor]:
    """Tokens `[message, token]`, and True at each message's own ones."""
    longest = max(len(message.tokens) for message in messages)
    tokens = torch.full((len(messages), longest), fill)
    mask = torch.zeros((len(messages), longest), dtype=torch.bool)
    for row, message in enumerate(messages):
        tokens[row, : len(message.tokens)] = torch.tensor(message.tokens)
        mask[row, : len(message.tokens)] = True
    return tokens, mask


@dataclass(frozen=True, eq=False)
class Said:
    """Messages as a speaker computes with them: context, tokens and mask."""

    context: Any
    tokens: Tensor
    mask: Tensor

    @classmethod
    def of(cls, speaker: LearningSpeaker, sights: Sequence[Sight], messages: Sequence[Message]) -> Said:
        """Look at the sights and pad the messages."""
        return cls(speaker.look(sights), *padded(messages, speaker.end))

    def step(self, speaker: LearningSpeaker) -> Step:
        """Logits and hidden states at every token."""
        return speaker.step(self.context, self.tokens)

    def log_probs(self, speaker: LearningSpeaker) -> Tensor:
        """Log-probability `[message, token]` of each token."""
        return token_log_probs(self.step(speaker).logits, self.tokens)

    def reference(self, speaker: LearningSpeaker, first: Mapping[str, Tensor]) -> Tensor:
        """The same under the first policy, without gradient."""
        with speaker.as_of(first):
            return self.log_probs(speaker)


def log_ratios(speaker: LearningSpeaker, said: Said, first: Mapping[str, Tensor]) -> Tensor:
    """Log phi `[message]`: log pi - log pi_0 of whole messages, with gradient."""
    return message_sums(said.log_probs(speaker) - said.reference(speaker, first), said.mask)
