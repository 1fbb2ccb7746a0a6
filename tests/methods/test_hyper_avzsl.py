"""Hyper-AVZSL: the loss of its three variants in plain loops, and what curvature does to it in either form."""

import math
from dataclasses import replace

import pytest
import torch

import avshot.methods
from avshot import registry
from avshot.experiment import Experiment, resolve
from avshot.method import Inputs
from avshot.methods.avca import AVCA
from avshot.methods.hyper_avzsl import Alignment, HyperAvzsl
from avshot.nn.avca import Branch
from avshot.registry import create_method, get_method, get_preset, list_aliases
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=10, visual=12, text={"w2v": 8})
SMALL = {"hidden": 16, "width": 12, "embedding": 6, "heads": 2, "head_dim": 5, "feedforward": 7}
AVCA_TERMS = ("triplet", "reconstruction", "decoded_triplet", "word_triplet", "regularisation")


def make_batch(size=7, seed=1):
    """Clips of five classes with negatives, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.nn.functional.normalize(torch.randn(5, 8, generator=generator, dtype=torch.float64), dim=1)
    classes = Classes(tuple("abcde"), {"w2v": text}, torch.ones(5, dtype=torch.bool))

    def clips(labels, negative=None):
        audio, visual = (torch.randn(size, n, generator=generator, dtype=torch.float64) for n in (10, 12))
        return Batch(Features.averaged(audio, visual), labels, classes, negative)

    labels = torch.arange(size) % 5
    return clips(labels, clips((labels + 2) % 5))


def small(name, **overrides):
    """The method in double precision and eval mode; a curvature of 0.3 bends the small embeddings."""
    torch.manual_seed(0)
    return create_method(name, INPUTS, preset="ucf-main", **(SMALL | {"curvature": 0.3} | overrides)).double().eval()


def naive_alignment(phi_a, phi_v, curvatures, compare):
    """One batch: the mean over curvatures and pairs of clips, squared; `curvatures[i]` are those of clip i."""
    total, clips, spaces = 0.0, len(phi_a), len(curvatures[0])
    for k in range(spaces):
        for i in range(clips):
            for j in range(clips):
                own, other = curvatures[i][k], curvatures[j][k]
                v, a = (compare(phi[i].tolist(), phi[j].tolist(), own, other) for phi in (phi_v, phi_a))
                total += (v - a) ** 2
    return total / (spaces * clips**2)


def length(vector):
    return math.sqrt(sum(x * x for x in vector))


def geodesic(u, v, c_u, c_v):
    """Distance of two tangent vectors in the ball of their mean curvature, through the ball itself."""
    c = (c_u + c_v) / 2

    def into_ball(vector):
        n = length(vector)
        return [math.tanh(math.sqrt(c) * n) * x / (math.sqrt(c) * n) for x in vector]

    if u == v:
        return 0.0
    x, y = into_ball(u), into_ball(v)
    apart = length([p - q for p, q in zip(x, y, strict=True)]) ** 2
    return math.acosh(1 + 2 * c * apart / ((1 - c * length(x) ** 2) * (1 - c * length(y) ** 2))) / math.sqrt(c)


def released(u, v, c_u, c_v):
    """Clip each to the ball of its curvature, take the logarithm, compare by cosine: what the authors' code does."""

    def tangent(vector, c):
        longest = 0.999 / math.sqrt(c)
        if length(vector) > longest:
            vector = [x * longest / length(vector) for x in vector]
        reach = math.sqrt(c) * length(vector)
        return [math.atanh(reach) * x / reach for x in vector]

    x, y = tangent(u, c_u), tangent(v, c_v)
    return sum(p * q for p, q in zip(x, y, strict=True)) / (length(x) * length(y))


COMPARE = {"geodesic": geodesic, "cosine": released}


def expected_alignment(model, batch, curvatures_of, rows=slice(None)):
    """The weighted term of the loss; `curvatures_of(phi_a, phi_v)` gives a list of curvatures of one clip."""
    total = 0.0
    for part in (batch, batch.negative):
        phi_a, phi_v = (phi[rows] for phi in model.net.embed(part.features)[:2])
        curvatures = [curvatures_of(a, v) for a, v in zip(phi_a, phi_v, strict=True)]
        total += naive_alignment(phi_a, phi_v, curvatures, COMPARE[model.config.compare])
    return model.config.alignment * total


def learnt(model):
    """The curvatures of one clip as the code computes them: scale * sigmoid(linear([visual, audio]))."""
    weight, bias = model.alignment.curve.weight.tolist(), model.alignment.curve.bias.tolist()

    def of(phi_a, phi_v):
        inputs = phi_v.tolist() + phi_a.tolist()
        logits = [b + sum(w * x for w, x in zip(row, inputs, strict=True)) for row, b in zip(weight, bias, strict=True)]
        return [model.config.curvature / (1 + math.exp(-x)) for x in logits]

    return of


def curvature_gradient(model, batch):
    """The largest gradient of the alignment, unweighted, with respect to the map that makes the curvatures."""
    model.zero_grad(set_to_none=True)
    (model.loss(batch)["alignment"] / model.config.alignment).backward()
    return max(float(p.grad.abs().max()) for p in model.alignment.parameters())


# --- one fixed curvature ---------------------------------------------------------------------------------------------


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


# --- learnt curvatures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compare", ["geodesic", "cosine"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("hyper_single", {}), ("hyper_multiple", {"curvatures": 1}), ("hyper_multiple", {"curvatures": 3})],
)
@torch.no_grad()
def test_the_alignment_under_learnt_curvatures_equals_the_loops(compare, name, settings):
    model, batch = small(name, compare=compare, **settings), make_batch()
    expected = expected_alignment(model, batch, learnt(model))
    assert expected > 1e-5
    assert float(model.loss(batch)["alignment"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["hyper_single", "hyper_multiple"])
def test_the_released_form_gives_no_curvature_a_gradient_and_ours_gives_each_one(name):
    batch = make_batch()
    assert curvature_gradient(small(name, compare="cosine"), batch) < 1e-8
    model = small(name)
    assert curvature_gradient(model, batch) > 1e-3
    assert (model.alignment.curve.weight.grad.abs().sum(dim=1) > 1e-3 * model.config.alignment).all()


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


@torch.no_grad()
def test_one_curvature_is_hyper_single():
    batch = make_batch()
    one, single = small("hyper_multiple", curvatures=1), small("hyper_single")
    single.load_state_dict(one.state_dict())
    torch.testing.assert_close(one.loss(batch)["alignment"], single.loss(batch)["alignment"])
    assert not torch.allclose(small("hyper_multiple").loss(batch)["alignment"], single.loss(batch)["alignment"])


# --- settings --------------------------------------------------------------------------------------------------------


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="variant is 'double'; expected one of fixed, single, multiple"):
        small("hyper_avzsl", variant="double")
    with pytest.raises(ValueError, match="'euclid'; expected one of geodesic, cosine"):
        small("hyper_alignment", compare="euclid")
    with pytest.raises(ValueError, match="curvature is 0.0"):
        small("hyper_alignment", curvature=0)
    with pytest.raises(ValueError, match="curvatures is 0; expected at least 1"):
        small("hyper_multiple", curvatures=0)
    batch = make_batch()
    with pytest.raises(ValueError, match="negative"):
        small("hyper_alignment").loss(replace(batch, negative=None))


def test_published_presets_are_those_of_avca_with_the_alignment():
    presets = HyperAvzsl.presets
    assert {(p.config.alignment, p.config.curvature, p.config.compare) for p in presets.values()} == {
        (1e-3, 0.01, "geodesic")
    }
    rates = {name: (p.config.dropout_projection, p.config.momentum, p.recipe.batch_size) for name, p in presets.items()}
    assert rates["ucf-cls"] == (0.3, 0.99, 256)
    assert rates["vggsound-main"] == (0.0, 0.1, 64)
    counts = {name: preset.config.curvatures for name, preset in presets.items()}
    assert [counts[f"{name}-main"] for name in ("vggsound", "ucf", "activitynet")] == [2, 3, 2]
    assert [counts[f"{name}-cls"] for name in ("vggsound", "ucf", "activitynet")] == [3, 2, 3]
    assert HyperAvzsl.released == {**AVCA.released, "compare": "cosine"}


@pytest.mark.parametrize(
    ("name", "variant", "learnt"),
    [("hyper_alignment", "fixed", 0), ("hyper_single", "single", 1), ("hyper_multiple", "multiple", 3)],
)
def test_a_published_variant_is_an_alias_with_its_presets(name, variant, learnt):
    assert list_aliases()[name] == "hyper_avzsl"
    assert get_method(name) is HyperAvzsl
    for preset, own in HyperAvzsl.presets.items():
        assert get_preset(name, preset) == replace(own, config=replace(own.config, variant=variant))
    asked = Experiment(dataset="d", method=name, preset="ucf-main", config={"curvature": 0.5})
    assert asked.label() == f"{name}-ucf-main-curvature=0.5"  # Runs keep the name that they were asked for by
    assert (resolve(asked).config.variant, resolve(asked).config.curvature) == (variant, 0.5)
    model = create_method(name, Inputs(512, 512, {"w2v": 300}), preset="ucf-main", train_positions=True)
    assert model.config.variant == variant
    # As AVCA, and one map of 600 numbers for each curvature that is learnt.
    assert sum(p.numel() for p in model.parameters()) == 1_693_108 + 601 * learnt
    keys = {key for key in model.state_dict() if not key.startswith("net.")}
    assert keys == ({"alignment.curve.weight", "alignment.curve.bias"} if learnt else set())


def test_another_file_without_a_method_hides_no_alias(tmp_path, monkeypatch):
    (tmp_path / "not_a_method.py").write_text("")
    monkeypatch.setattr(avshot.methods, "__path__", [*avshot.methods.__path__, str(tmp_path)])
    registry._files_of.cache_clear()
    try:
        assert get_method("hyper_single") is HyperAvzsl
        with pytest.raises(ValueError, match=r"not_a_method\.py holds 0 methods"):
            get_method("not_a_method")
        with pytest.raises(ValueError, match="Method 'hyper_double' does not exist; methods: "):
            get_method("hyper_double")
    finally:
        registry._files_of.cache_clear()
