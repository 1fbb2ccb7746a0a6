"""Intervals and tests against scipy and loops; shares counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from avshot.games.judge import Round
from avshot.games.measures import mean_interval, measure, paired_p, wilson


@given(st.integers(1, 400), st.floats(0, 1))
@settings(deadline=None)
def test_wilsons_interval_is_that_of_scipy(n, share):
    k = round(share * n)
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60), st.integers(0, 1000))
@settings(deadline=None)
def test_the_paired_test_of_successes_is_the_sign_test(scores, seed):
    other = np.random.default_rng(seed).integers(0, 2, len(scores)).astype(float)
    apart = [a - b for a, b in zip(scores, other, strict=True) if a != b]
    expected = binomtest(sum(d > 0 for d in apart), len(apart)).pvalue if apart else 1.0
    assert paired_p(scores, other) == pytest.approx(expected)
    assert paired_p(other, scores) == pytest.approx(expected)


def test_the_paired_test_of_overlaps_counts_signs():
    first, second = [0.9, 0.5, 0.7, 0.2], [0.1, 0.4, 0.4, 0.3]
    apart = [a - b for a, b in zip(first, second, strict=True)]
    sums = [sum((2 * s - 1) * d for s, d in zip(signs, apart, strict=True)) for signs in np.ndindex(2, 2, 2, 2)]
    exact = np.mean([abs(total) >= abs(sum(apart)) - 1e-9 for total in sums])
    assert paired_p(first, second) == pytest.approx(exact, abs=0.02)
    assert paired_p(first, first) == 1


def test_intervals_of_overlaps():
    scores = np.random.default_rng(0).random(200)
    low, high = mean_interval(scores.tolist())
    reach = 1.96 * scores.std(ddof=1) / np.sqrt(200)
    assert (low, high) == pytest.approx((scores.mean() - reach, scores.mean() + reach), abs=1e-4)
    assert mean_interval([1.0, 0.0, 1.0, 1.0]) == wilson(3, 4)
    assert mean_interval([0.5]) == (0, 1)


def one(message, score, place=0, choice=0, understood=True):
    return Round("test/0/0", place, message, (), choice, "", understood, 2 * score - 1, score)


def test_shares_counted_by_hand():
    rounds = [
        one("a red cube", 1.0, place=0, choice=0),
        one("metal", 0.0, place=1, choice=0),
        one("", 1.0, place=1, choice=1),
        one("Grey, small", 0.0, place=0, choice=None, understood=False),
    ]
    found = measure(rounds)
    assert found["score"] == 0.5
    assert (found["low"], found["high"]) == wilson(2, 4)
    assert found["unparsed"] == 0.25
    assert found["left"] == pytest.approx(2 / 3)
    assert (found["score_left"], found["score_right"]) == (0.5, 0.5)
    assert found["words"] == 6 / 4
    assert found["colours"] == pytest.approx(2 / 6)
    assert found["empty"] == 0.25


def test_silence_has_no_share_of_colours():
    found = measure([one("", 1.0), one("", 0.0)])
    assert found["colours"] is None
    assert found["score_right"] is None
    assert measure([one("", 1.0, choice=None, understood=False)])["left"] is None
