"""Hyper-single: the loss under a curvature of each clip in plain loops, and where that curvature gets its gradient."""

import pytest
import torch
from hyper_witness import curvature_gradient, expected_alignment, learnt, make_batch, small

import avshot.methods.hyper_single as hyper
from avshot.method import Inputs
from avshot.registry import create_method


@pytest.mark.parametrize("compare", ["geodesic", "cosine"])
@torch.no_grad()
def test_the_alignment_equals_the_loops(compare):
    model, batch = small("hyper_single", compare=compare), make_batch()
    expected = expected_alignment(model, batch, learnt(model))
    assert expected > 1e-5
    assert float(model.loss(batch)["alignment"]) == pytest.approx(expected, rel=1e-6)


def test_the_released_form_gives_the_curvature_no_gradient_and_ours_does():
    batch = make_batch()
    assert curvature_gradient(small("hyper_single", compare="cosine"), batch) < 1e-8
    assert curvature_gradient(small("hyper_single"), batch) > 1e-3


def test_a_step_along_the_gradient_changes_the_loss_as_it_says():
    model, batch = small("hyper_single", compare="geodesic"), make_batch()
    model.zero_grad(set_to_none=True)
    model.loss(batch)["alignment"].backward()
    bias, step = model.alignment.curve.bias, 1e-4
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            bias += sign * step
            values.append(float(model.loss(batch)["alignment"]))
            bias -= sign * step
    assert float(bias.grad) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


@torch.no_grad()
def test_the_released_form_is_hyper_alignment():
    batch = make_batch()
    single, fixed = (small(name, compare="cosine") for name in ("hyper_single", "hyper_alignment"))
    fixed.net.load_state_dict(single.net.state_dict())
    torch.testing.assert_close(single.loss(batch)["alignment"], fixed.loss(batch)["alignment"])
    ours, fixed = (small(name) for name in ("hyper_single", "hyper_alignment"))
    fixed.net.load_state_dict(ours.net.state_dict())
    assert not torch.allclose(ours.loss(batch)["alignment"], fixed.loss(batch)["alignment"], rtol=1e-3)


@torch.no_grad()
def test_curvatures_differ_between_clips_and_stay_below_the_bound():
    model, batch = small("hyper_single"), make_batch()
    found = model.alignment.curvatures(*model.net.embed(batch.features)[:2])
    assert found.shape == (7, 1)
    assert 0 < found.min() < found.max() < 0.3


def test_the_published_size_is_that_of_avca_and_a_map_of_600_numbers():
    model = create_method("hyper_single", Inputs(512, 512, {"w2v": 300}), preset="ucf-main", train_positions=True)
    assert model.alignment.curve.weight.shape == (1, 600)
    assert sum(p.numel() for p in model.parameters()) == 1_693_108 + 601
    assert hyper.HyperSingle.released == {"compare": "cosine"}
