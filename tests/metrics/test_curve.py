"""The benchmark of the separability-semantics curve: what it reads off a descent, and its vocabulary of words."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import curve
import curve_picture

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


def texts_of(svg):
    root = ElementTree.parse(svg).getroot()
    return ["".join(part.itertext()).strip() for part in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_names_every_line_at_its_end(tmp_path):
    file = Path(curve.__file__).with_name("results") / "curve.json"
    vocabularies = json.loads(file.read_text())["vocabularies"]
    curve_picture.draw(vocabularies, tmp_path / "curve.svg")
    texts = texts_of(tmp_path / "curve.svg")
    released = 3
    assert texts.count("separation alone") == 2 * released + 2  # at both margins, and for the words
    assert texts.count("C: stiff") == texts.count("1: the paper's") == released + 2
    for ratio in ("1/9", "9", "C/9", "9C"):
        assert texts.count(ratio) == 2 * released
    for name in ("UCF, 51 classes", "ActivityNet, 200 classes", "VGGSound, 276 classes", "1,000 words", "10,000 words"):
        assert sum(text.startswith(name) for text in texts) == (1 if "words" in name else 2)
    drawn = Path(curve.__file__).parents[1] / "docs" / "separability-semantics.svg"
    kept = texts_of(drawn)
    assert sorted(kept) == sorted(texts)  # the picture of the page is of these numbers


def test_heavy_lines_differ_in_more_than_colour():
    heavy = (curve_picture.ALONE, curve_picture.PAPER, curve_picture.STIFF)
    assert len({str(line.dashes) for line in heavy}) == len({line.colour for line in heavy}) == 3


@given(st.lists(st.floats(0, 1), max_size=9))
def test_names_keep_their_distance_and_order(values):
    found = curve_picture.apart(values, 0.05, 0.0, 1.0)
    assert len(found) == len(values)
    for i, j in zip(np.argsort(values, kind="stable")[:-1], np.argsort(values, kind="stable")[1:], strict=True):
        assert found[j] - found[i] >= 0.05 - 1e-9
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in found)


def test_names_that_are_apart_stay_where_they_are():
    assert curve_picture.apart([0.9, 0.1, 0.5], 0.05, 0.0, 1.0) == pytest.approx([0.9, 0.1, 0.5])
    assert curve_picture.apart([0.5, 0.5], 0.1, 0.0, 1.0) == pytest.approx([0.45, 0.55])
    assert curve_picture.apart([], 0.1, 0.0, 1.0) == []
