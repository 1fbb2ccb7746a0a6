"""Draws that are not balanced over classes (balanced ones: test_loop)."""

import pytest
import torch

from avshot.training.sampling import BalancedSampler

LABELS = torch.tensor([5, 2, 5, 5, 7, 2, 5, 5])


def test_without_balance_every_clip_is_equally_likely():
    sampler = BalancedSampler(LABELS, balanced=False)
    drawn = torch.bincount(sampler.draw(16_000, torch.Generator().manual_seed(0)), minlength=len(LABELS))
    assert (drawn / 16_000 - 1 / len(LABELS)).abs().max() < 0.01


@pytest.mark.parametrize("label", [2, 5, 7])
def test_without_balance_negatives_are_all_clips_of_other_classes_alike(label):
    sampler = BalancedSampler(LABELS, balanced=False)
    wanted = torch.full((16_000,), label)
    drawn = torch.bincount(sampler.negatives(wanted, torch.Generator().manual_seed(1)), minlength=len(LABELS)) / 16_000
    others = label != LABELS
    assert drawn[~others].sum() == 0
    assert (drawn[others] - 1 / int(others.sum())).abs().max() < 0.015


def test_without_balance_negatives_need_two_classes_too():
    with pytest.raises(ValueError, match="at least two classes"):
        BalancedSampler(torch.tensor([2, 2]), balanced=False).negatives(torch.tensor([2]), torch.Generator())
