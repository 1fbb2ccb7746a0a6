"""The Poincaré ball against its textbook formulas, one pair of vectors at a time, and its properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.nn.hyperbolic import logmap0, project, tangent_distances

seeds, curvatures, sizes = st.integers(0, 10_000), st.floats(1e-3, 5.0), st.floats(0.01, 4.0)
few = settings(max_examples=40, deadline=None)


def vectors(count, seed, size=1.0, dim=4):
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (
        size * torch.nn.functional.normalize(drawn, dim=1) * torch.linspace(0.3, 1, count, dtype=torch.float64)[:, None]
    )


def naive_distance(x, y, c):
    """Of two points, by the area hyperbolic cosine, which `tangent_distances` does not use."""
    apart, left, right = (sum(float(v) ** 2 for v in row) for row in (x - y, x, y))
    return math.acosh(1 + 2 * c * apart / ((1 - c * left) * (1 - c * right))) / math.sqrt(c)


def naive_expmap0(v, c):
    length = math.sqrt(sum(float(x) ** 2 for x in v))
    return [math.tanh(math.sqrt(c) * length) * float(x) / (math.sqrt(c) * length) for x in v]


@few
@given(seeds, curvatures, sizes)
def test_the_logarithm_is_the_inverse_of_the_exponential_map(seed, c, size):
    tangent, k = vectors(3, seed, min(size, 6 / math.sqrt(c))), torch.tensor(c, dtype=torch.float64)
    point = torch.tensor([naive_expmap0(v, c) for v in tangent], dtype=torch.float64)
    # Towards the rim, digits are lost that the inverse would need.
    torch.testing.assert_close(logmap0(point, k), tangent, rtol=1e-4, atol=0)


@few
@given(seeds, curvatures, sizes)
def test_distances_are_those_of_a_metric_and_from_the_origin_twice_the_length(seed, c, size):
    k = torch.tensor(c, dtype=torch.float64)
    tangent = torch.cat([vectors(3, seed, min(size, 3 / math.sqrt(c))), torch.zeros(1, 4, dtype=torch.float64)])
    between = tangent_distances(tangent, k)
    torch.testing.assert_close(between[3, :3], 2 * tangent[:3].norm(dim=1))
    assert 0 < float(between[0, 2]) <= float(between[0, 1] + between[1, 2]) + 1e-9


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


def test_without_curvature_distances_are_twice_the_euclidean_ones():
    tangent, flat = vectors(5, seed=3, size=2.0), torch.tensor(1e-9, dtype=torch.float64)
    euclidean = 2 * torch.cdist(tangent, tangent)
    torch.testing.assert_close(tangent_distances(tangent, flat), euclidean, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(logmap0(tangent, flat), tangent)
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


@pytest.mark.parametrize(
    ("function", "size"),
    [(logmap0, 0.5), (project, 20.0), (tangent_distances, 0.5)],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_gradients_are_right_and_reach_the_curvature(function, size):
    """Those of `project` outside the ball, where it depends on the curvature."""
    c = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    given_ = vectors(3, seed=4, size=size).requires_grad_()
    assert torch.autograd.gradcheck(function, (given_, c))
    assert abs(float(torch.autograd.grad(function(given_, c).sum(), c)[0])) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros_twins_and_far_points_give_finite_values_and_gradients(dtype):
    far = torch.full((1, 4), 1e4, dtype=dtype)
    rows = torch.cat([torch.zeros(2, 4, dtype=dtype), torch.ones(2, 4, dtype=dtype), far, -far]).requires_grad_()
    c = torch.tensor(0.5, dtype=dtype, requires_grad=True)
    point = project(rows, c)
    found = [tangent_distances(rows, c), logmap0(point, c)]
    assert all(value.isfinite().all() for value in found)
    sum(value.sum() for value in found).backward()
    assert rows.grad.isfinite().all()
    assert c.grad.isfinite()
    assert float(found[0][2, 3].detach()) == pytest.approx(0, abs=5e-3)
    torch.testing.assert_close(point[:2], torch.zeros(2, 4, dtype=dtype))
