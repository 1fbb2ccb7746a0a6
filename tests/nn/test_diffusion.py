"""The diffusion block against loops and against the closed form of a Gaussian, where the best network is known."""

import math

import pytest
import torch

from avshot.nn.diffusion import Diffusion, DiffusionConfig, denoise, linear_schedule, noised

SMALL = {"diffusion_steps": 7, "diffusion_hidden": 6}


def build(dim=3, condition=2, **fields):
    torch.manual_seed(0)
    return Diffusion(dim, condition, DiffusionConfig(**{**SMALL, **fields}))


@pytest.mark.parametrize(("steps", "left"), [(100, 0.364), (200, 0.132), (300, 0.048)])
def test_what_is_left_of_a_vector_after_all_steps_as_measured_on_the_authors_program(steps, left):
    product = 1.0
    for i in range(steps):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * i / (steps - 1))
    kept = build(diffusion_steps=steps).kept
    assert kept[-1].item() == pytest.approx(product, rel=1e-5)
    assert round(product, 3) == left
    assert kept[0].item() == pytest.approx(1 - 1e-4)


def test_noised_vectors_have_the_mean_and_variance_of_the_formula():
    torch.manual_seed(0)
    kept = torch.cumprod(1 - linear_schedule(50, 1e-4, 0.2), dim=0)
    value = torch.tensor([[2.0, -1.0]], dtype=torch.float64).expand(40000, 2)
    for step in (0, 20, 49):
        # step by step, as eq. 4.6 has it, and at once
        walked = value
        for beta in linear_schedule(50, 1e-4, 0.2)[: step + 1].tolist():
            walked = math.sqrt(1 - beta) * walked + math.sqrt(beta) * torch.randn_like(walked)
        for drawn in (walked, noised(value, torch.randn_like(value), kept[step].expand(40000, 1))):
            spread = math.sqrt(1 - kept[step].item())
            bound = 5 * spread / math.sqrt(40000)
            assert (drawn.mean(dim=0) - kept[step].sqrt() * value[0]).abs().max() < bound
            assert drawn.var(dim=0).tolist() == pytest.approx([1 - kept[step].item()] * 2, rel=0.05)


def best_for_gaussian(mean, variance, beta):
    """The network with the least loss where x_0 ~ N(mean, variance): E[noise | x_t], in closed form."""
    kept = torch.cumprod(1 - beta, dim=0).tolist()

    def tell(value, step):
        spread = kept[step] * variance + 1 - kept[step]
        return math.sqrt(1 - kept[step]) * (value - math.sqrt(kept[step]) * mean) / spread

    return tell


def test_a_gaussian_comes_back_with_its_mean_and_variance():
    torch.manual_seed(0)
    beta, start = linear_schedule(1000, 1e-4, 0.02), torch.randn(20000, 2, dtype=torch.float64)
    mean, variance = torch.tensor([1.5, -0.5], dtype=torch.float64), torch.tensor([0.25, 2.0], dtype=torch.float64)
    made = denoise(best_for_gaussian(mean, variance, beta), start, beta)
    assert made.mean(dim=0).tolist() == pytest.approx(mean.tolist(), abs=0.04)
    assert made.var(dim=0).tolist() == pytest.approx(variance.tolist(), rel=0.04)


@pytest.mark.parametrize("noise_at_last_step", [False, True])
def test_few_steps_give_the_moments_of_their_recursion(noise_at_last_step):
    """Each step is affine in x_t for a Gaussian, so mean and variance follow a recursion; T = 100 as published."""
    torch.manual_seed(0)
    beta = linear_schedule(100, 1e-4, 0.02)
    kept, mean, variance = torch.cumprod(1 - beta, dim=0).tolist(), 3.0, 0.25
    made = denoise(
        best_for_gaussian(mean, variance, beta),
        torch.randn(40000, 1, dtype=torch.float64),
        beta,
        noise_at_last_step=noise_at_last_step,
    )
    m, v = 0.0, 1.0
    for t in reversed(range(100)):
        slope = math.sqrt(1 - kept[t]) / (kept[t] * variance + 1 - kept[t])
        factor = (1 - beta[t].item() / math.sqrt(1 - kept[t]) * slope) / math.sqrt(1 - beta[t].item())
        shift = beta[t].item() / math.sqrt(1 - kept[t]) * slope * math.sqrt(kept[t]) * mean / math.sqrt(1 - beta[t])
        m, v = factor * m + shift, factor**2 * v + (beta[t].item() if t > 0 or noise_at_last_step else 0)
    assert made.mean().item() == pytest.approx(m, abs=0.02)
    assert made.var().item() == pytest.approx(v, rel=0.03)
    assert abs(m - mean) > 0.2  # the chain never reached pure noise, so it does not come back to where it was


@pytest.mark.parametrize("fields", [{}, {"scale_time": False, "leaky_input": True}])
def test_the_loss_equals_the_loop_over_rows(fields):
    model = build(**fields)
    value, told = torch.randn(5, 3), torch.randn(5, 2)
    torch.manual_seed(3)
    found = model.loss(value, told)
    torch.manual_seed(3)
    steps, noise = torch.randint(7, (5,)), torch.randn(5, 3)
    first, last = model.net[1].requires_grad_(False), model.net[4].requires_grad_(False)
    for i in range(5):
        t = int(steps[i])
        kept = math.prod(1 - (1e-4 + (0.02 - 1e-4) * j / 6) for j in range(t + 1))
        x = [math.sqrt(kept) * value[i, k].item() + math.sqrt(1 - kept) * noise[i, k].item() for k in range(3)]
        x += [float(t) if fields else (t + 1) / 7, *told[i].tolist()]
        if fields:
            x = [number if number > 0 else 0.01 * number for number in x]
        hidden = [float(first.bias[h]) + sum(float(first.weight[h, k]) * x[k] for k in range(6)) for h in range(6)]
        hidden = [number if number > 0 else 0.01 * number for number in hidden]
        out = [float(last.bias[k]) + sum(float(last.weight[k, h]) * hidden[h] for h in range(6)) for k in range(3)]
        expected = sum((out[k] - float(noise[i, k])) ** 2 for k in range(3)) / 3
        assert found[i].item() == pytest.approx(expected, rel=1e-4)


def test_numbers_that_do_not_exist_are_neither_seen_nor_counted_nor_made():
    model = build()
    real = torch.tensor([[True, False, True], [False, False, False]])
    value, told = torch.randn(2, 3), torch.randn(2, 2)
    other = torch.where(real, value, torch.full_like(value, 9.0))
    found = []
    for seen in (value, other):
        torch.manual_seed(1)
        found.append(model.loss(seen, told, real))
    assert torch.equal(*found)
    assert found[0][0] > 0
    assert found[0][1] == 0
    made = model.make(told, real)
    assert (made[~real] == 0).all()
    assert (made[real] != 0).all()


def test_making_equals_the_loop_over_steps_and_rows():
    model, told = build(noise_at_last_step=True), torch.randn(2, 2)
    torch.manual_seed(5)
    made = model.make(told)
    torch.manual_seed(5)
    value = torch.randn(2, 3)
    for t in reversed(range(7)):
        beta = 1e-4 + (0.02 - 1e-4) * t / 6
        kept = math.prod(1 - (1e-4 + (0.02 - 1e-4) * j / 6) for j in range(t + 1))
        with torch.no_grad():
            told_noise = torch.cat([model(value[i : i + 1], torch.tensor([t]), told[i : i + 1]) for i in range(2)])
        value = (value - beta / math.sqrt(1 - kept) * told_noise) / math.sqrt(1 - beta)
        value = value + math.sqrt(beta) * torch.randn(2, 3)
    torch.testing.assert_close(made, value)


def test_it_learns_two_classes_that_differ_in_what_it_is_told():
    torch.manual_seed(0)
    model = Diffusion(2, 1, DiffusionConfig(diffusion_steps=30, beta_last=0.3, diffusion_hidden=64))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(600):
        told = torch.randint(2, (128, 1)).float() * 2 - 1
        value = torch.cat([told, -2 * told], dim=1) + 0.1 * torch.randn(128, 2)
        optimiser.zero_grad()
        model.loss(value, told).mean().backward()
        optimiser.step()
    with torch.no_grad():
        made = torch.stack([model.make(torch.full((500, 1), told)).mean(dim=0) for told in (-1.0, 1.0)])
    torch.testing.assert_close(made, torch.tensor([[-1.0, 2.0], [1.0, -2.0]]), atol=0.2, rtol=0)


def test_the_schedule_is_no_weight_and_gradients_flow_through_all_steps():
    model = build()
    assert set(model.state_dict()) == {"net.1.weight", "net.1.bias", "net.4.weight", "net.4.bias"}
    model.make(torch.randn(4, 2)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"diffusion_steps": 0}, "at least 1"), ({"beta_last": 1.0}, "between 0 and 1"), ({"beta_first": 0.0}, "between")],
)
def test_settings_out_of_range_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        build(**fields)
