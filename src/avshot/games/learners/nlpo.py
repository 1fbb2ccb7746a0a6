"""PPO whose words come from the nucleus of an earlier self.

Source: thesis, section 7.3.3; Ramamurthy et al., ICLR 2023 (RL4LMs).

Their program copies the whole model for the mask; here the earlier self is a copy of the trained parameters alone.
They always keep 100 words and special tokens; here the nucleus is what its definition says (our speakers have 16
words). With a nucleus of 1 it is PPO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avshot.games.learners._proximal import Proximal
from avshot.games.learners.learner import Said
from avshot.games.objectives import nucleus
from avshot.games.speakers.speaker import Allowed, LearningSpeaker


class NLPO(Proximal):
    """Words outside the nucleus of a snapshot are neither drawn nor part of the policy that is learnt."""

    @dataclass(frozen=True)
    class Config(Proximal.Config):
        """Settings, with their sources, in `_proximal.py`."""

        share: float = 0.9  # of probability in the nucleus
        refresh: int = 20  # updates between two snapshots; the thesis does not say (5 or 20 in the authors' settings)

    def __init__(self, speaker: LearningSpeaker, config: Any = None) -> None:
        super().__init__(speaker, config)
        self._snapshot = speaker.copied()

    def _extra(self) -> dict[str, Tensor]:
        return super()._extra() | {f"snapshot/{name}": value for name, value in self._snapshot.items()}

    def allowed(self) -> Allowed:
        """The nucleus of the snapshot at the next token."""

        def of_next(context: Any, before: Tensor) -> Tensor:
            tokens = torch.nn.functional.pad(before, (0, 1), value=self.speaker.end)
            with self.speaker.as_of(self._snapshot):
                return nucleus(self.speaker.step(context, tokens).logits[:, -1], self.config.share)

        return of_next

    def restricted(self, said: Said) -> Tensor | None:
        """The nucleus of the snapshot at every token; the snapshot is taken anew where it is time."""
        if self.updates % self.config.refresh == 0:
            self._snapshot = self.speaker.copied()
        with self.speaker.as_of(self._snapshot):
            return nucleus(said.step(self.speaker).logits, self.config.share)
