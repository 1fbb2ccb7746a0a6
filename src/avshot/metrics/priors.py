"""Adverbs ranked by the counts of training clips alone: what every method has to beat.

The published "Priors" are the raw counts of the pair. Average precision ranks clips of all actions together, so that
raw counts favour the adverbs of frequent actions; their share in the action, p(adverb | action), is a better guess
from the same counts, and on some benchmarks beats every published method.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = ("priors", "p(adverb | action)", "p smoothed", "p(adverb)")


def priors(counts: Tensor, action: Tensor, adverb: Tensor, actions: int, adverbs: int) -> dict[str, Tensor]:
    """Four guesses, each `[action, adverb]` float64.

    The count of training clips of the pair (as published); its share in the action (0 for an action without clips); the
    same with one further clip of each action, spread as adverbs are in all clips; and that spread alone.

    Args:
        counts: `[class]` training clips.
        action: `[class]` long.
        adverb: `[class]` long.
        actions: How many there are.
        adverbs: How many there are.
    """
    of_pair = torch.zeros(actions, adverbs, dtype=torch.float64)
    of_pair.index_put_((action, adverb), counts.double(), accumulate=True)
    of_action, of_adverb = of_pair.sum(1, keepdim=True), of_pair.sum(0)
    spread = of_adverb / of_adverb.sum().clamp(min=1)
    guesses = (
        of_pair,
        of_pair / of_action.clamp(min=1),
        (of_pair + spread) / (of_action + 1),
        spread.expand(actions, adverbs),
    )
    return dict(zip(NAMES, guesses, strict=True))
