"""What names say of class means: scikit-learn's ridge regression, what is left out in a loop, and degenerate lists."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from avshot.nn.named_means import PENALTIES, fit_named_means


def make(count=9, text_dim=5, dim=4, noise=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(count, text_dim, generator=generator, dtype=torch.float64)
    means = text @ torch.randn(text_dim, dim, generator=generator, dtype=torch.float64) + 2.0
    return text, means + noise * torch.randn(count, dim, generator=generator, dtype=torch.float64)


def unit_of(text):
    centred = text - text.mean(dim=0)
    return float((centred * centred).sum() / len(text))


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 12), st.integers(1, 8), st.sampled_from(PENALTIES), st.integers(0, 99))
def test_it_is_ridge_regression_and_left_out_means_left_out(count, text_dim, penalty, seed):
    text, means = make(count, text_dim, seed=seed)
    found = fit_named_means(text, means, (penalty,))
    alpha = penalty * unit_of(text)
    oracle = Ridge(alpha=alpha).fit(text.numpy(), means.numpy())
    asked = torch.randn(3, text_dim, dtype=torch.float64)
    np.testing.assert_allclose(found(asked), oracle.predict(asked.numpy()), atol=1e-8)
    for left in range(count):
        rest = [i for i in range(count) if i != left]
        oracle = Ridge(alpha=alpha).fit(text[rest].numpy(), means[rest].numpy())
        np.testing.assert_allclose(found.left_out[left], oracle.predict(text[left : left + 1].numpy())[0], atol=1e-8)


def test_the_penalty_with_the_smallest_left_out_error_is_taken():
    text, means = make(noise=1.0)
    errors = {p: float((fit_named_means(text, means, (p,)).left_out - means).square().sum()) for p in PENALTIES}
    assert fit_named_means(text, means).penalty == min(errors, key=errors.get)
    assert len(set(errors.values())) == len(PENALTIES)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_names_that_tell_nothing_predict_the_mean_of_the_means(count):
    text, means = make(count)
    text = text[:1].expand(count, -1)
    found = fit_named_means(text, means)
    torch.testing.assert_close(found(torch.randn(2, 5, dtype=torch.float64)), means.mean(dim=0).expand(2, -1))
    if count > 1:
        expected = torch.stack([means[[i for i in range(count) if i != left]].mean(dim=0) for left in range(count)])
        torch.testing.assert_close(found.left_out, expected)


def test_two_classes_are_too_few_to_learn_from():
    text, means = make(2)
    torch.testing.assert_close(fit_named_means(text, means)(text), means.mean(dim=0).expand(2, -1))
