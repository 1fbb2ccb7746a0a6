"""Hyper-multiple: the mean of alignments under several learnt curvatures, in plain loops."""

import pytest
import torch
from hyper_witness import curvature_gradient, expected_alignment, learnt, make_batch, small

import avshot.methods.hyper_multiple as hyper
from avshot.method import Inputs
from avshot.registry import create_method


@pytest.mark.parametrize("compare", ["geodesic", "cosine"])
@pytest.mark.parametrize("curvatures", [1, 3])
@torch.no_grad()
def test_the_alignment_equals_the_loops(compare, curvatures):
    model, batch = small("hyper_multiple", compare=compare, curvatures=curvatures), make_batch()
    expected = expected_alignment(model, batch, learnt(model))
    assert expected > 1e-5
    assert float(model.loss(batch)["alignment"]) == pytest.approx(expected, rel=1e-6)


def test_the_released_form_gives_no_curvature_a_gradient_and_ours_gives_each_one():
    batch = make_batch()
    assert curvature_gradient(small("hyper_multiple", compare="cosine"), batch) < 1e-8
    model = small("hyper_multiple")
    assert curvature_gradient(model, batch) > 1e-3
    assert (model.alignment.curve.weight.grad.abs().sum(dim=1) > 1e-3 * model.config.alignment).all()


@torch.no_grad()
def test_one_curvature_is_hyper_single():
    batch = make_batch()
    one, single = small("hyper_multiple", curvatures=1), small("hyper_single")
    single.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.loss(batch)["alignment"], single.loss(batch)["alignment"])
    assert not torch.allclose(small("hyper_multiple").loss(batch)["alignment"], single.loss(batch)["alignment"])


def test_fewer_than_one_curvature_is_refused():
    with pytest.raises(ValueError, match="curvatures is 0; expected at least 1"):
        small("hyper_multiple", curvatures=0)


def test_the_published_presets_have_the_published_numbers_of_curvatures():
    counts = {name: preset.config.curvatures for name, preset in hyper.HyperMultiple.presets.items()}
    assert [counts[f"{name}-main"] for name in ("vggsound", "ucf", "activitynet")] == [2, 3, 2]
    assert [counts[f"{name}-cls"] for name in ("vggsound", "ucf", "activitynet")] == [3, 2, 3]
    model = create_method("hyper_multiple", Inputs(512, 512, {"w2v": 300}), preset="ucf-main", train_positions=True)
    assert sum(p.numel() for p in model.parameters()) == 1_693_108 + 3 * 601
    assert hyper.HyperMultiple.released == {"compare": "cosine"}
