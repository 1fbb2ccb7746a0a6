"""Gaussian classes against loops, scipy and Bayes' rule; what few clips, a name and a wider spread change."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from avshot.nn.gaussian_classes import SHRINKAGE, Few, Known, widening_of
from avshot.nn.named_means import fit_named_means


def make(classes=5, dim=3, text_dim=4, noise=0.3, seed=0):
    """Class means that follow from class embeddings but for some noise, their covariance, and the map."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    text, slope = torch.randn(classes, text_dim, **draw), 3 * torch.randn(text_dim, dim, **draw)
    means = text @ slope + noise * torch.randn(classes, dim, **draw)
    root = torch.randn(dim, dim, **draw)
    return means, root @ root.T + 0.5 * torch.eye(dim, dtype=torch.float64), text, slope


def few_of(classes=3, dim=3, text_dim=4, counts=(5, 1, 0), seed=7):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(classes, dim, generator=generator, dtype=torch.float64)
    text = torch.randn(classes, text_dim, generator=generator, dtype=torch.float64)
    return Few(mean, torch.tensor(counts), text)


def normal(value, mean, variance):
    """Density of a Gaussian with the same variance in all directions."""
    return math.prod(
        math.exp(-((v - m) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        for v, m in zip(value, mean, strict=True)
    )


def by_hand(known, few, value, widening):
    """Log densities by Bayes' rule over two hypotheses, in loops over classes, clips and coordinates."""
    means = known.means.tolist()
    count, dim = len(means), len(means[0])
    centre = [sum(row[i] for row in means) / count for i in range(dim)]
    left_out = known.named.left_out.tolist()
    by_name = sum((left_out[c][i] - means[c][i]) ** 2 for c in range(count) for i in range(dim))
    apart = sum((row[i] - centre[i]) ** 2 for row in means for i in range(dim)) / (dim * (count - 1))
    variances = (by_name / (count * dim), apart * (1 + 1 / count))
    found = []
    for mean, n, text in zip(few.mean.tolist(), few.count.tolist(), few.text.tolist(), strict=True):
        slope, offset = known.named.map.tolist(), known.named.offset.tolist()
        named = [sum(t * row[i] for t, row in zip(text, slope, strict=True)) + offset[i] for i in range(dim)]
        column = []
        for x in value.tolist():
            total = weights = 0.0
            for expected, v in zip((named, centre), variances, strict=True):
                weight = normal(mean, expected, v + widening / n) if n else 0.5
                posterior = [
                    (n * a / widening + b / v) / (n / widening + 1 / v) for a, b in zip(mean, expected, strict=True)
                ]
                total += weight * normal(x, posterior, widening + 1 / (n / widening + 1 / v))
                weights += weight
            column.append(math.log(total / weights))
        found.append(column)
    return torch.tensor(found, dtype=torch.float64).T + dim / 2 * math.log(2 * math.pi)


@pytest.mark.parametrize("widening", [1.0, 1.7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_classes_with_few_clips_against_bayes_rule_in_loops(widening, seed):
    means, covariance, text, _ = make(seed=seed)
    known, few = Known.of(means, covariance, text), few_of(seed=seed + 50)
    value = torch.randn(6, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = known.log_densities_of(few, value, widening)
    torch.testing.assert_close(found, by_hand(known, few, value, widening), atol=1e-8, rtol=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 7), st.integers(1, 5), st.floats(1, 4), st.integers(0, 99))
def test_known_classes_are_gaussians_with_the_shrunk_covariance(classes, dim, widening, seed):
    means, covariance, text, _ = make(classes, dim, seed=seed)
    known = Known.of(means, covariance, text)
    value = means.mean(dim=0) + torch.randn(4, dim, dtype=torch.float64)
    wide = (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / dim * torch.eye(dim)
    expected = np.array([[multivariate_normal(m, widening * wide).logpdf(x) for m in means.numpy()] for x in value])
    found = known.log_densities(value @ known.white, widening).numpy()
    np.testing.assert_allclose(np.diff(found, axis=1), np.diff(expected, axis=1), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(expected, axis=0), atol=1e-6, rtol=1e-6)


def test_white_coordinates_have_the_identity_as_covariance():
    means, covariance, text, _ = make()
    known = Known.of(means, covariance, text)
    wide = (1 - SHRINKAGE) * covariance + SHRINKAGE * covariance.trace() / 3 * torch.eye(3)
    torch.testing.assert_close(known.white.T @ wide @ known.white, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(known.means, means @ known.white)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.permutations([0, 1, 2]))
def test_a_class_does_not_depend_on_the_others_or_their_order(seed, order):
    means, covariance, text, _ = make(seed=seed)
    known, few = Known.of(means, covariance, text), few_of(seed=seed)
    value = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    whole = known.log_densities_of(few, value)
    moved = Few(few.mean[order], few.count[order], few.text[order])
    torch.testing.assert_close(known.log_densities_of(moved, value), whole[:, order])
    alone = Few(few.mean[:1], few.count[:1], few.text[:1])
    torch.testing.assert_close(known.log_densities_of(alone, value), whole[:, :1])


def test_many_clips_speak_for_themselves():
    means, covariance, text, _ = make()
    known, few = Known.of(means, covariance, text), few_of(counts=(10**7, 10**7, 10**7))
    value = torch.randn(5, 3, dtype=torch.float64)
    expected = -(value[:, None] - few.mean).square().sum(dim=2) / 2
    torch.testing.assert_close(known.log_densities_of(few, value), expected, atol=1e-4, rtol=1e-4)


def test_a_name_moves_the_mean_where_it_tells_something_and_not_where_the_clips_contradict_it():
    means, covariance, text, slope = make(classes=12, noise=0.01)
    known = Known.of(means, covariance, text)
    asked = torch.randn(1, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    true = (asked @ slope) @ known.white
    clip = true + 1.5 / math.sqrt(3)  # one clip, as far off as clips are
    told = Few(clip, torch.tensor([1]), asked)
    wrong = Few(clip, torch.tensor([1]), -asked)
    at_true, at_clip = (float(known.log_densities_of(told, where)) for where in (true, clip))
    assert at_true > at_clip
    assert float(known.log_densities_of(wrong, clip)) > float(known.log_densities_of(wrong, -true))


def test_one_known_class_and_equal_embeddings_are_enough():
    means, covariance, text, _ = make(classes=1)
    known = Known.of(means, covariance, text)
    assert min(known.variances) > 0
    assert known.log_densities_of(few_of(), torch.zeros(2, 3, dtype=torch.float64)).isfinite().all()
    flat = fit_named_means(text.expand(4, -1), torch.randn(4, 3, dtype=torch.float64))
    assert float(flat.map.abs().max()) == 0


def test_a_covariance_of_zeros_counts_as_unknown():
    means, _, text, _ = make()
    known = Known.of(means, torch.zeros(3, 3, dtype=torch.float64), text)
    torch.testing.assert_close(known.white, torch.eye(3, dtype=torch.float64))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 4), st.floats(0.1, 3), st.integers(0, 99))
def test_widening_is_the_pooled_variance_about_the_classes_own_means(counts, dim, spread, seed):
    rng = np.random.default_rng(seed)
    clips = [spread * rng.normal(size=(count, dim)) for count in counts]
    scatter = [float(((own - own.mean(axis=0)) ** 2).sum()) for own in clips]
    freedom = sum((count - 1) * dim for count in counts)
    expected = max(1.0, sum(scatter) / freedom) if freedom else 1.0
    found = widening_of(torch.tensor(scatter, dtype=torch.float64), torch.tensor(counts), dim)
    assert found == pytest.approx(expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 200), st.floats(1, 4))
def test_drawn_clips_are_as_many_of_each_class_and_the_same_each_time(classes, clips, widening):
    means, covariance, text, _ = make(classes)
    known = Known.of(means, covariance, text)
    value, own = known.drawn(clips, widening)
    assert clips <= len(value) < clips + classes
    assert torch.bincount(own).tolist() == [len(value) // classes] * classes
    assert torch.equal(value, known.drawn(clips, widening)[0])


def test_drawn_clips_are_spread_like_the_classes():
    means, covariance, text, _ = make()
    known = Known.of(means, covariance, text)
    value, own = known.drawn(50_000, 1.7)
    residual = value - known.means[own]
    torch.testing.assert_close(residual.T @ residual / len(value), 1.7 * torch.eye(3).double(), atol=0.06, rtol=0)
    torch.testing.assert_close(residual.mean(dim=0), torch.zeros(3).double(), atol=0.03, rtol=0)
