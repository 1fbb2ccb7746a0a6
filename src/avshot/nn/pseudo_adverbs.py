"""Adverbs for clips that have none, from what a method thinks of each adverb and its antonym.

Source: Doughty and Snoek, "How do you do it? Fine-grained action understanding with pseudo-adverbs", CVPR 2022, and the
authors' program (PseudoAdverbs f96212c).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avshot.nn import batch_means as together


@dataclass(frozen=True)
class Guesses:
    """Some adverbs for each clip.

    Attributes:
        adverb: `[clip, guess]` long, the largest lead over their antonym first.
        antonym: `[clip, guess]` long.
        confidence: `[clip, guess]` softmax of the scores of adverb and antonym: 0.5 means undecided.
        there: `[clip, guess]` bool: False where fewer adverbs have an antonym.
    """

    adverb: Tensor
    antonym: Tensor
    confidence: Tensor
    there: Tensor


def guesses(scores: Tensor, opposite: Tensor, count: int) -> Guesses:
    """The adverbs that lead their antonyms most.

    Args:
        scores: `[clip, adverb]`, each clip under its own action.
        opposite: `[adverb]` long, -1 where no antonym is known: such an adverb is never guessed.
        count: How many of them, at most.
    """
    known = opposite >= 0
    antonym = opposite.clamp(min=0)
    lead = (scores - scores[:, antonym]).masked_fill(~known, -torch.inf)
    best, adverb = lead.topk(min(count, len(opposite)), dim=1)
    return Guesses(adverb, antonym[adverb], best.sigmoid(), best > -torch.inf)


class AdaptiveThreshold(nn.Module):
    """How confident a guess must be: `threshold * r ^ smoothing`, where r is how confident guesses of that adverb are.

    r is the sum of the confidences of an adverb's guesses, divided by the mean number of guesses of an adverb: adverbs
    that are guessed often must be surer. The authors compute it at the end of each epoch for the next one; a method
    does not know of epochs, so ours is a running sum that forgets. Before the first guess the threshold is `threshold`.

    Args:
        adverbs: How many there are.
        threshold: tau of the paper; 0 takes every guess.
        smoothing: lambda of the paper; 0 keeps the threshold fixed.
        memory: Share of the sums that stays from one batch to the next.
    """

    confidence: Tensor
    number: Tensor

    def __init__(self, adverbs: int, threshold: float, smoothing: float, *, memory: float = 0.99) -> None:
        super().__init__()
        self.threshold, self.smoothing, self.memory = threshold, smoothing, memory
        self.register_buffer("confidence", torch.zeros(adverbs))
        self.register_buffer("number", torch.zeros(()))

    def thresholds(self) -> Tensor:
        """The threshold of each adverb, `[adverb]`."""
        mean = self.number / len(self.confidence)
        relative = torch.where(self.number > 0, self.confidence / mean, torch.ones_like(self.confidence))
        return self.threshold * relative**self.smoothing

    def forward(self, rows: Tensor, found: Guesses, *, remember: bool) -> Tensor:
        """`[clip, guess]` bool: which guesses are confident.

        Args:
            rows: `[adverb]` long: where each adverb of the guesses stands among those here.
            found: The guesses.
            remember: They move the thresholds of the next batches.
        """
        place = rows[found.adverb]
        sure = found.there & (found.confidence > self.thresholds()[place])
        if remember:
            weight = found.there.to(self.confidence.dtype)
            sums = torch.zeros_like(self.confidence).index_add_(
                0, place.flatten(), (weight * found.confidence).flatten().to(self.confidence.dtype)
            )
            self.confidence.mul_(self.memory).add_(together.total(sums))
            self.number.mul_(self.memory).add_(together.total(weight.sum()))
        return sure
