"""Video-adverb retrieval: average precision of adverbs over clips, and whether an adverb outscores its antonym.

Scores are `[clip, adverb]`: how well each adverb suits a clip, whose action is given or has been chosen; labels
`[clip]` are the true adverbs. All functions look at nothing else.

Source: Doughty et al., "Action Modifiers", CVPR 2020 (Acc-A); Moltisanti et al., CVPR 2023 (mAP W, mAP M); Mercea,
thesis, Tübingen 2024, section 6.4. The thesis says that mAP ranks clips of one action; the released program (ReGaDa
d9d0bfb) and the printed Priors rank all clips together, each scored under its own action, and so do we.
"""

from __future__ import annotations

import torch
from torch import Tensor


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """Area under precision as a step function of recall, for each column on its own: `[column]` float64.

    Clips of equal score are one threshold, as scikit-learn's `average_precision_score` has it, so that the order of the
    clips does not count. A column without a positive is NaN.

    Args:
        scores: `[clip, column]`, higher is better; -inf is the worst.
        positive: `[clip, column]` bool.
    """
    if len(scores) == 0:
        return torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    ranked, order = scores.sort(dim=0, descending=True)
    hits = positive.gather(0, order).double().cumsum(0)
    place = torch.arange(1, len(scores) + 1, dtype=torch.float64, device=scores.device)[:, None]
    last = torch.ones_like(positive)
    last[:-1] = ranked[1:] != ranked[:-1]  # the last clip of each threshold
    reached = torch.where(last, hits, torch.zeros_like(hits)).cummax(0).values
    before = torch.cat([torch.zeros_like(reached[:1]), reached[:-1]])
    gained = torch.where(last, hits - before, torch.zeros_like(hits))
    return (gained * hits / place).sum(0) / positive.sum(0)


def mean_average_precision(scores: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """MAP W and mAP M: the mean over adverbs that occur, weighted by their clips, and unweighted. None without clips.

    Args:
        scores: `[clip, adverb]`.
        labels: `[clip]` long.
    """
    if len(labels) == 0:
        return None, None
    positive = torch.nn.functional.one_hot(labels, scores.shape[1]).bool()
    found, support = average_precision(scores, positive), positive.sum(0).double()
    there = support > 0
    weighted = (found[there] * support[there]).sum() / support.sum()
    return float(weighted), float(found[there].mean())


def against_antonym(scores: Tensor, labels: Tensor, opposite: Tensor) -> tuple[Tensor, Tensor]:
    """How each clip's adverb does against its antonym: 1 better, 0 worse, 0.5 equal, NaN where it has none.

    Args:
        scores: `[clip, adverb]`.
        labels: `[clip]` long.
        opposite: `[adverb]` long, -1 for none.

    Returns:
        `[clip]` float64 with ties as they stand in the order of the adverbs, the earlier one wins (the authors order
        them by frequency in training and test), and `[clip]` float64 with ties counted half.
    """
    other = opposite[labels]
    rows = torch.arange(len(labels), device=labels.device)
    own, theirs = scores[rows, labels], scores[rows, other.clamp(min=0)]
    half = (own > theirs).double() + 0.5 * (own == theirs)
    whole = torch.where(own == theirs, (labels < other).double(), half)
    lacking = other < 0
    return whole.masked_fill(lacking, torch.nan), half.masked_fill(lacking, torch.nan)


def antonym_accuracy(right: Tensor, labels: Tensor) -> tuple[float | None, float | None]:
    """Mean over clips, and mean over adverbs of their means; None where no clip has an antonym.

    Args:
        right: `[clip]` of `against_antonym`.
        labels: `[clip]` long.
    """
    known = ~right.isnan()
    if not bool(known.any()):
        return None, None
    right, labels = right[known], labels[known]
    count = torch.bincount(labels).double()
    total = torch.bincount(labels, weights=right, minlength=len(count))
    return float(right.mean()), float((total / count)[count > 0].mean())
