"""A small speaker for scenes: it names one value after another, and was taught to prefer colours.

It stands in for a large model where there is none: it learns within seconds, and what it says can be counted. It sees
which values occur in the target and which beside it, and which words it has said; a network with one hidden layer gives
the next word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.games.episode import Sight
from avshot.games.scene import FEWEST, KINDS, MOST, WORDS, Thing
from avshot.games.speakers.speaker import LearningSpeaker, Step
from avshot.machine.draws import sole_draws

_N = len(WORDS)
_STEPS, _BATCH, _RATE = 1500, 256, 4e-3  # of teaching: some seconds
_SECOND = 0.5  # chance of a second word, where there is one to say
Facts = np.ndarray  # [sight, 2, word]: whether a value occurs in the target, and beside it


class Words(LearningSpeaker):
    """Was taught to name one or two values that tell the target apart; where none does, one of the target's."""

    rate = 1e-3

    @dataclass(frozen=True)
    class Config:
        """How it was taught."""

        colours: float = 3.0  # how much likelier a colour is named than another value that tells as well
        hidden: int = 64
        longest: int = 4  # tokens of a message, with the one that ends it
        seed: int = 0

        def __post_init__(self) -> None:
            if self.colours <= 0 or self.hidden < 1 or self.longest < 2:
                raise BadSetting("words: colours must be above 0, hidden at least 1, longest at least 2.")

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.end, self.longest = _N, self.config.longest
        self.inner = nn.Linear(3 * _N, self.config.hidden)
        self.outer = nn.Linear(self.config.hidden, _N + 1)
        self.load_state_dict(_taught(self.config.colours, self.config.hidden, self.config.seed))

    def look(self, sights: Sequence[Sight]) -> Tensor:
        """Facts `[sight, 30]`: which values occur in what is meant, and which beside it.

        Raises:
            ValueError: Nobody knows what is in the pictures.
        """
        return torch.from_numpy(np.stack([_facts(sight) for sight in sights]).reshape(len(sights), -1)).float()

    def step(self, context: Tensor, tokens: Tensor) -> Step:
        """See `LearningSpeaker`."""
        said = nn.functional.one_hot(tokens, _N + 1)[..., :_N].cumsum(1)
        before = nn.functional.pad(said[:, :-1], (0, 0, 1, 0)).clamp(max=1).float()
        facts = context[:, None].expand(-1, tokens.shape[1], -1)
        hidden = self.inner(torch.cat([facts, before], dim=2)).relu()
        return Step(self.outer(hidden), hidden)

    def text(self, tokens: Sequence[int]) -> str:
        """Values, separated by spaces."""
        return " ".join(WORDS[token] for token in tokens)


def _facts(sight: Sight) -> Facts:
    target = sight.target or 0
    if sight.game == "res":
        things = sight.items[0].things
        return np.stack([_present([things[target]]), _present([*things[:target], *things[target + 1 :]])])
    return np.stack([_present(sight.items[target].things), _present(sight.items[1 - target].things)])


def _present(things: Sequence[Thing]) -> np.ndarray:
    found = np.zeros(_N, bool)
    for thing in things:
        for value in thing.values:
            found[WORDS.index(value)] = True
    return found


@lru_cache(maxsize=8)
def _taught(colours: float, hidden: int, seed: int) -> dict[str, Tensor]:
    """Weights of the network after teaching; the same in every process on one machine."""
    rng = np.random.default_rng([seed, 15])
    with sole_draws(), torch.enable_grad():
        torch.manual_seed(seed)
        inner, outer = nn.Linear(3 * _N, hidden), nn.Linear(hidden, _N + 1)
        optimiser = torch.optim.Adam([*inner.parameters(), *outer.parameters()], lr=_RATE)
        for step in range(_STEPS):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * (1 - step / _STEPS)
            facts = _drawn_facts(rng)
            first, second = _lessons(facts, colours, rng)
            seen = torch.from_numpy(facts.reshape(_BATCH, -1)).float()
            said = nn.functional.one_hot(torch.from_numpy(np.stack([first, second])), _N + 1)[..., :_N].float()
            before = torch.stack([torch.zeros_like(said[0]), said[0], (said[0] + said[1]).clamp(max=1)])
            logits = outer(inner(torch.cat([seen.expand(3, -1, -1), before], dim=2)).relu())
            wanted = torch.from_numpy(np.stack([first, second, np.full(_BATCH, _N)]))
            optimiser.zero_grad()
            nn.functional.cross_entropy(logits.reshape(-1, _N + 1), wanted.reshape(-1)).backward()
            optimiser.step()
    weights = {f"inner.{k}": v for k, v in inner.state_dict().items()}
    return weights | {f"outer.{k}": v for k, v in outer.state_dict().items()}


def _drawn_facts(rng: np.random.Generator) -> Facts:
    """Facts of a batch: half pairs of scenes, half one thing among others."""
    counts = rng.integers(FEWEST, MOST + 1, (_BATCH, 2))
    counts[_BATCH // 2 :, 0] = 1
    facts = np.zeros((_BATCH, 2, _N), bool)
    offset = 0
    rows, parts = np.indices((_BATCH, 2))
    for values in KINDS.values():
        drawn = rng.integers(len(values), size=(_BATCH, 2, MOST))
        there = np.arange(MOST) < counts[..., None]
        for k in range(MOST):
            facts[rows[there[..., k]], parts[there[..., k]], offset + drawn[..., k][there[..., k]]] = True
        offset += len(values)
    return facts


def _lessons(facts: Facts, colours: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What a teacher would say of each: two words, the second of which may be the end (index 15)."""
    weight = np.where(np.arange(_N) < len(KINDS["color"]), colours, 1.0)
    telling = facts[:, 0] & ~facts[:, 1]
    sayable = np.where(telling.any(1)[:, None], telling, facts[:, 0])
    first = _chosen(sayable * weight, rng)
    sayable = telling.copy()
    sayable[np.arange(_BATCH), first] = False
    more = sayable.any(1) & (rng.random(_BATCH) < _SECOND)
    return first, np.where(more, _chosen(np.where(more[:, None], sayable * weight, 1.0), rng), _N)


def _chosen(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An index for each row, drawn by its weights."""
    bounds = weights.cumsum(1)
    return (rng.random(len(weights))[:, None] * bounds[:, -1:] >= bounds).sum(1)
