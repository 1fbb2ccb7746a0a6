"""Is a difference between two methods more than the luck of these test clips? A paired permutation test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

DRAWS = 10_000  # random exchanges of a test
_DRAWS_AT_ONCE = 100


def paired_p_value(first: Tensor, second: Tensor, labels: Tensor, seen: Tensor, *, draws: int = DRAWS) -> float:
    """Two-sided p value of the difference in harmonic mean, from the clips that both methods were tested on.

    If the methods were equally good, it would not matter whose answer to a clip is whose. So the answers to each clip
    are exchanged with probability 1/2 (for all seeds at once: a clip is one observation), and p is the share of such
    exchanges whose difference in mean HM over seeds is at least as large as the observed one (approximate
    randomisation; Noreen 1989). It speaks of other clips of these classes, not of other classes or other trainings.

    Args:
        first: `[seed, clip]` bool, True where the first method is right.
        second: The same for the second one, on the same clips with the same seeds.
        labels: `[clip]` class of each clip.
        seen: `[class]` bool; both seen and unseen classes have clips, else HM is 0 and p is 1.
        draws: Number of random exchanges; the smallest possible p is 1 / (draws + 1).

    Raises:
        ValueError: The shapes differ.
    """
    return p_value(first, second, shares_of(labels, seen), torch.arange(len(labels)), draws=draws)


def p_value(first: Tensor, second: Tensor, shares: Tensor, clips: Tensor, *, draws: int = DRAWS) -> float:
    """The test of `paired_p_value` where a clip may be tested more than once, in several draws of a task.

    Args:
        first: `[seed, answer]` bool, True where the first method is right.
        second: The same for the second one.
        shares: `[answer, 2]` what a right answer adds to the accuracies that HM is the harmonic mean of.
        clips: `[answer]` which clip it is about, 0 and on; the answers to one clip are exchanged together.
        draws: Number of random exchanges.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape or first.shape[1:] != clips.shape or shares.shape != (len(clips), 2):
        raise ValueError(
            f"Got answers of shape {tuple(first.shape)} and {tuple(second.shape)} for {len(clips)} clips; expected "
            "[seed, clip] for both."
        )
    n = int(clips.max()) + 1 if len(clips) else 0
    before, after = first.double(), second.double()
    observed = _gap(before @ shares, after @ shares)
    generator = torch.Generator().manual_seed(0)
    extreme = 0
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        swap = torch.randint(0, 2, (count, n), generator=generator)[:, clips].double()
        moved = torch.einsum("dc,sc,cg->dsg", swap, after - before, shares)
        gaps = _gap(before @ shares + moved, after @ shares - moved)
        extreme += int((gaps.abs() >= observed.abs() - 1e-12).sum())
    return (extreme + 1) / (draws + 1)


def shares_of(labels: Tensor, seen: Tensor) -> Tensor:
    """`[clip, 2]` what a right answer adds to S and to U."""
    counts = torch.bincount(labels, minlength=len(seen)).double()
    groups = torch.stack([seen, ~seen], dim=1).double()
    classes = ((counts > 0)[:, None] * groups).sum(dim=0).clamp(min=1)
    return groups[labels] / (counts[labels][:, None] * classes)


def _gap(first: Tensor, second: Tensor) -> Tensor:
    """Difference of mean HM over seeds, from S and U `[..., seed, 2]`."""

    def mean_hm(values: Tensor) -> Tensor:
        return (2 * values.prod(dim=-1) / values.sum(dim=-1).clamp(min=1e-12)).mean(dim=-1)

    return mean_hm(first) - mean_hm(second)


def holm(values: Sequence[float]) -> list[float]:
    """The p values corrected for having asked that many questions (Holm 1979): never above 1, order kept."""
    order = np.argsort(values, kind="stable")
    corrected, largest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[i]))
        corrected[i] = largest
    return corrected
