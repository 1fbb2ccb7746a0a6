"""The gradient penalty against slopes taken one clip at a time, and the shapes and ranges of generator and critic."""

import pytest
import torch

from avshot.nn.batch_means import mean_over
from avshot.nn.generator import Critic, Generator, VariationalEncoder, gradient_penalty, plays


def rows(count, dim, seed):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_gradient_penalty_equals_the_loop_over_clips():
    torch.manual_seed(0)
    critic, real, fake, text = Critic(4, 3, 8), rows(5, 4, 1), rows(5, 4, 2), rows(5, 3, 3)
    mix = torch.rand(5, 1, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(20)
    found = gradient_penalty(lambda value: critic(value, text), real, fake, mix)
    first, last = critic.layers[0], critic.layers[2]
    for i in range(5):
        point = (mix[i] * real[i] + (1 - mix[i]) * fake[i]).tolist()
        told = point + text[i].tolist()
        before = [
            sum(w * x for w, x in zip(row, told, strict=True)) + b
            for row, b in zip(first.weight.tolist(), first.bias.tolist(), strict=True)
        ]
        # d critic / d x_k = sum over hidden of w2_h * slope_h * w1_hk, the slope of LeakyReLU being 1 or 0.2
        slope = [
            sum(
                w2 * (1 if h > 0 else 0.2) * row[k]
                for w2, h, row in zip(last.weight[0].tolist(), before, first.weight.tolist(), strict=True)
            )
            for k in range(4)
        ]
        assert found[i].item() == pytest.approx((sum(s * s for s in slope) ** 0.5 - 1) ** 2, rel=1e-4)
        own = torch.tensor(point, requires_grad=True)
        (by_autograd,) = torch.autograd.grad(critic(own[None], text[i : i + 1]).sum(), own)
        assert by_autograd.tolist() == pytest.approx(slope, rel=1e-4)


def test_the_penalty_teaches_the_critic_and_not_what_made_the_fake():
    torch.manual_seed(0)
    critic, made = Critic(4, 0, 8), rows(5, 4, 2).requires_grad_()
    gradient_penalty(critic, rows(5, 4, 1), made, torch.full((5, 1), 0.5)).sum().backward()
    assert made.grad is None
    assert critic.layers[0].weight.grad.abs().sum() > 0


def test_generator_makes_what_its_output_says():
    torch.manual_seed(0)
    text = rows(50, 3, 0)
    sigmoid, linear = Generator(6, 3, 8, 4), Generator(6, 3, 8, 4, output="linear")
    made = sigmoid.make(text)
    assert made.shape == (50, 4)
    assert made.min() > 0
    assert made.max() < 1
    assert linear.make(text).min() < 0
    assert not torch.equal(sigmoid.make(text), made)  # fresh noise
    assert sigmoid.make(text[:0]).shape == (0, 4)
    with pytest.raises(ValueError, match="expected one of sigmoid, linear"):
        Generator(6, 3, 8, 4, output="tanh")


def test_encoder_and_critic_sizes():
    encoder = VariationalEncoder(4, 3, 8, 6)
    mean, log_variance = encoder(rows(5, 4, 0), rows(5, 3, 1))
    assert mean.shape == log_variance.shape == (5, 6)
    assert sum(p.numel() for p in encoder.parameters()) == (4 + 3 + 1) * 8 + 2 * (8 + 1) * 6
    critic = Critic(1024, 300, 512)
    assert sum(p.numel() for p in critic.parameters()) == 1325 * 512 + 513
    assert critic.layers[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert critic.layers[0].bias.abs().sum() == 0


def test_mean_over_no_rows_is_zero_with_a_gradient():
    value = torch.ones(3, requires_grad=True)
    total = mean_over(value, torch.zeros(3, dtype=torch.bool))
    total.backward()
    assert total == 0
    assert value.grad.tolist() == [0, 0, 0]
    assert mean_over(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([True, False, True])) == 2


def test_a_player_plays_while_any_of_its_parameters_trains():
    critic = Critic(4, 0, 8)
    assert plays(critic, None)
    critic.layers[0].requires_grad_(False)
    assert plays(critic)
    assert not plays(critic.requires_grad_(False), None)
