"""The paired permutation test against an exhaustive one, and against scipy's Holm correction done by hand."""

import itertools

import numpy as np
import pytest
import torch

from avshot.bench.significance import holm, p_value, paired_p_value, shares_of


def mean_hm(right, labels, seen):
    """Naive mean harmonic mean over seeds."""
    values = []
    for row in right:
        of_class = {c: np.mean([r for r, y in zip(row, labels, strict=True) if y == c]) for c in set(labels)}
        s = np.mean([v for c, v in of_class.items() if seen[c]])
        u = np.mean([v for c, v in of_class.items() if not seen[c]])
        values.append(0.0 if s + u == 0 else 2 * s * u / (s + u))
    return np.mean(values)


def test_against_every_exchange():
    labels, seen = [0, 0, 1, 2, 2, 3, 3, 3], [True, True, False, False]
    rng = np.random.default_rng(0)
    one, two = rng.random((2, 8)) < 0.8, rng.random((2, 8)) < 0.4
    observed = mean_hm(one, labels, seen) - mean_hm(two, labels, seen)
    extreme = 0
    for exchange in itertools.product([False, True], repeat=8):
        first, second = np.where(exchange, two, one), np.where(exchange, one, two)
        extreme += abs(mean_hm(first, labels, seen) - mean_hm(second, labels, seen)) >= abs(observed) - 1e-12
    exact = extreme / 2**8
    tensors = [torch.tensor(x) for x in (one, two, labels, seen)]
    assert paired_p_value(*tensors, draws=20000) == pytest.approx(exact, abs=0.015)  # 4 standard errors


def test_several_draws_against_every_exchange_of_clips():
    """A clip that two draws test is one observation; HM is that of the means over the draws."""
    draws = [([0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 3]), ([0, 1, 2, 6, 7], [0, 0, 1, 2, 3])]  # clips and their labels
    seen = torch.tensor([True, True, False, False])
    rng = np.random.default_rng(8)
    one, two = (rng.random((2, 11)) < share for share in (0.8, 0.4))
    clips = [clip for found, _ in draws for clip in found]

    def mean(right):
        found = []
        for row in right:
            each = [kinds_of(part, labels) for part, (_, labels) in zip((row[:6], row[6:]), draws, strict=True)]
            base, novel = np.mean(each, axis=0)
            found.append(0.0 if base + novel == 0 else 2 * base * novel / (base + novel))
        return np.mean(found)

    def kinds_of(right, labels):
        of_class = {c: np.mean([r for r, y in zip(right, labels, strict=True) if y == c]) for c in set(labels)}
        return [np.mean([v for c, v in of_class.items() if bool(seen[c]) == kind]) for kind in (True, False)]

    observed, extreme = mean(one) - mean(two), 0
    for exchange in itertools.product([False, True], repeat=8):
        swap = np.array([exchange[clip] for clip in clips])
        first, second = np.where(swap, two, one), np.where(swap, one, two)
        extreme += abs(mean(first) - mean(second)) >= abs(observed) - 1e-12
    shares = torch.cat([shares_of(torch.tensor(labels), seen) / 2 for _, labels in draws])
    found = p_value(torch.tensor(one), torch.tensor(two), shares, torch.tensor(clips), draws=20000)
    assert found == pytest.approx(extreme / 2**8, abs=0.015)
    apart = p_value(torch.tensor(one), torch.tensor(two), shares, torch.arange(11), draws=20000)
    assert abs(apart - found) > 0.02, "else it does not matter that a clip is exchanged in all draws"


def test_equal_answers_differ_by_nothing_and_opposite_ones_by_everything():
    labels, seen = torch.arange(4).repeat(20), torch.tensor([True, True, False, False])
    right = torch.ones(1, 80, dtype=torch.bool)
    assert paired_p_value(right, right, labels, seen) == 1.0
    assert paired_p_value(right, ~right, labels, seen) < 0.01


def test_it_is_calibrated_when_nothing_differs():
    labels, seen = torch.arange(4).repeat(15), torch.tensor([True, True, False, False])
    generator = torch.Generator().manual_seed(0)
    answers = torch.rand(200, 2, 1, 60, generator=generator) < 0.6
    values = [paired_p_value(a, b, labels, seen, draws=200) for a, b in answers]
    assert np.mean(np.array(values) < 0.1) < 0.17  # expected 0.1, standard deviation 0.021


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected \[seed, clip\]"):
        paired_p_value(torch.ones(1, 3), torch.ones(1, 4), torch.zeros(3, dtype=torch.long), torch.ones(1).bool())


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
