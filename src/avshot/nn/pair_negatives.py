"""Wrong pairs for the triplet losses of methods for adverbs: another action, the antonym, another adverb.

They draw from torch's global generator, as dropout does, so the trainer's seed fixes them too.
"""

from __future__ import annotations

import torch
from torch import Tensor


def one_of(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one allowed value for each row, all alike.

    Args:
        allowed: `[row, value]` bool.

    Returns:
        The values `[row]` long, and `[row]` bool, False where none is allowed (the value is then 0).
    """
    ranks = allowed.cumsum(dim=1)
    if allowed.shape[1] == 0:
        return allowed.new_zeros(len(allowed), dtype=torch.long), allowed.new_zeros(len(allowed))
    count = ranks[:, -1]
    draw = torch.rand(len(allowed), device=allowed.device)
    rank = torch.minimum((draw * count).long() + 1, count)
    return (ranks >= rank[:, None]).int().argmax(dim=1), count > 0


def other_action(action: Tensor, adverb: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Another action for each clip, so that the pair with its adverb is allowed: see `one_of`.

    Args:
        action: `[clip]` long.
        adverb: `[clip]` long.
        allowed: `[action, adverb]` bool.
    """
    return one_of(_but(allowed.T[adverb], action))


def other_adverb(action: Tensor, adverb: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Another adverb for each clip, so that the pair with its action is allowed: see `other_action`."""
    return one_of(_but(allowed[action], adverb))


def antonym(action: Tensor, adverb: Tensor, opposite: Tensor | None, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The antonym of each clip's adverb; where none is known, another adverb: see `other_adverb`.

    Args:
        action: `[clip]` long.
        adverb: `[clip]` long.
        opposite: `[adverb]` long, -1 where no antonym is known; None = of none.
        allowed: `[action, adverb]` bool: for those that are drawn.
    """
    drawn, there = other_adverb(action, adverb, allowed)
    if opposite is None:
        return drawn, there
    known = opposite[adverb] >= 0
    return torch.where(known, opposite[adverb], drawn), known | there


def _but(allowed: Tensor, own: Tensor) -> Tensor:
    """Rows `[clip, value]` without the own value `[clip]` of each."""
    return allowed.scatter(1, own[:, None], False)
