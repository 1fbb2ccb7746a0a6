"""SLDG: weights by normal distributions against a loop over steps."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot.methods.sldg import Normals
from few_shot_clips import ENCODERS, LENGTHS, small, some_features


def made(**fields):
    return small("sldg", **(ENCODERS | {"normals": 2} | fields))


def naive_weights(mean, deviation, steps):
    """Densities of a normal distribution at the steps' places, divided by their sum."""
    density = [
        math.exp(-(((i + 0.5) / steps - mean) ** 2) / (2 * deviation**2)) / (deviation * math.sqrt(2 * math.pi))
        for i in range(steps)
    ]
    return [d / sum(density) for d in density]


@torch.no_grad()
def test_weights_against_a_loop():
    normals = Normals(3)
    assert normals.mean.tolist() == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert normals.log_deviation.exp().tolist() == pytest.approx([1 / 6] * 3)
    normals.mean.copy_(torch.tensor([0.1, 0.5, 1.2]))
    normals.log_deviation.copy_(torch.tensor([0.3, 0.05, 0.4]).log())
    mask = torch.tensor([[True] * 6, [False, True, True, False, False, True], [True] + [False] * 5, [False] * 6])
    weights = normals(mask)
    for i in range(3):
        for k, (mean, deviation) in enumerate(((0.1, 0.3), (0.5, 0.05), (1.2, 0.4))):
            expected = naive_weights(mean, deviation, int(mask[i].sum()))
            assert weights[i, k][mask[i]].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-7)
            assert not weights[i, k][~mask[i]].any()
    assert not weights[3].any()


@given(st.integers(1, 40), st.floats(-5, 5), st.floats(-12, 3))
@torch.no_grad()
def test_weights_add_up_wherever_the_normal_lies(steps, mean, log_deviation):
    normals = Normals(1)
    normals.mean.fill_(mean)
    normals.log_deviation.fill_(log_deviation)
    weights = normals(torch.ones(1, steps, dtype=torch.bool))
    assert weights.isfinite().all()
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)


def test_means_and_deviations_learn_and_survive_empty_clips():
    normals, mask = Normals(2), torch.tensor([[True, True, True], [False, False, False]])
    (normals(mask) @ torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    for parameter in normals.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().min() > 0


@torch.no_grad()
def test_averages_of_each_modality_against_a_loop():
    model, features = made(), some_features()
    fused = model.fusion(features)
    assert fused.shape == (len(LENGTHS), 2 * 2 * 12)
    for i, (a, v) in enumerate(LENGTHS):
        audio, visual = model.fusion.encode(features[i])
        expected = []
        for rows, steps in ((audio, a), (visual, v)):
            for mean in (0.25, 0.75):
                weights = naive_weights(mean, 0.25, steps) if steps else []
                expected.append(sum((w * row for w, row in zip(weights, rows, strict=True)), torch.zeros(12)))
        torch.testing.assert_close(fused[i], torch.cat(expected), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_order_matters():
    model, features = made(), some_features([(6, 5)])
    turned = some_features([(6, 5)])
    turned.audio.copy_(turned.audio.flip(1))
    turned.visual.copy_(turned.visual.flip(1))
    assert not torch.isclose(model.embed(features), model.embed(turned)).all()


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="normals is 0"):
        made(normals=0)
