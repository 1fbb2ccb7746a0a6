"""Hyper-alignment: its loss in plain loops, and what curvature does to it in either form."""

from dataclasses import replace

import pytest
import torch
from hyper_witness import AVCA_TERMS, expected_alignment, make_batch, small

import avshot.methods.hyper_alignment as hyper
from avshot.method import Inputs
from avshot.nn.alignment import Alignment
from avshot.nn.avca import Branch
from avshot.registry import create_method
from avshot.types import Features


def branches(*phis, real=None):
    real = torch.ones(len(phis[0]), dtype=torch.bool) if real is None else real
    return [Branch(phi, phi, phi, phi, real) for phi in phis]


@pytest.mark.parametrize("compare", ["geodesic", "cosine"])
@torch.no_grad()
def test_the_alignment_equals_the_loops_and_the_rest_is_avca(compare):
    model, batch = small("hyper_alignment", compare=compare), make_batch()
    terms = model.loss(batch)
    expected = expected_alignment(model, batch, lambda a, v: [0.3])
    assert expected > 1e-5
    assert float(terms.pop("alignment")) == pytest.approx(expected, rel=1e-6)
    avca = small_avca(model)
    assert tuple(terms) == AVCA_TERMS
    for name, value in avca.loss(batch).items():
        torch.testing.assert_close(terms[name], value)
    assert torch.equal(model.score(batch.features, batch.classes), avca.score(batch.features, batch.classes))


def small_avca(model):
    fields = ("hidden", "width", "embedding", "heads", "head_dim", "feedforward")
    sizes = {name: getattr(model.config, name) for name in fields}
    avca = create_method("avca", model.inputs, preset="ucf-main", **sizes).double().eval()
    avca.net.load_state_dict(model.net.state_dict())
    return avca


@torch.no_grad()
def losses(compare):
    batch = make_batch()
    return [float(small("hyper_alignment", compare=compare, curvature=c).loss(batch)["alignment"]) for c in (0.01, 2.0)]


def test_the_released_form_is_blind_to_curvature_and_ours_is_not():
    weak, strong = losses("cosine")
    assert weak == pytest.approx(strong, rel=1e-10)
    weak, strong = losses("geodesic")
    assert abs(weak - strong) > 0.05 * weak


@pytest.mark.parametrize("compare", ["geodesic", "cosine"])
def test_gradients_equal_numeric_ones(compare):
    generator = torch.Generator().manual_seed(2)
    phis = [torch.rand(4, 5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    alignment = Alignment(5, 0.4, learnt=2, compare=compare).double()
    weight, bias = (p.detach().clone().requires_grad_() for p in alignment.parameters())

    def value(phi_a, phi_v, weight, bias):
        return torch.func.functional_call(
            alignment, {"curve.weight": weight, "curve.bias": bias}, tuple(branches(phi_a, phi_v))
        )

    assert torch.autograd.gradcheck(value, (*phis, weight, bias))


def test_clips_that_lack_a_modality_are_left_out():
    model, batch = small("hyper_alignment"), make_batch()
    whole = batch.features
    some = Features.cat([whole[:4], whole[4:6].only("audio"), whole[6:].only("visual")])
    with torch.no_grad():
        got = float(model.loss(replace(batch, features=some))["alignment"])
        full = expected_alignment(model, batch, lambda a, v: [0.3])
        fewer = expected_alignment(model, batch, lambda a, v: [0.3], rows=slice(4))
        own = expected_alignment(model, replace(batch, negative=batch), lambda a, v: [0.3]) / 2
        own_fewer = expected_alignment(model, replace(batch, negative=batch), lambda a, v: [0.3], rows=slice(4)) / 2
    assert got == pytest.approx(full - own + own_fewer, rel=1e-6)
    assert abs(got - fewer) > 1e-6
    none = replace(batch, features=whole.only("audio"))
    none = replace(none, negative=replace(batch.negative, features=batch.negative.features.only("visual")))
    assert float(model.loss(none)["alignment"].detach()) == 0


def test_equal_modalities_are_aligned_whatever_the_form():
    phi = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    for compare in ("geodesic", "cosine"):
        assert float(Alignment(3, 0.1, compare=compare)(*branches(phi, phi))) == 0


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="'euclid'; expected one of geodesic, cosine"):
        small("hyper_alignment", compare="euclid")
    with pytest.raises(ValueError, match="curvature is 0.0"):
        small("hyper_alignment", curvature=0)
    batch = make_batch()
    with pytest.raises(ValueError, match="negative"):
        small("hyper_alignment").loss(replace(batch, negative=None))


def test_published_presets_are_those_of_avca_with_the_alignment():
    presets = hyper.HyperAlignment.presets
    assert {(p.config.alignment, p.config.curvature, p.config.compare) for p in presets.values()} == {
        (1e-3, 0.01, "geodesic")
    }
    rates = {name: (p.config.dropout_projection, p.config.momentum, p.recipe.batch_size) for name, p in presets.items()}
    assert rates["ucf-cls"] == (0.3, 0.99, 256)
    assert rates["vggsound-main"] == (0.0, 0.1, 64)
    assert hyper.HyperAlignment.released == {"compare": "cosine"}
    model = create_method("hyper_alignment", Inputs(512, 512, {"w2v": 300}), preset="ucf-main", train_positions=True)
    assert sum(p.numel() for p in model.parameters()) == 1_693_108  # as AVCA: nothing else is learnt
