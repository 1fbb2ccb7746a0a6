"""How many clips of trained classes are lost: counted clip by clip, for any share that may be."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.nn.gaussian_classes import Known, widening_of
from avshot.prediction.forgetting import DRAWN, offset_of
from avshot.prediction.taught import few_of


def make(seed, classes=4, few=2, spread=2.0):
    """Trained and taught classes that overlap, and a Run that judges scores by a softmax with a beta of 0.3."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    means, text = spread * torch.randn(classes, classes, **draw), torch.randn(classes + few, 3, **draw)
    known = Known.of(means, torch.eye(classes, dtype=torch.float64), text[:classes])
    kept = {
        "taught/mean": spread * torch.randn(few, classes, **draw),
        "taught/count": torch.tensor([5, 1][:few]),
        "taught/scatter": 40 * torch.rand(few, **draw),
    }
    seen = torch.tensor([True] * (classes - 1) + [False])
    run = SimpleNamespace(
        task=SimpleNamespace(apply=lambda scores, seen, settings: scores - settings["beta"] * seen),
        settings={"beta": 0.3},
        temperature=1.5,
    )
    return run, SimpleNamespace(known=known, classes=SimpleNamespace(seen=seen)), kept, text[classes:]


def lost_share(run, space, kept, text, offset):
    """Draw the clips, judge each before and after, count."""
    known, (few, widening) = space.known, few_of(space.known, kept, text)
    value, own = known.drawn(DRAWN, widening)
    scores = value @ torch.linalg.inv(known.white)
    lost = 0
    for x, s, c in zip(value, scores, own.tolist(), strict=True):
        p = torch.log_softmax((s - 0.3 * space.classes.seen) / 1.5, dim=0)
        others = p + known.log_densities(x[None], widening)[0].logsumexp(dim=0)
        taught = known.log_densities_of(few, x[None], widening)[0] + offset
        lost += int(p.argmax()) == c and float(taught.max()) > float(others[c]) + 1e-9
    return lost / len(value)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_more_is_lost_than_may_be_and_no_less_than_needed(seed):
    made = make(seed, spread=1.2)
    unbound = lost_share(*made, 0.0)
    assert unbound > 0.02  # else there is nothing to hold back
    for lose in (0.0, 0.02):
        offset = float(offset_of(*made, lose))
        assert offset < 0
        assert lost_share(*made, offset) <= lose
        assert lost_share(*made, offset + 0.2) > lose


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_the_offset_is_never_above_zero_and_grows_with_the_share(seed, one, other):
    made = make(seed)
    low, high = (float(offset_of(*made, lose)) for lose in sorted((one, other)))
    assert low <= high <= 0
    assert float(offset_of(*made, 1.0)) == 0


def test_taught_classes_far_from_all_others_need_no_offset():
    run, space, kept, text = make(0)
    kept["taught/mean"] = kept["taught/mean"] + 100.0
    assert float(offset_of(run, space, kept, text, 0.0)) == 0


def test_the_widening_is_that_of_the_taught_clips():
    _, space, kept, text = make(0)
    few, widening = few_of(space.known, kept, text)
    assert widening == widening_of(kept["taught/scatter"], kept["taught/count"], 4)
    torch.testing.assert_close(few.mean, kept["taught/mean"] @ space.known.white)
