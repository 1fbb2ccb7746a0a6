"""Scores of pairs as scores of adverbs: under the action of each clip, or under the best action for each adverb."""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.task import Scored


def adverb_scores(scored: Scored) -> Tensor:
    """`[clip, adverb]`: the best score of the pairs of each adverb that are candidates of the clip.

    Where the action is given, a clip has one pair for each adverb among its candidates (others are -inf); where it is
    not, the best of all actions counts (the mode without given action of ReGaDa d9d0bfb). An adverb without candidate
    has -inf.

    Args:
        scored: Of classes with the factor "adverb".
    """
    adverb = scored.factors["adverb"]
    found = scored.scores.new_full((len(scored.scores), len(adverb)), -torch.inf)
    index = adverb.index[None].expand_as(scored.scores)
    return found.scatter_reduce(1, index, scored.scores, "amax", include_self=True)
