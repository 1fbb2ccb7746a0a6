"""The benchmark of the separability-semantics curve: what it reads off a descent, and its vocabulary of words."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import curve

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise


def test_the_reading_lies_between_two_steps():
    found = {"nearest": [0.4, 0.5, 0.7], "correlation": [1.0, 0.98, 0.94]}
    at = curve._reading(found, 1.5)  # 0.6 is half of the way from 0.5 to 0.7
    assert at == {"step": 1.5, "nearest": 0.6, "correlation": pytest.approx(0.96)}
    assert curve._reading(found, 2.0) is None


@pytest.mark.parametrize("steps", [0, 5, 47, 48, 600])
def test_thinning_keeps_both_ends_and_no_step_twice(steps):
    shown = curve._thinned(steps)
    assert (shown[0], shown[-1]) == (0, steps)
    assert shown == sorted(set(shown))
    assert len(shown) <= 49


def test_a_trace_is_the_descent_without_a_stop():
    vectors = curve.words(12)
    assert torch.equal(vectors, curve.words(20)[:12])
    assert len(torch.unique(vectors, dim=0)) == 12
    found = curve.trace(vectors, curve.STIFF, steps=6, turn=1.0)
    free = OptimiseConfig(margin=0.0, semantic_weight=12.0, growth=None, correlation=None, turn=1.0, max_steps=6)
    _, outcome = optimise(vectors, free)
    assert found["ratio"] == 12
    assert found["nearest"][0] == pytest.approx(outcome.mean_before, abs=1e-5)
    assert found["nearest"][-1] == pytest.approx(outcome.mean_after, abs=1e-5)
    assert found["correlation"][-1] == pytest.approx(outcome.correlation, abs=1e-5)
    assert found["step"] == list(range(7))


def test_settings_are_ratios_at_margins():
    ratios = {round(setting.ratio(100), 6) for setting in curve.ALL}
    assert ratios == {0.0, 0.111111, 1.0, 9.0, 11.111111, 100.0, 900.0}
    assert len({(setting.ratio(100), setting.margin) for setting in curve.ALL}) == len(curve.ALL)


def test_more_words_than_there_are():
    with pytest.raises(ValueError, match="asked for 1000000"):
        curve.words(1_000_000)
