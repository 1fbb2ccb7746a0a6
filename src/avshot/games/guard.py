"""The drift guard: it looks at validation episodes now and then, and sets a speaker back that got worse.

Success rises and falls while a speaker learns (thesis, figure 7.10), and the thesis takes whatever stands at the end.
The guard is our addition, off unless asked for; what it looks at are further interactions with the listener, which the
record counts on their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avshot.games.experiment import Parts, Play
from avshot.games.judge import judge
from avshot.games.learners.learner import Learner

_SEED = 0  # of validation episodes, for all plays


@dataclass(eq=False)
class Guard:
    """Best state so far, and how long ago.

    Attributes:
        best: Highest score on validation episodes.
        kept: The speaker's trained parameters then.
        since: Looks since.
        setbacks: How often the speaker was set back.
        curve: `(update, score)` of every look.
    """

    best: float = -1.0
    kept: dict[str, Tensor] = field(default_factory=dict)
    since: int = 0
    setbacks: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)

    def look(self, play: Play, parts: Parts, learner: Learner) -> bool:
        """Judge the speaker; set it back where it fell too far. Returns whether learning should end."""
        episodes = parts.game.draw(play.check_episodes, _SEED, "val")
        rounds = judge(parts.game, episodes, learner.speaker, parts.listener, parts.weakness)
        score = sum(each.score for each in rounds) / len(rounds)
        self.curve.append((learner.updates, score))
        if score > self.best:
            self.best, self.kept, self.since = score, learner.speaker.copied(), 0
            return False
        self.since += 1
        if score < self.best - play.tolerance:
            self.setbacks += 1
            learner.speaker.restore(self.kept)
            learner.restart()
        return 0 < play.patience <= self.since

    def tensors(self) -> dict[str, Tensor]:
        """The state as tensors, for the checkpoint."""
        kept = {f"guard/{name}": value for name, value in self.kept.items()}
        numbers = torch.tensor([self.best, self.since, self.setbacks], dtype=torch.float64)
        return kept | {"guard-numbers": numbers}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], curve: list[Any]) -> Guard:
        """From what `tensors` gave, and the curve."""
        best, since, setbacks = tensors["guard-numbers"].tolist()
        kept = {name.removeprefix("guard/"): value for name, value in tensors.items() if name.startswith("guard/")}
        return cls(best, kept, int(since), int(setbacks), [(int(u), float(s)) for u, s in curve])
