"""Reliability and thresholds by marks, against scikit-learn, scipy and counting by hand."""

import numpy as np
import pytest

from avshot.errors import BadSetting
from avshot.events import Event
from avshot.events.reliability import reliability, thresholds, wilson
from avshot.events.review import Marked

DOG = Event("a.mp4", 1, 2, "dog")


def marked(pairs, name="dog"):
    return [
        Marked(Event("a.mp4", i, i + 1, name, p), "right" if right else "wrong", None)
        for i, (p, right) in enumerate(pairs)
    ]


def test_reliability_is_the_share_that_was_right_in_each_bin():
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(0)
    p = rng.random(200)
    right = rng.random(200) < p
    found = reliability(marked(zip(p.tolist(), right.tolist(), strict=True)), bins=5)
    shares, means = calibration.calibration_curve(right, p, n_bins=5, strategy="quantile")
    assert [one.right for one in found] == pytest.approx(shares.tolist())
    assert [one.probability for one in found] == pytest.approx(means.tolist())
    assert sum(one.marks for one in found) == 200
    assert reliability([]) == []
    with pytest.raises(BadSetting, match="bins"):
        reliability([], bins=0)


def test_the_threshold_is_the_lowest_with_the_wanted_precision():
    marks = marked([(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.5, False), (0.9, False)])
    (advice,) = thresholds(marks, 0.6)
    assert (advice.threshold, advice.precision, advice.marks, advice.enough) == (0.6, 0.6, 5, False)
    (advice,) = thresholds(marks, 0.99)
    assert (advice.threshold, advice.precision, advice.marks) == (None, 0.5, 6)
    (advice,) = thresholds(marked([(0.5, True)] * 20), 0.9)
    assert (advice.threshold, advice.enough) == (0.5, True)
    assert thresholds([Marked(DOG, "missed", DOG)]) == []
    with pytest.raises(BadSetting, match="precision"):
        thresholds(marks, 90)


def test_the_lower_bound_is_that_of_statistics():
    stats = pytest.importorskip("scipy.stats")
    for right, count in [(0, 1), (1, 1), (18, 20), (50, 100)]:
        expected = stats.binomtest(right, count).proportion_ci(0.95, "wilson").low
        assert wilson(right, count) == pytest.approx(expected, abs=1e-4)
