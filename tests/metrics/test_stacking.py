"""The curve over beta against the loop: subtract, take the best class, count, all in the arithmetic of the scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.metrics.generalised import choose_beta, gzsl_metrics
from avshot.metrics.stacking import Rivals, exact_curve, predict_calibrated


def loop(scores, labels, seen, beta):
    """S and U at one beta as the released code finds them; 0 without clips."""
    right = predict_calibrated(scores, seen, float(beta)) == labels
    rates = {c: right[labels == c].double().mean().item() for c in labels.unique().tolist()}
    groups = [[rate for c, rate in rates.items() if bool(seen[c]) == group] for group in (True, False)]
    return [float(np.mean(group)) if group else 0.0 for group in groups]


def check(scores, labels, seen, betas):
    curve = Rivals(scores, labels, seen).curve(np.asarray(betas, dtype=np.float64))
    expected = [loop(scores, labels, seen, beta) for beta in betas]
    np.testing.assert_allclose(np.stack([curve.seen, curve.unseen], 1), expected, rtol=0, atol=1e-12)
    for beta in betas:
        right = predict_calibrated(scores, seen, float(beta)) == labels
        assert torch.equal(Rivals(scores, labels, seen).right(float(beta)), right)


# Scores that make every kind of trouble likely: few values (ties), neighbours in floating point (ties that rounding
# makes), any value at all, and infinities.
COARSE = st.integers(-4, 4).map(lambda i: i / 2)
NEIGHBOURS = st.tuples(st.sampled_from([0.1, 1.0, 3.0, 1000.0]), st.integers(-3, 3)).map(
    lambda pair: float(np.float32(pair[0]) + pair[1] * np.spacing(np.float32(pair[0])))
)
ANY = st.floats(-1e4, 1e4, width=32)
WITH_INFINITY = st.one_of(COARSE, st.sampled_from([np.inf, -np.inf]))


@st.composite
def tasks(draw, values=None):
    """Scores, labels, seen classes and values of beta; groups and classes without clips are among them."""
    values = draw(st.sampled_from([COARSE, NEIGHBOURS, ANY, WITH_INFINITY])) if values is None else values
    classes, clips = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    kind = draw(st.sampled_from([torch.float32, torch.float64]))
    rows = draw(st.lists(st.lists(values, min_size=classes, max_size=classes), min_size=clips, max_size=clips))
    labels = torch.tensor(draw(st.lists(st.integers(0, classes - 1), min_size=clips, max_size=clips)))
    seen = torch.tensor(draw(st.lists(st.booleans(), min_size=classes, max_size=classes)))
    betas = draw(st.lists(st.one_of(COARSE, NEIGHBOURS, st.floats(-9, 9)), min_size=1, max_size=6))
    return torch.tensor(rows, dtype=kind), labels, seen, betas


@given(tasks())
@settings(max_examples=150, deadline=None)
def test_the_grid_equals_the_loop(task):
    check(*task)


@given(tasks())
@settings(max_examples=60, deadline=None)
def test_the_grid_equals_the_loop_where_a_clip_goes_over(task):
    """Beta as the rounded difference of two scores, and its neighbours: the jumps themselves."""
    scores, labels, seen, _ = task
    gaps = (scores[:, :, None] - scores[:, None, :]).flatten()
    gaps = gaps[gaps.isfinite()].unique()[:6].numpy()
    check(scores, labels, seen, [0.0, *gaps, *np.nextafter(gaps, np.inf), *np.nextafter(gaps, -np.inf)])


@given(tasks(st.one_of(COARSE, st.sampled_from([np.inf, -np.inf]), st.floats(-9, 9, width=16))))
@settings(max_examples=100, deadline=None)
def test_the_exact_curve_equals_the_loop_at_its_points_and_misses_no_step(task):
    scores, labels, seen, betas = task
    scores = scores.double()
    curve = exact_curve(scores, labels, seen)
    expected = [loop(scores, labels, seen, beta) for beta in curve.beta]
    np.testing.assert_allclose(np.stack([curve.seen, curve.unseen], 1), expected, rtol=0, atol=1e-12)
    assert (np.diff(curve.beta) > 0).all()
    assert (np.diff(curve.seen) <= 0).all()
    assert (np.diff(curve.unseen) >= 0).all()
    points = set(zip(curve.seen, curve.unseen, strict=True))
    for beta in np.array(betas) + 2**-20:  # off every jump: differences of these scores are multiples of less bits
        gaps = np.abs((scores[:, :, None] - scores[:, None, :]).numpy() - beta)
        if np.nanmin(np.where(np.isfinite(gaps), gaps, np.inf)) > 0:
            assert tuple(np.round(loop(scores, labels, seen, beta), 12)) in points


@given(tasks())
@settings(max_examples=60, deadline=None)
def test_metrics_equal_counting(task):
    scores, labels, seen, betas = task
    found = gzsl_metrics(scores, labels, seen, betas[0])
    s, u = loop(scores, labels, seen, betas[0])
    assert found["S"] == (pytest.approx(s, abs=1e-12) if seen[labels].any() else None)
    assert found["U"] == (pytest.approx(u, abs=1e-12) if (~seen[labels]).any() else None)
    unseen = ~seen[labels]
    if unseen.any():
        columns = (~seen).nonzero()[:, 0]
        right = columns[scores[unseen][:, columns].argmax(dim=1)] == labels[unseen]
        rates = [right[labels[unseen] == c].double().mean().item() for c in labels[unseen].unique()]
        assert found["ZSL"] == pytest.approx(np.mean(rates), abs=1e-12)
    assert found["without_clips"] == len(seen) - len(labels.unique())


def test_a_tie_that_only_rounding_makes_goes_to_the_first_class():
    close = np.nextafter(np.float32(1), np.float32(2))
    scores, labels = torch.tensor([[1.0, float(close), -9.0]]), torch.tensor([0])
    seen = torch.tensor([True, True, False])
    assert Rivals(scores, labels, seen).curve(np.array([0.0, 5.0])).seen.tolist() == [0.0, 1.0]


def test_the_order_of_beta_and_of_the_columns_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(50, 9, generator=generator), torch.randint(9, (50,), generator=generator)
    seen, betas = torch.arange(9) < 5, np.linspace(-2, 2, 11)
    whole = Rivals(scores, labels, seen).curve(betas)
    order, mixed = np.random.default_rng(0).permutation(11), torch.randperm(9, generator=generator)
    again = Rivals(scores[:, mixed], mixed.argsort()[labels], seen[mixed]).curve(betas[order])
    np.testing.assert_array_equal(again.seen, whole.seen[order])
    np.testing.assert_array_equal(again.unseen, whole.unseen[order])
    assert again.beta.tolist() == betas[order].tolist()


def test_many_blocks_are_as_one(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    scores, labels = torch.randn(40, 7, generator=generator), torch.randint(7, (40,), generator=generator)
    seen = torch.tensor([True, False, True, True, False, True, False])
    whole = exact_curve(scores, labels, seen)
    monkeypatch.setattr("avshot.metrics.stacking._BLOCK", 20)
    again = exact_curve(scores, labels, seen)
    assert np.array_equal(again.beta, whole.beta)
    assert np.array_equal(again.seen, whole.seen)
    assert np.array_equal(again.unseen, whole.unseen)


def test_the_scores_stay_as_they_were():
    scores = torch.randn(6, 4)
    before = scores.clone()
    gzsl_metrics(scores, torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([True, True, False, False]), 0.3)
    assert torch.equal(scores, before)


def test_no_clips_at_all():
    scores, labels, seen = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), torch.tensor([True, False, False])
    for curve in (Rivals(scores, labels, seen).curve(np.zeros(1)), exact_curve(scores, labels, seen)):
        assert (curve.beta.tolist(), curve.seen.tolist(), curve.unseen.tolist()) == ([0.0], [0.0], [0.0])
    assert choose_beta(scores, labels, seen, "exact") == (0.0, 0.0)
