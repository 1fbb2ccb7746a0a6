"""Guessed adverbs and how sure they must be, against loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot.nn.pseudo_adverbs import AdaptiveThreshold, Guesses, guesses


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 500))
def test_guesses_against_a_loop(clips, count, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(clips, 6, generator=generator)
    opposite = torch.tensor([2, -1, 0, 5, -1, 3])
    found = guesses(scores, opposite, count)
    assert found.adverb.shape == (clips, min(count, 6))
    for i in range(clips):
        leads = sorted(((float(scores[i, v] - scores[i, opposite[v]]), v) for v in (0, 2, 3, 5)), reverse=True)
        for k, (lead, adverb) in enumerate(leads[:count]):
            assert found.there[i, k]
            assert found.adverb[i, k] == adverb
            assert found.antonym[i, k] == opposite[adverb]
            own, other = math.exp(float(scores[i, adverb])), math.exp(float(scores[i, opposite[adverb]]))
            assert found.confidence[i, k].item() == pytest.approx(own / (own + other), rel=1e-4)
            assert lead == pytest.approx(math.log(own / other), abs=1e-4)
        assert not found.there[i, 4:].any()


def some_guesses(adverbs, confidences):
    adverb, confidence = torch.tensor(adverbs), torch.tensor(confidences)
    return Guesses(adverb, 1 - adverb, confidence, torch.ones_like(adverb, dtype=torch.bool))


def test_thresholds_follow_the_confidence_of_each_adverb():
    rows, adaptive = torch.arange(3), AdaptiveThreshold(3, 0.6, 0.1, memory=0.5)
    assert adaptive.thresholds().tolist() == pytest.approx([0.6] * 3)
    batches = [([[0, 1], [0, 2]], [[0.9, 0.7], [0.5, 0.6]]), ([[0, 2]], [[0.8, 0.65]])]
    sums, number = [0.0] * 3, 0.0
    for adverbs, confidences in batches:
        found = some_guesses(adverbs, confidences)
        before = adaptive.thresholds()
        sure = adaptive(rows, found, remember=True)
        assert torch.equal(sure, found.confidence > before[found.adverb])
        sums = [0.5 * value for value in sums]
        number *= 0.5
        for adverb, confidence in zip(
            found.adverb.flatten().tolist(), found.confidence.flatten().tolist(), strict=True
        ):
            sums[adverb] += confidence
            number += 1
        expected = [0.6 * (value / (number / 3)) ** 0.1 for value in sums]
        assert adaptive.thresholds().tolist() == pytest.approx(expected)


def test_a_look_changes_no_threshold_and_none_is_fixed():
    rows, found = torch.arange(2), some_guesses([[0], [1]], [[0.7], [0.61]])
    adaptive = AdaptiveThreshold(2, 0.6, 0.1)
    assert adaptive(rows, found, remember=False).all()
    assert adaptive.number == 0
    fixed = AdaptiveThreshold(2, 0.65, 0.0)
    assert fixed(rows, found, remember=True).flatten().tolist() == [True, False]
    assert fixed.thresholds().tolist() == pytest.approx([0.65, 0.65])


def test_places_that_are_no_guess_count_for_nothing():
    found = some_guesses([[0, 1]], [[0.9, 0.9]])
    found = Guesses(found.adverb, found.antonym, found.confidence, torch.tensor([[True, False]]))
    adaptive = AdaptiveThreshold(2, 0.6, 0.1)
    assert adaptive(torch.arange(2), found, remember=True).tolist() == [[True, False]]
    assert adaptive.number == 1
    assert adaptive.confidence.tolist() == pytest.approx([0.9, 0.0])
