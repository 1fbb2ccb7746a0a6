"""Playing few shots with classes that have many clips: how much of a class mean should its name decide?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 10  # of the weights that are tried, from 0 to 1


@dataclass(frozen=True)
class Played:
    """Clips of classes that have many, and what is known of these classes.

    Attributes:
        value: `[clip, dim]`, 0 where a clip lacks a channel.
        real: `[clip, dim]` bool.
        pattern: `[clip]` which of the precisions is a clip's.
        labels: `[clip]` index into the classes.
        means: `[class, dim]` of all their clips.
        named: `[class, dim]`, what the name of each predicts without its clips.
        precision: `[pattern, dim, dim]`, symmetric, 0 outside the channels of the pattern.
    """

    value: Tensor
    real: Tensor
    pattern: Tensor
    labels: Tensor
    means: Tensor
    named: Tensor
    precision: Tensor

    def scores(self, means: Tensor) -> Tensor:
        """Discriminants `x' P m - m' P m / 2` of all clips and `means [class, dim]`: `[clip, class]`."""
        found = self.value.new_zeros(len(self.value), len(means))
        for i, precision in enumerate(self.precision):
            pulled, rows = means @ precision, self.pattern == i
            found[rows] = self.value[rows] @ pulled.T - (means * pulled).sum(dim=1) / 2
        return found


def best_weight(clips: Played, shots: int, draws: int) -> float:
    """The share of the name, in tenths, under which classes with few clips are best recognised; the least on ties.

    Each class in turn has `shots` of its clips, drawn `draws` times from torch's global generator; all others keep
    their means. What counts is the mean over classes of how many of its other clips are nearest to it. Classes without
    other clips do not count; without any that does, half.
    """
    weights = torch.linspace(0, 1, STEPS + 1, dtype=clips.value.dtype, device=clips.value.device)
    count = len(clips.means)
    own = torch.nn.functional.one_hot(clips.labels, count).bool()
    others = clips.scores(clips.means).masked_fill(own, -torch.inf).amax(dim=1)
    hits, tried = weights.new_zeros(len(weights), count), weights.new_zeros(count)
    for _ in range(draws):
        drawn = _drawn(clips.labels, count, shots)
        shown = _means_of(clips, drawn, count)
        for i, weight in enumerate(weights):
            scores = clips.scores((1 - weight) * shown + weight * clips.named)[own]
            hits[i].index_add_(0, clips.labels[~drawn], (scores > others)[~drawn].to(hits))
        tried += torch.bincount(clips.labels[~drawn], minlength=count)
    judged = tried > 0
    if not bool(judged.any()):
        return 0.5
    recall = (hits[:, judged] / tried[judged]).mean(dim=1)
    return float(weights[(recall >= recall.max() - 1e-12).nonzero()[0, 0]])


def _drawn(labels: Tensor, count: int, shots: int) -> Tensor:
    """`[clip]` bool: some clips of each class, drawn without replacement."""
    order = torch.randperm(len(labels), device="cpu").to(labels.device)
    own = torch.nn.functional.one_hot(labels[order], count)
    place = (own.cumsum(dim=0) * own).sum(dim=1)
    drawn = torch.zeros_like(labels, dtype=torch.bool)
    drawn[order] = place <= shots
    return drawn


def _means_of(clips: Played, chosen: Tensor, count: int) -> Tensor:
    """Means `[class, dim]` over the chosen clips `[clip]` that have the channel; the name's where none has it."""
    shape = (count, clips.value.shape[1])
    total = clips.value.new_zeros(shape).index_add_(0, clips.labels[chosen], clips.value[chosen])
    number = clips.value.new_zeros(shape).index_add_(0, clips.labels[chosen], clips.real[chosen].to(clips.value))
    return torch.where(number > 0, total / number.clamp(min=1), clips.named)
