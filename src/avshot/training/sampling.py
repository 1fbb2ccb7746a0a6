"""Which clips go into which batch: class-balanced draws, and negatives of other classes."""

from __future__ import annotations

import torch
from torch import Tensor

from avshot.errors import BadDataset


class BalancedSampler:
    """Draw clips with replacement so that every class is equally likely (the field's sampler, in closed form).

    A class is drawn uniformly, then one of its clips. The released code gives each clip the weight 1/(C n_c), which is
    the same distribution.

    Args:
        labels: `[clip]` class of each training clip; classes without clips are never drawn.
        balanced: False draws every clip alike, and negatives by the clips that their classes have.

    Raises:
        ValueError: No clips.
    """

    def __init__(self, labels: Tensor, *, balanced: bool = True) -> None:
        if len(labels) == 0:
            raise BadDataset("There is nothing to train on: the training fold has 0 clips. Check the folds.")
        self.balanced = balanced
        self.classes = labels.unique()
        self._order = labels.argsort(stable=True)
        self._counts = torch.bincount(labels)[self.classes]
        self._starts = self._counts.cumsum(0) - self._counts
        self._rank = torch.full((int(labels.max()) + 1,), -1, dtype=torch.long)
        self._rank[self.classes] = torch.arange(len(self.classes))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`[count]` positions of clips."""
        if not self.balanced:
            return torch.randint(len(self._order), (count,), generator=generator)
        return self._clip_of(torch.randint(len(self.classes), (count,), generator=generator), generator)

    def negatives(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One clip of another class for each label `[clip]`: class uniform over the others, then clip uniform.

        Unless they are balanced: then uniform over all clips of other classes.

        Raises:
            ValueError: Fewer than two classes have clips.
        """
        n = len(self.classes)
        if n < 2:
            raise BadDataset("Negatives need clips of at least two classes; the training fold has one.")
        if not self.balanced:
            own = self._rank[labels]
            free = len(self._order) - self._counts[own]
            drawn = (torch.rand(labels.shape, generator=generator, dtype=torch.float64) * free).long()
            drawn = drawn.minimum(free - 1)
            return self._order[torch.where(drawn < self._starts[own], drawn, drawn + self._counts[own])]
        shift = torch.randint(1, n, labels.shape, generator=generator)
        return self._clip_of((self._rank[labels] + shift) % n, generator)

    def _clip_of(self, rank: Tensor, generator: torch.Generator) -> Tensor:
        counts = self._counts[rank]
        within = (torch.rand(rank.shape, generator=generator, dtype=torch.float64) * counts).long()
        return self._order[self._starts[rank] + within.minimum(counts - 1)]
