"""The contracts of speakers: one that speaks, and one that can learn to speak otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avshot.games.episode import Message, Sight

# Which tokens may come next: (context, tokens so far [message, token]) -> [message, word], True where allowed.
Allowed = Callable[[Any, Tensor], Tensor]


class Speaker(ABC):
    """Describes what it is told to."""

    @dataclass(frozen=True)
    class Config:
        """A speaker without settings."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config: Any = self.Config() if config is None else config

    @abstractmethod
    def say(self, sights: Sequence[Sight], generator: torch.Generator | None = None) -> list[Message]:
        """One message for each sight.

        Args:
            sights: What it is shown, with what is meant.
            generator: Speakers that draw their words draw with this; without one they say what is likeliest.
        """


@dataclass(frozen=True)
class Step:
    """What a speaker thinks at every token of some messages.

    Attributes:
        logits: `[message, token, word]`; those at token k come from the sight and tokens before k alone.
        hidden: `[message, token, width]`: what the logits were made of, for a value head.
    """

    logits: Tensor
    hidden: Tensor


class LearningSpeaker(Speaker, nn.Module):
    """A speaker with parameters: a distribution over the next token, which learners change.

    Only parameters with `requires_grad` are ever changed; `trained()` are these, and a copy of them is all that tells
    one state of the speaker from another (weights of adapters, where a large model is behind it).

    Attributes:
        end: The token that ends a message.
        longest: Tokens of a message at most, the end among them.
        rate: Learning rate that suits its parameters where a learner names none.
    """

    end: int
    longest: int
    rate: ClassVar[float]

    @abstractmethod
    def look(self, sights: Sequence[Sight]) -> Any:
        """What `step` needs of some sights, computed once."""

    @abstractmethod
    def step(self, context: Any, tokens: Tensor) -> Step:
        """Logits for every token, given those before it.

        Args:
            context: From `look`, for as many sights as there are messages.
            tokens: `[message, token]`; what stands after a message's end does not matter.
        """

    @abstractmethod
    def text(self, tokens: Sequence[int]) -> str:
        """Tokens in words, without the one that ends the message."""

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that learners change, by name."""
        return {name: each for name, each in self.named_parameters() if each.requires_grad}

    def copied(self) -> dict[str, Tensor]:
        """A copy of the trained parameters, for `as_of` and for files."""
        return {name: each.detach().clone() for name, each in self.trained().items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Set the trained parameters to a copy of them. Raises KeyError where one lacks."""
        for name, each in self.trained().items():
            each.copy_(state[name])

    @contextmanager
    def as_of(self, state: Mapping[str, Tensor]) -> Iterator[None]:
        """In the block the speaker is as it was, without gradient; afterwards as it is.

        The first state gives the reference policy, pi_0 of the thesis, without a second model in memory.
        """
        now = {name: each.data for name, each in self.trained().items()}
        try:
            for name, each in self.trained().items():  # exchanged, not overwritten: a graph made before stays valid
                each.data = state[name].to(each.dtype)
            with torch.no_grad():
                yield
        finally:
            for name, each in self.trained().items():
                each.data = now[name]

    @torch.no_grad()
    def say(
        self, sights: Sequence[Sight], generator: torch.Generator | None = None, allowed: Allowed | None = None
    ) -> list[Message]:
        """One message for each sight, token by token.

        Args:
            sights: See `Speaker`.
            generator: Tokens are drawn at temperature 1 with this; without one the likeliest are taken.
            allowed: Only among tokens that this allows (the nucleus of NLPO).
        """
        context = self.look(sights)
        tokens = torch.full((len(sights), 1), self.end)
        going = torch.ones(len(sights), dtype=torch.bool)
        for k in range(self.longest):
            logits = self.step(context, tokens).logits[:, k]
            if allowed is not None:
                logits = logits.masked_fill(~allowed(context, tokens[:, :k]), -torch.inf)
            chosen = _drawn(logits, generator)
            tokens[:, k] = torch.where(going, chosen.cpu(), self.end)
            going &= tokens[:, k] != self.end
            if not going.any():
                break
            tokens = torch.nn.functional.pad(tokens, (0, 1), value=self.end)
        return [self._message(row) for row in tokens[:, : self.longest].tolist()]

    def _message(self, row: list[int]) -> Message:
        length = row.index(self.end) + 1 if self.end in row else len(row)
        ended = row[:length]
        return Message(self.text([token for token in ended if token != self.end]), tuple(ended))


def _drawn(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return logits.argmax(dim=-1)
    chances = logits.float().softmax(dim=-1)
    return torch.multinomial(chances.cpu(), 1, generator=generator).squeeze(1)
