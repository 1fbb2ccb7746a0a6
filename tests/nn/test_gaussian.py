"""Diagonal Gaussians against torch.distributions and against a product of densities on a grid."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from avshot.nn.gaussian import draw, kl_to_standard, product_of_experts


def gaussians(rows=5, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dim, generator=generator), torch.randn(rows, dim, generator=generator)


def test_kl_equals_that_of_torch_distributions():
    mean, log_variance = gaussians()
    own = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(own, Normal(torch.zeros(3), torch.ones(3))).sum(dim=1)
    torch.testing.assert_close(kl_to_standard(mean, log_variance), expected)
    assert kl_to_standard(torch.zeros(2, 4), torch.zeros(2, 4)).tolist() == [0.0, 0.0]


def test_samples_have_the_mean_and_variance_and_pass_gradients():
    mean, log_variance = gaussians(rows=1)
    mean.requires_grad_(True)
    torch.manual_seed(0)
    sample = draw(mean.expand(20000, -1), log_variance.expand(20000, -1))
    torch.testing.assert_close(sample.mean(dim=0), mean[0], atol=0.05, rtol=0.05)
    torch.testing.assert_close(sample.var(dim=0), log_variance[0].exp(), atol=0.05, rtol=0.05)
    sample.mean().backward()
    torch.testing.assert_close(mean.grad, torch.full((1, 3), 1 / 3))


@pytest.mark.parametrize("there", [(True, True), (True, False), (False, True), (False, False)])
def test_product_of_experts_equals_the_product_of_densities(there):
    means, log_variance = (0.7, -1.1), (0.3, -0.8)
    grid = torch.linspace(-12, 12, 48001, dtype=torch.float64)
    density = Normal(0.0, 1.0).log_prob(grid)
    for m, lv, real in zip(means, log_variance, there, strict=True):
        if real:
            density = density + Normal(m, torch.tensor(lv / 2).exp().item()).log_prob(grid)
    weight = density.softmax(dim=0)
    expected_mean = (weight * grid).sum()
    expected_variance = (weight * (grid - expected_mean).square()).sum()
    rows = [torch.tensor([[value]]) for value in means], [torch.tensor([[value]]) for value in log_variance]
    found_mean, found_log_variance = product_of_experts(*rows, [torch.tensor([real]) for real in there])
    assert found_mean.item() == pytest.approx(expected_mean.item(), abs=1e-4)
    assert found_log_variance.exp().item() == pytest.approx(expected_variance.item(), abs=1e-4)
