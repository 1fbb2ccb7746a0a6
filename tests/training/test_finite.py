"""A number that is not finite is blamed on the clip or class that brought it in."""

import math
from dataclasses import replace

import pytest
import torch

from avshot.training.finite import checked_scores, why_not_finite
from avshot.types import Classes, Features

IDS = ["first", "second", "third"]


def features():
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    zero = torch.zeros(3, 2)
    return Features(torch.ones(3, 2, 4), torch.ones(3, 2, 3), mask, mask.clone(), zero, zero.clone())


def classes(**changed):
    text = torch.ones(2, 5)
    for row, value in changed.items():
        text[int(row[-1]), 2] = value
    return Classes(("dog", "cat"), {"w2v": text}, torch.tensor([True, False]))


def with_value(modality, value, clip, step):
    found = features()
    getattr(found, modality)[clip, step, 1] = value
    return found


def test_finite_scores_pass_as_they_are():
    scores = torch.tensor([[1.0, 2.0]] * 3)
    assert checked_scores("devise", scores, features(), classes(), IDS) is scores
    none = torch.zeros(0, 2)
    assert checked_scores("devise", none, features()[:0], classes(), []) is none
    no_class = torch.zeros(3, 0)
    assert checked_scores("devise", no_class, features(), classes().select([]), IDS) is no_class


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_a_clip_is_named(value, modality):
    found, scores = with_value(modality, value, 2, 1), torch.zeros(3, 2)
    scores[1, 0] = math.nan
    with pytest.raises(
        ValueError, match=r"^Method 'eszsl' gives clip 'second' scores that are not finite, because"
    ) as e:
        checked_scores("eszsl", scores, found, classes(), IDS)
    assert f"the {modality} features of clip 'third' hold {value};" in str(e.value)


def test_a_class_is_named():
    scores = torch.full((3, 2), math.nan)
    with pytest.raises(ValueError, match=r"because the class embedding 'w2v' of 'cat' holds nan; embed it again\.$"):
        checked_scores("kda", scores, features(), classes(row1=math.nan), IDS)


def test_the_method_is_named_where_its_inputs_are_finite():
    scores = torch.tensor([[0.0, 1.0], [0.0, math.inf], [0.0, 1.0]])
    with pytest.raises(
        ValueError, match=r"'kda' gives clip 'second' .*although the inputs are \(up to 1\); its weights"
    ):
        checked_scores("kda", scores, features(), classes(), IDS)


def test_what_lies_under_a_false_mask_does_not_count():
    hidden = with_value("audio", math.nan, 1, 1)
    assert why_not_finite("X", classes(), [(IDS, hidden)], "do Y") == "X, although the inputs are (up to 1); do Y."


def test_features_too_large_to_compute_with_are_named():
    large = with_value("visual", -1e20, 0, 0)
    assert "too large (up to 1e+20); scale them" in why_not_finite("X", classes(), [(IDS, large)], "do Y")


def test_a_modality_that_does_not_exist_is_no_fault():
    nothing = replace(features(), audio=torch.zeros(3, 2, 0), audio_mask=torch.zeros(3, 2, dtype=torch.bool))
    assert "up to 1" in why_not_finite("X", classes(), [(IDS, nothing)], "do Y")


def test_clips_are_read_until_one_is_at_fault():
    def parts():
        yield IDS, features()
        yield ["fourth", "fifth", "sixth"], with_value("audio", math.nan, 1, 0)
        pytest.fail("the clip at fault was already found")

    assert "of clip 'fifth' hold nan" in why_not_finite("X", classes(), parts(), "do Y")
