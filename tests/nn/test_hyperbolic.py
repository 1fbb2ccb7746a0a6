"""The Poincaré ball against its textbook formulas, one pair of vectors at a time, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.nn.hyperbolic import distance, expmap0, logmap0, mobius_add, project, tangent_distances

seeds, curvatures, sizes = st.integers(0, 10_000), st.floats(1e-3, 5.0), st.floats(0.01, 4.0)
few = settings(max_examples=40, deadline=None)


def vectors(count, seed, size=1.0, dim=4):
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (
        size * torch.nn.functional.normalize(drawn, dim=1) * torch.linspace(0.3, 1, count, dtype=torch.float64)[:, None]
    )


def points(count, seed, c, reach=0.95):
    """Points of the ball, the last one at `reach` of its radius."""
    return vectors(count, seed, size=reach / math.sqrt(c))


def naive_distance(x, y, c):
    """By the area hyperbolic cosine, which the product does not use."""
    apart, left, right = (sum(float(v) ** 2 for v in row) for row in (x - y, x, y))
    return math.acosh(1 + 2 * c * apart / ((1 - c * left) * (1 - c * right))) / math.sqrt(c)


def naive_expmap0(v, c):
    length = math.sqrt(sum(float(x) ** 2 for x in v))
    return [math.tanh(math.sqrt(c) * length) * float(x) / (math.sqrt(c) * length) for x in v]


@few
@given(seeds, curvatures)
def test_distance_is_a_metric_and_equals_the_closed_form(seed, c):
    x, y, z = points(3, seed, c)
    k = torch.tensor(c, dtype=torch.float64)
    xy, yx, yz, xz = (float(distance(p, q, k)) for p, q in ((x, y), (y, x), (y, z), (x, z)))
    assert xy == pytest.approx(naive_distance(x, y, c), rel=1e-7)
    assert xy == pytest.approx(yx, rel=1e-9)
    assert 0 < xz <= xy + yz + 1e-9
    assert float(distance(x, x, k)) == pytest.approx(0, abs=1e-6)
    # Distances are longer than the straight line, in the metric of the origin.
    assert xy > 2 * float((x - y).norm())


@few
@given(seeds, curvatures, sizes)
def test_maps_are_inverse_and_equal_the_formulas(seed, c, size):
    tangent, k = vectors(3, seed, size), torch.tensor(c, dtype=torch.float64)
    point = expmap0(tangent, k)
    torch.testing.assert_close(point, torch.tensor([naive_expmap0(v, c) for v in tangent], dtype=torch.float64))
    if math.sqrt(c) * size < 6:  # beyond, the rim takes the digits that the inverse would need
        torch.testing.assert_close(logmap0(point, k), tangent, rtol=1e-4, atol=0)
    origin = torch.zeros(4, dtype=torch.float64)
    near = vectors(3, seed, min(size, 2 / math.sqrt(c)))
    torch.testing.assert_close(distance(origin, expmap0(near, k), k), 2 * near.norm(dim=1, keepdim=True))


@few
@given(seeds, curvatures)
def test_mobius_addition_has_an_identity_an_inverse_and_cancels_from_the_left(seed, c):
    x, y = points(2, seed, c, reach=0.8)
    k = torch.tensor(c, dtype=torch.float64)
    zero = torch.zeros_like(x)
    torch.testing.assert_close(mobius_add(zero, x, k), x)
    torch.testing.assert_close(mobius_add(x, zero, k), x)
    torch.testing.assert_close(mobius_add(-x, x, k), zero, rtol=0, atol=1e-12)
    torch.testing.assert_close(mobius_add(-x, mobius_add(x, y, k), k), y)
    assert not torch.allclose(mobius_add(x, y, k), mobius_add(y, x, k))


@few
@given(seeds, curvatures, sizes)
def test_distances_of_tangent_vectors_equal_those_of_the_points_they_map_to(seed, c, size):
    tangent, k = vectors(4, seed, min(size, 3 / math.sqrt(c))), torch.tensor(c, dtype=torch.float64)
    between = tangent_distances(tangent, k)
    assert torch.equal(between.diagonal(), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(between, between.T)
    point = torch.tensor([naive_expmap0(v, c) for v in tangent], dtype=torch.float64)
    for i in range(4):
        for j in range(i):
            assert float(between[i, j]) == pytest.approx(naive_distance(point[i], point[j], c), rel=1e-6)
            assert float(between[i, j]) == pytest.approx(float(distance(point[i], point[j], k)), rel=1e-6)


def test_without_curvature_distances_are_twice_the_euclidean_ones():
    tangent, flat = vectors(5, seed=3, size=2.0), torch.tensor(1e-9, dtype=torch.float64)
    euclidean = 2 * torch.cdist(tangent, tangent)
    torch.testing.assert_close(tangent_distances(tangent, flat), euclidean, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(distance(tangent[:1], tangent, flat)[:, 0], euclidean[0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(mobius_add(tangent, tangent.flip(0), flat), tangent + tangent.flip(0))
    torch.testing.assert_close(expmap0(tangent, flat), tangent)
    strong = tangent_distances(tangent, torch.tensor(1.0, dtype=torch.float64))
    assert ((strong / euclidean)[~torch.eye(5, dtype=torch.bool)] > 1.05).all()


def test_each_pair_may_have_a_curvature_of_its_own():
    tangent, c = vectors(3, seed=1), torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.4, 0.5], [0.3, 0.5, 0.6]]).double()
    between = tangent_distances(tangent, c)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(between[i, j]) == pytest.approx(float(tangent_distances(tangent, c[i, j])[i, j]))


def test_projection_moves_only_what_lies_outside():
    c = torch.tensor([[0.25], [1.0], [1.0]], dtype=torch.float64)
    value = torch.tensor([[1.9, 0.0], [0.0, -5.0], [0.3, 0.4]], dtype=torch.float64)
    expected = torch.tensor([[1.9, 0.0], [0.0, -0.999], [0.3, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(project(value, c), expected)
    assert logmap0(value, c).isfinite().all()


@pytest.mark.parametrize("function", [expmap0, logmap0, project, mobius_add, distance, tangent_distances])
def test_gradients_are_right_and_reach_the_curvature(function):
    tangent, c = vectors(3, seed=4).requires_grad_(), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    given_ = (tangent, tangent.flip(0).detach()) if function in (mobius_add, distance) else (tangent,)
    value = (
        (lambda *a: function(*(0.5 * x for x in a[:-1]), a[-1]))
        if function is not project
        else (
            lambda v, k: project(20 * v, k)  # outside, where it depends on the curvature
        )
    )
    # The middle row meets itself where a distance has no gradient.
    given_ = tuple(x[[0, 2]] if function is distance else x for x in given_)
    assert torch.autograd.gradcheck(value, (*given_, c))
    assert abs(float(torch.autograd.grad(value(*given_, c).sum(), c)[0])) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_twins_and_far_points_give_finite_values_and_gradients(dtype):
    far = torch.full((1, 4), 1e4, dtype=dtype)
    rows = torch.cat([torch.zeros(2, 4, dtype=dtype), torch.ones(2, 4, dtype=dtype), far, -far]).requires_grad_()
    c = torch.tensor(0.5, dtype=dtype, requires_grad=True)
    point = project(expmap0(rows, c), c)
    found = [tangent_distances(rows, c), logmap0(point, c), distance(point, point.flip(0), c)]
    assert all(value.isfinite().all() for value in found)
    sum(value.sum() for value in found).backward()
    assert rows.grad.isfinite().all()
    assert c.grad.isfinite()
    assert float(found[0][2, 3].detach()) == pytest.approx(0, abs=5e-3)
    torch.testing.assert_close(point[:2], torch.zeros(2, 4, dtype=dtype))
