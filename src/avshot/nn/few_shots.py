"""Playing few shots with classes that have many clips: how much of a class mean should its name decide?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WEIGHTS = tuple(step / 10 for step in range(11))  # of the name, that are tried


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
        lift: `[pattern, class]`, added to scores of `means`: their doubt.
        lift_shown: `[pattern]`, the same for a mean of as many clips as are shown.
        lift_named: `[pattern]`, the same for what a name predicts.
    """

    value: Tensor
    real: Tensor
    pattern: Tensor
    labels: Tensor
    means: Tensor
    named: Tensor
    precision: Tensor
    lift: Tensor
    lift_shown: Tensor
    lift_named: Tensor

    def scores(self, means: Tensor, lift: Tensor) -> Tensor:
        """Discriminants of all clips and `means [class, dim]`: `[clip, class]`.

        They are `x' P m - m' P m / 2` and the `lift` `[pattern, class]`.
        """
        found = self.value.new_zeros(len(self.value), len(means))
        for i, precision in enumerate(self.precision):
            pulled, rows = means @ precision, self.pattern == i
            found[rows] = self.value[rows] @ pulled.T - (means * pulled).sum(dim=1) / 2 + lift[i]
        return found


def best_weight(clips: Played, shots: int, draws: int) -> float:
    """The share of the name, in tenths, under which classes with few clips are best told apart; the least on ties.

    Each class in turn has `shots` of its clips, drawn `draws` times from torch's global generator; all others keep
    their means. It wins a clip whose score for it is above the best score of another class by more than a threshold.
    What counts, for each share at its best threshold, is the share of its other clips that it wins less the share of
    all others' clips that it wins (Youden, "Index for Rating Diagnostic Tests", Cancer 3, 1950), mean over classes.

    The threshold itself is not of use: to clips that its covariance was measured on everything is nearer. Where no
    class has other clips, half.
    """
    count = len(clips.means)
    own = torch.nn.functional.one_hot(clips.labels, count).bool()
    rivals = _rivals(clips.scores(clips.means, clips.lift))
    shares = torch.tensor(WEIGHTS).to(clips.value)
    margins: list[list[Tensor]] = [[] for _ in WEIGHTS]
    kept = []
    for _ in range(draws):
        drawn = _drawn(clips.labels, count, shots)
        shown = _means_of(clips, drawn, count)
        kept.append(~(drawn[:, None] & own))
        for found, share in zip(margins, shares, strict=True):
            lift = (1 - share) ** 2 * clips.lift_shown + share**2 * clips.lift_named
            mixed = (1 - share) * shown + share * clips.named
            found.append(clips.scores(mixed, lift[:, None].expand(-1, count)) - rivals)
    used, own = torch.cat(kept), own.repeat(draws, 1)
    if count < 2 or not bool((used & own).any()):
        return 0.5
    vote = _votes(own & used) - _votes(~own)
    gain = torch.stack([_most_votes(torch.cat(found)[used], vote[used]) for found in margins])
    return float(shares[(gain >= gain.max() - 1e-12).nonzero()[0, 0]])


def _votes(use: Tensor) -> Tensor:
    """Weights `[clip, class]` of the clips in `use`, the same sum for each class that has any, 1 in all."""
    number = use.sum(dim=0)
    return use / number.clamp(min=1) / (number > 0).sum().clamp(min=1)


def _most_votes(margins: Tensor, votes: Tensor) -> Tensor:
    """The largest sum of the votes of all margins above a threshold; equal margins are above it together."""
    value, order = margins.sort(descending=True)
    last = torch.cat([value[1:] < value[:-1], value.new_ones(1, dtype=torch.bool)])
    return votes[order].cumsum(dim=0)[last].amax()


def _rivals(scores: Tensor) -> Tensor:
    """`[clip, class]` the best score of all classes but this one."""
    if scores.shape[1] < 2:
        return torch.full_like(scores, -torch.inf)
    best = scores.topk(2, dim=1)
    return torch.where(
        best.indices[:, :1] == torch.arange(scores.shape[1]).to(scores.device), best.values[:, 1:], best.values[:, :1]
    )


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
