"""The three loss terms of class-embedding optimisation against loops written from the formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.classes.optimise import losses, ranking_loss
from avshot.classes.optimise.losses import pairwise_distance, proximity_loss, rowwise_distance, separation_loss
from avshot.classes.optimise.outcome import nearest, rank_correlation


def naive_distance(a, b, kind):
    if kind == "cosine":
        return 1 - float(a @ b) / (float(a.norm()) * float(b.norm()))
    return (
        math.sqrt(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)))
        if kind == "l2"
        else sum(abs(x - y) for x, y in zip(a.tolist(), b.tolist(), strict=True))
    )


def naive_ranking(w, t, margin, kind):
    n, total = len(w), 0.0
    for c in range(n):
        for i in range(n):
            for j in range(n):
                if len({c, i, j}) < 3:
                    continue
                before = naive_distance(t[c], t[i], kind) - naive_distance(t[c], t[j], kind)
                if abs(before) < 1e-12:
                    continue
                now = naive_distance(w[c], w[i], kind) - naive_distance(w[c], w[j], kind)
                total += max(0.0, margin - math.copysign(1.0, before) * now)
    return total


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", losses.DISTANCES)
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [3, 4, 9])
def test_ranking_loss_equals_the_triple_loop(kind, margin, count):
    w, t = draw(0, count, 5), draw(1, count, 7)
    wanted = naive_ranking(w, t, margin, kind)
    assert float(ranking_loss(w, t, margin=margin, distance=kind, reduction="sum")) == pytest.approx(wanted, rel=1e-9)
    triples = count * (count - 1) * (count - 2)
    mean = ranking_loss(w, t, margin=margin, distance=kind, reduction="mean")
    assert float(mean) == pytest.approx(wanted / triples, rel=1e-9)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_ranking_loss_leaves_ties_out(kind):
    t = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [2, 2, 0.5]], dtype=torch.float64)  # many ties
    w = draw(2, 5, 3)
    wanted = naive_ranking(w, t, 1.0, kind)
    assert float(ranking_loss(w, t, distance=kind, reduction="sum")) == pytest.approx(wanted, rel=1e-9)
    equal = torch.eye(4, dtype=torch.float64)  # every pair is tied
    assert float(ranking_loss(w[:4], equal, distance=kind)) == 0.0


def test_chunks_change_nothing(monkeypatch):
    w, t = draw(3, 12, 4).requires_grad_(), draw(4, 12, 4)
    whole = ranking_loss(w, t, margin=0.5)
    (gradient,) = torch.autograd.grad(whole, w)
    monkeypatch.setattr(losses, "_CHUNK_NUMBERS", 5 * 144)
    parts = ranking_loss(w, t, margin=0.5)
    assert float(parts.detach()) == pytest.approx(float(whole.detach()), rel=1e-12)
    assert torch.allclose(torch.autograd.grad(parts, w)[0], gradient, atol=1e-14)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_gradients_are_those_of_finite_differences(kind):
    w, t = draw(5, 6, 4).requires_grad_(), draw(6, 6, 4)
    for loss in (
        lambda w: ranking_loss(w, t, margin=0.4, distance=kind),
        lambda w: separation_loss(w, distance=kind),
        lambda w: proximity_loss(w, t, distance=kind),
    ):
        assert torch.autograd.gradcheck(loss, (w,))


@pytest.mark.parametrize("kind", losses.DISTANCES)
@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_separation_and_proximity_equal_their_loops(kind, reduction):
    w, t = draw(7, 6, 4), draw(8, 6, 4)
    scale = 6 if reduction == "mean" else 1
    near = sum(min(naive_distance(w[c], w[k], kind) for k in range(6) if k != c) for c in range(6))
    apart = sum(naive_distance(w[c], t[c], kind) for c in range(6))
    assert float(separation_loss(w, distance=kind, reduction=reduction)) == pytest.approx(-near / scale, rel=1e-9)
    assert float(proximity_loss(w, t, distance=kind, reduction=reduction)) == pytest.approx(apart / scale, rel=1e-9)


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_equal_rows_give_finite_gradients(kind):
    t = draw(9, 4, 5)
    w = t[[0, 0, 1, 2, 3]].clone().requires_grad_()
    total = (
        separation_loss(w, distance=kind)
        + proximity_loss(w, w.detach().clone(), distance=kind)
        + ranking_loss(w, w.detach().clone(), distance=kind)
    )
    total.backward()
    assert bool(torch.isfinite(w.grad).all())


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_classes_have_nothing_to_order(count):
    w = draw(10, count, 3).requires_grad_()
    loss = ranking_loss(w, w.detach())
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert float(w.grad.abs().sum()) == 0.0
    if count == 1:
        assert float(separation_loss(w).detach()) == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 8), st.floats(0, 2), st.sampled_from(losses.DISTANCES))
def test_order_of_classes_does_not_matter(seed, count, margin, kind):
    w, t = draw(seed, count, 4), draw(seed + 1, count, 4)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    for loss in (
        lambda w, t: ranking_loss(w, t, margin=margin, distance=kind),
        lambda w, t: separation_loss(w, distance=kind),
        lambda w, t: proximity_loss(w, t, distance=kind),
    ):
        assert float(loss(w[order], t[order])) == pytest.approx(float(loss(w, t)), rel=1e-9, abs=1e-12)


def test_unknown_names_are_refused():
    w = draw(11, 4, 3)
    with pytest.raises(ValueError, match="distance is 'dot'"):
        separation_loss(w, distance="dot")
    with pytest.raises(ValueError, match="distance is 'dot'"):
        proximity_loss(w, w, distance="dot")
    with pytest.raises(ValueError, match="reduction is 'none'"):
        ranking_loss(w, w, reduction="none")
    with pytest.raises(ValueError, match="distance is 'dot'"):
        pairwise_distance(w, w, "dot")


@pytest.mark.parametrize("kind", losses.DISTANCES)
def test_distances_some_rows_at_a_time_are_those_of_all_rows(monkeypatch, kind):
    w = draw(14, 11, 3)[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3]].requires_grad_()
    other = w.detach() + 0.2 * draw(15, 12, 3)

    def everything():
        loss = separation_loss(w, distance=kind)
        return [
            loss.detach(),
            torch.autograd.grad(loss, w)[0],
            *nearest(w.detach()),
            rank_correlation(w.detach(), other),
        ]

    whole = everything()
    between = pairwise_distance(w, w, kind)
    dense = -between.masked_fill(torch.eye(12, dtype=torch.bool), float("inf")).amin(dim=1).mean()
    torch.testing.assert_close(whole[:2], [dense.detach(), torch.autograd.grad(dense, w)[0]])
    each = rowwise_distance(w.detach()[:6], w.detach()[6:], kind)
    torch.testing.assert_close(each, pairwise_distance(w.detach()[:6], w.detach()[6:], kind).diagonal())
    monkeypatch.setattr(losses, "_CHUNK_NUMBERS", 5 * 12)
    for one, other_one in zip(everything(), whole, strict=True):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other_one))


def test_equally_near_neighbours_share_the_gradient():
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    separation_loss(w, distance="l2", reduction="sum").backward()
    # Each at the side moves from the first by 1 of its own and by half of the first's; the fourth moves from it by 1.
    torch.testing.assert_close(w.grad, w.new_tensor([[0.0, 1.0], [-1.5, 0.0], [1.5, 0.0], [0.0, -1.0]]))
