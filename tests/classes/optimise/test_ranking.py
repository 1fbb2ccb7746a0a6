"""The exact ranking loss: both ways of counting against the printed formula, all pairs compared, and each other."""

import importlib.util

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.classes.optimise import METHODS, Order, ranking_loss
from avshot.classes.optimise import ranking as ranking_module
from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.losses import DISTANCES, REDUCTIONS, pairwise_distance
from avshot.classes.optimise.optimise import optimise
from avshot.classes.optimise.wavelet import count_torch

NUMBA = importlib.util.find_spec("numba") is not None
EXACT = ["torch", pytest.param("compiled", marks=pytest.mark.skipif(not NUMBA, reason="numba is not installed"))]
EVERY = ["torch", *(["compiled"] if NUMBA else [])]
MARGINS = [0.0, 1e-3, 0.2, 1.0, 50.0]  # 50 is larger than every difference


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(seed, count, tied=False, copies=0):
    """Original and moved embeddings; tied: few different values; copies: so many classes stand there twice."""
    t = draw(seed, count, 4)
    if tied:
        t = t.round()
        t[(t == 0).all(dim=1)] = 1.0
    w = t + 0.3 * draw(seed + 1, count, 4)
    rows = torch.cat([torch.arange(count), torch.arange(min(copies, count))])
    return w[rows].requires_grad_(), t[rows]


def loss_and_gradient(w, t, **how):
    loss = ranking_loss(w, t, **how)
    return loss.detach(), torch.autograd.grad(loss, w)[0]


def assert_equal(found, wanted, rel=1e-9):
    for one, other in zip(found, wanted, strict=True):
        size = float(other.abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(one, other, rtol=rel, atol=rel * size + 1e-13)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 24),
    st.sampled_from(MARGINS),
    st.sampled_from(DISTANCES),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(REDUCTIONS),
)
def test_exact_equals_the_printed_formula(seed, count, margin, kind, tied, copies, reduction):
    w, t = classes(seed, count, tied, copies)
    how = {"margin": margin, "distance": kind, "reduction": reduction}
    wanted = loss_and_gradient(w, t, **how, method="dense")
    found = [loss_and_gradient(w, t, **how, method=method) for method in EVERY]
    for one in found:
        assert_equal(one, wanted)
        assert torch.equal(one[0], found[0][0])  # the same integers, so the same numbers
        assert torch.equal(one[1], found[0][1])


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("kind", DISTANCES)
def test_single_precision_is_as_good_as_its_distances(method, kind):
    w, t = classes(0, 60)
    how = {"margin": 0.2, "distance": kind}
    single = loss_and_gradient(w.detach().float().requires_grad_(), t, **how, method=method)
    assert single[0].dtype == single[1].dtype == torch.float32
    wanted = loss_and_gradient(w, t, **how, method="dense")
    assert_equal([part.double() for part in single], wanted, rel=2e-4)


def brute_force(new, low, high, margin):
    """Counts of one anchor from all pairs (near, far)."""
    active = (low[None, :] >= high[:, None]) & (new[None, :] < (new + margin)[:, None])
    return active.sum(dim=1) - active.sum(dim=0), int(active.sum())


# 64 places make a leaf and 2048 a top block; a power of two more makes another level.
@pytest.mark.parametrize("count", [2, 3, 63, 64, 65, 127, 128, 129, 300, 2047, 2049, 4200])
@pytest.mark.parametrize("method", EXACT)
def test_counts_are_those_of_all_pairs(count, method):
    count_by = count_torch if method == "torch" else ranking_module._counting("compiled", torch.device("cpu"), count)
    anchors, margins = (2, (0.0, 0.05, 1.0)) if count < 1000 else (1, (0.05,))
    new = draw(count, anchors, count + 1).round(decimals=2).abs()  # many equal ones
    place = draw(count + 1, anchors, count + 1).argsort(dim=1)
    low, high = place // 3 * 3, (place // 3 * 3 + 3).clamp(max=count)  # tied in threes
    for k in range(anchors):  # the last column is the anchor's own
        own = int((place[k] == count).nonzero())
        order = [c for c in range(count + 1) if c != own] + [own]
        new[k], place[k], low[k], high[k] = (row[order] for row in (new[k], place[k], low[k], high[k]))
    new[:, -1] = float("inf")
    for tied in (True, False) if count < 1000 else (True,):
        lows, highs = (low, high) if tied else (place, place + 1)
        for kind in (torch.float32, torch.float64):
            tables = [table.to(torch.int16 if kind == torch.float32 else torch.int32) for table in (place, lows, highs)]
            for margin in margins:
                values = new.to(kind)
                counts, pairs = count_by(values, *tables, margin)
                wanted = [brute_force(values[k, :-1], lows[k, :-1], highs[k, :-1], margin) for k in range(anchors)]
                assert torch.equal(counts[:, :-1].long(), torch.stack([one for one, _ in wanted]))
                assert pairs == sum(number for _, number in wanted)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("margin", [0.0, 0.3, 50.0])
def test_gradient_is_that_of_finite_differences(method, kind, margin):
    w, t = classes(3, 7)
    how = {"margin": margin, "distance": kind, "method": method, "reduction": "sum"}
    assert torch.autograd.gradcheck(lambda w: ranking_loss(w, t, **how), (w,))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 16), st.sampled_from(MARGINS), st.booleans())
def test_order_of_classes_does_not_matter(seed, count, margin, tied):
    w, t = classes(seed, count, tied)
    order = torch.randperm(len(w), generator=torch.Generator().manual_seed(seed))
    for method in EVERY:
        loss, gradient = loss_and_gradient(w, t, margin=margin, method=method)
        moved = w.detach()[order].requires_grad_()
        assert_equal(loss_and_gradient(moved, t[order], margin=margin, method=method), (loss, gradient[order]))


@pytest.mark.parametrize("method", METHODS)
def test_what_keeps_the_order_costs_nothing_without_a_margin(method):
    if method == "compiled" and not NUMBA:
        pytest.skip("numba is not installed")
    t = draw(5, 9, 4)
    loss, gradient = loss_and_gradient((3 * t).requires_grad_(), t, margin=0.0, method=method)
    assert float(loss) < 1e-15
    assert float(gradient.abs().max()) < 1e-12


@pytest.mark.parametrize("method", EXACT)
def test_chunks_and_threads_change_nothing(monkeypatch, method):
    w, t = classes(6, 40, copies=2)
    whole = loss_and_gradient(w, t, margin=0.3, method=method)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert_equal(loss_and_gradient(w, t, margin=0.3, method=method), whole, rel=1e-12)
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr("avshot.classes.optimise.losses._CHUNK_NUMBERS", 5 * 42)
    monkeypatch.setattr("avshot.classes.optimise.wavelet._COUNTED", 2 * 42)
    assert_equal(loss_and_gradient(w, t, margin=0.3, method=method), whole, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_is_made_where_none_is_asked_for(method):
    if method == "compiled" and not NUMBA:
        pytest.skip("numba is not installed")
    w, t = classes(7, 12)
    assert not ranking_loss(w.detach(), t, method=method).requires_grad
    with torch.no_grad():
        assert not ranking_loss(w, t, method=method).requires_grad
    assert ranking_loss(w, t.requires_grad_(), method=method).requires_grad
    assert t.grad is None


def test_order_is_exact_whatever_the_type_and_may_be_used_again():
    w, t = classes(8, 20, tied=True)
    for kind in DISTANCES:
        order = Order.of(t.float(), kind)  # the values are small integers
        wide = Order.of(t, kind)
        assert torch.equal(order.low, wide.low)
        assert torch.equal(order.high, wide.high)
        assert len(order) == 20
        assert order.place.dtype == torch.int16
        again = loss_and_gradient(w, order, margin=0.1, distance=kind)
        assert_equal(loss_and_gradient(w, t, margin=0.1, distance=kind), again, rel=0)
    free = Order.of(draw(9, 6, 3))
    assert free.low is None
    assert free.high is None
    for c in range(6):  # near to far, itself last
        between = pairwise_distance(draw(9, 6, 3), draw(9, 6, 3))[c]
        between[c] = float("inf")
        assert free.place[c].tolist() == between.argsort().argsort().tolist()


def test_ties_have_one_range_of_places():
    t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    order = Order.of(t)
    assert order.low[0].tolist()[1:] == [1, 1, 0]  # the last class is nearest to the first, the others are as far
    assert order.high[0].tolist()[1:] == [3, 3, 1]


@pytest.mark.parametrize("tied", [False, True])
def test_sampled_is_unbiased(tied):
    w, t = classes(10, 12, tied)
    order = Order.of(t)
    how = {"margin": 0.3, "method": "sampled", "samples": 400}
    exact, gradient = loss_and_gradient(w, order, margin=0.3)
    generator = torch.Generator().manual_seed(0)
    drawn = [loss_and_gradient(w, order, **how, generator=generator) for _ in range(250)]
    values, gradients = (torch.stack(part) for part in zip(*drawn, strict=True))
    error = values.std() / len(values) ** 0.5
    assert float(error) < 0.05 * float(exact)
    assert float((values.mean() - exact).abs()) < 4 * float(error)
    errors = gradients.std(dim=0) / len(values) ** 0.5
    assert bool(((gradients.mean(dim=0) - gradient).abs() < 5 * errors).all())
    first, second = (ranking_loss(w, order, **how, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)


def test_settings_that_make_no_sense_are_refused(monkeypatch):
    w, t = classes(11, 5)
    for how, said in (
        ({"method": "fast"}, "method is 'fast'"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"method": "sampled", "samples": 0}, "samples is 0"),
        ({"reduction": "none"}, "reduction is 'none'"),
        ({"distance": "dot"}, "distance is 'dot'"),
    ):
        with pytest.raises(ValueError, match=said):
            ranking_loss(w, t, **how)
    with pytest.raises(ValueError, match="There are 5 class embeddings and 4 original ones"):
        ranking_loss(w, Order.of(t[:4]))
    with pytest.raises(ValueError, match=r"torch\.float16; expected torch\.float32 or torch\.float64"):
        ranking_loss(w.half(), t)
    with pytest.raises(ValueError, match="ranking is 'fast'"):
        OptimiseConfig(ranking="fast")
    with pytest.raises(ValueError, match="samples is 0"):
        OptimiseConfig(samples=0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match='runs on the CPU, and the class embeddings are on meta; use "torch"'):
        ranking_module._counting("compiled", torch.device("meta"), 5)


def test_without_numba_torch_counts_and_asking_for_it_names_the_extra(monkeypatch):
    w, t = classes(12, 6)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "avshot\[fast\]"'):
        ranking_loss(w, t, method="compiled")
    assert ranking_module._counting("auto", torch.device("cpu"), 10_000) is count_torch
    assert torch.isfinite(ranking_loss(w, t))


@pytest.mark.skipif(not NUMBA, reason="numba is not installed")
def test_many_classes_are_counted_by_compiled_code():
    cpu = torch.device("cpu")
    assert ranking_module._counting("auto", cpu, 276) is count_torch
    assert ranking_module._counting("auto", cpu, 1000) is ranking_module._counting("compiled", cpu, 3)
    assert ranking_module._counting("auto", torch.device("meta"), 1000) is count_torch


@pytest.mark.skipif(not NUMBA, reason="numba is not installed")
def test_compiled_works_where_nothing_can_be_written(monkeypatch):
    import numba

    from avshot.classes.optimise import compiled

    asked = []

    def njit(**how):
        asked.append(how)
        if how.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled._compiled(len) is len
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]


@pytest.mark.parametrize("kind", DISTANCES)
def test_optimisation_is_the_same_however_the_loss_is_counted(kind):
    vectors = draw(13, 14, 6) + 0.8
    results = {}
    for method in (*EVERY, "dense", "auto", "sampled"):
        config = OptimiseConfig(ranking=method, margin=0.1, semantic_weight=10.0, distance=kind, max_steps=6)
        results[method] = optimise(vectors, config)[0]
        assert torch.equal(results[method], optimise(vectors, config)[0])
    for method in EVERY:
        assert torch.equal(results[method], results["auto"])
    torch.testing.assert_close(results["dense"], results["auto"], atol=1e-9, rtol=0)
    torch.testing.assert_close(results["sampled"], results["auto"], atol=0.05, rtol=0)
    assert not torch.equal(results["sampled"], results["auto"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("tied", [False, True])
def test_a_gpu_gives_the_same(tied):
    w, t = classes(16, 300, tied)
    wanted = loss_and_gradient(w, t, margin=0.2, method="torch")
    there = loss_and_gradient(w.detach().cuda().requires_grad_(), t.cuda(), margin=0.2)
    assert_equal([part.cpu() for part in there], wanted)
