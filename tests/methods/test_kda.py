"""KDA: Gaussians against their closed form, loss terms and margins against loops over the paper's formulas."""

import itertools
import math

import numpy as np
import pytest
import torch

from avshot.method import Inputs
from avshot.methods.kda import wasserstein
from avshot.registry import create_method, get_method
from avshot.types import Batch, Classes, Features

ONE = {"clip": 8}
THREE = {"clip": 8, "clap": 10, "words": 7}
APART = {"clip#1": 8, "clip#2": 8, "clip#3": 8}  # three descriptions by one text encoder
BOTH = {"clip#1": 8, "clap#1": 10, "clip#2": 8, "clap#2": 10}
some_texts = pytest.mark.parametrize(
    "widths", [ONE, THREE, APART, BOTH], ids=["one text", "three encoders", "three descriptions", "two of each"]
)
SMALL = {
    "audio_hidden": 9, "visual_hidden": 11, "width": 12, "common": 6, "heads": 2, "head_dim": 5, "feedforward": 7,
}  # fmt: skip


def make_classes(widths, count=4):
    generator = torch.Generator().manual_seed(0)
    text = {
        name: torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)
        for name, width in widths.items()
    }
    return Classes(tuple(f"c{i}" for i in range(count)), text, torch.ones(count, dtype=torch.bool))


def make_batch(widths=ONE, labels=(0, 1, 3, 0, 1, 0)):
    generator = torch.Generator().manual_seed(1)
    audio, visual = torch.randn(len(labels), 10, generator=generator), torch.randn(len(labels), 5, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.tensor(labels), make_classes(widths))


def small(widths=ONE, preset="ucf-main", **overrides):
    torch.manual_seed(0)
    model = create_method("kda", Inputs(audio=10, visual=5, text=widths), preset=preset, **(SMALL | overrides))
    model.embed_clip.weight.data.normal_()  # it starts near zero, where rounding hides what is tested
    return model.eval()


def closed_form(mean, covariance, other_mean, other_covariance):
    """The 2-Wasserstein distance of any two Gaussians (paper eq. 2 and 3), in numpy."""

    def root(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T

    half = root(covariance)
    cross = root(half @ other_covariance @ half)
    square = np.sum((mean - other_mean) ** 2) + np.trace(covariance + other_covariance - 2 * cross)
    return math.sqrt(max(square, 0.0))


def gaussian(rows):
    """Mean and diagonal covariance of vectors, by loops."""
    rows = [[float(x) for x in row] for row in rows]
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    variance = [
        sum((x - m) ** 2 for x in column) / len(rows) for column, m in zip(zip(*rows, strict=True), mean, strict=True)
    ]
    return np.array(mean), np.diag(variance)


def texts(model, classes):
    """The vectors of each class in the common space: `[class][entry]`."""
    encoders = list(dict.fromkeys(name.split("#")[0] for name in classes.text))
    assert len(encoders) == len(model.embed_texts)  # one map for each, however many descriptions
    maps = {encoder: embed.weight for encoder, embed in zip(encoders, model.embed_texts, strict=True)}
    rows = []
    for j in range(len(classes)):
        rows.append([maps[name.split("#")[0]] @ vectors[j] for name, vectors in classes.text.items()])
    return rows


def test_distance_of_gaussians_equals_the_closed_form():
    rng = np.random.default_rng(0)
    mean, other_mean = rng.normal(size=(2, 5, 6))
    deviation, other_deviation = rng.uniform(0, 2, size=(2, 5, 6))
    deviation[0] = 0  # a point
    got = wasserstein(*map(torch.from_numpy, (mean, deviation, other_mean, other_deviation)))
    expected = [
        closed_form(mean[i], np.diag(deviation[i] ** 2), other_mean[i], np.diag(other_deviation[i] ** 2))
        for i in range(5)
    ]
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
@some_texts
@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.7, 0.4)])
def test_margins_are_distances_between_the_descriptions_of_two_classes(widths, scale, bias):
    model, classes = small(widths, margin_scale=scale, margin_bias=bias), make_classes(widths)
    gaussians = [gaussian(rows) for rows in texts(model, classes)]
    margins = model.margins(classes)
    for i in range(4):
        for j in range(4):
            expected = 0.0 if i == j else scale * closed_form(*gaussians[i], *gaussians[j]) + bias
            assert margins[i, j].item() == pytest.approx(expected, rel=1e-4), (i, j)
    if widths is ONE:  # points: the distance between two vectors
        (first,), (second,), *_ = texts(model, classes)
        assert margins[0, 1].item() == pytest.approx(
            scale * math.dist(first.tolist(), second.tolist()) + bias, rel=1e-4
        )


def test_equal_descriptions_have_no_spread_whatever_the_map_learnt():
    """With a map for each description they would: of the maps, not of what is said."""
    model, classes = small(APART), make_classes(APART)
    same = classes.with_text(dict.fromkeys(APART, classes.text["clip#1"]))
    _, deviation = model.describe(same)
    assert deviation.abs().max() < 1e-5
    apart = small({f"e{i}": 8 for i in range(3)})
    _, of_maps = apart.describe(classes.with_text({f"e{i}": classes.text["clip#1"] for i in range(3)}))
    assert of_maps.min() > 1e-3
    _, spread = model.describe(classes)
    assert spread.min() > 1e-4


def softmax_loss(model, batch, margin):
    """Eq. 7: the margin is added to the wrong classes' scores, inside the exponential."""
    rho, _ = model.embed(batch.features)
    mean = [gaussian(rows)[0] for rows in texts(model, batch.classes)]
    total = 0.0
    for clip, y in zip(rho.double().numpy(), batch.labels.tolist(), strict=True):
        right = math.exp(float(mean[y] @ clip))
        wrong = sum(math.exp(float(mean[k] @ clip) + margin(y, k)) for k in range(4) if k != y)
        total -= math.log(right / (right + wrong))
    return total / len(batch)


@torch.no_grad()
@some_texts
def test_the_margin_enters_the_softmax(widths):
    batch = make_batch(widths)
    model = small(widths, margin_scale=1.5, margin_bias=0.25, classification=2.0)
    gaussians = [gaussian(rows) for rows in texts(model, batch.classes)]
    expected = softmax_loss(model, batch, lambda y, k: 1.5 * closed_form(*gaussians[y], *gaussians[k]) + 0.25)
    assert model.loss(batch)["classification"].item() == pytest.approx(2 * expected, rel=1e-4)

    plain = small(widths, margin_scale=0.0, margin_bias=0.0)  # eq. 5
    without = softmax_loss(plain, batch, lambda y, k: 0.0)
    assert plain.loss(batch)["classification"].item() == pytest.approx(without, rel=1e-4)
    assert expected > without + 0.1


def test_no_gradient_passes_through_the_margin():
    batch, gradients = make_batch(), []
    model = small()
    fixed = model.margins(batch.classes)
    assert not fixed.requires_grad
    rho, _ = model.embed(batch.features)
    mean, _ = model.describe(batch.classes)
    by_hand = torch.nn.functional.cross_entropy(rho @ mean.T + fixed[batch.labels], batch.labels)
    for loss in (model.loss(batch)["classification"], by_hand):
        gradients.append(torch.autograd.grad(loss, model.embed_texts[0].weight, retain_graph=True)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@torch.no_grad()
@some_texts
def test_alignment_is_the_distance_of_a_class_clips_to_its_texts(widths):
    model, batch = small(widths, alignment_weight=3.0), make_batch(widths)
    rho, _ = model.embed(batch.features)
    rows, apart = texts(model, batch.classes), []
    for j in (0, 1, 3):  # class 2 has no clip in the batch, class 3 has one
        clips = [rho[i] for i, label in enumerate(batch.labels.tolist()) if label == j]
        apart.append(closed_form(*gaussian(clips), *gaussian(rows[j])))
    got = model.loss(batch)["alignment"].item()
    assert got == pytest.approx(3 * sum(apart) / 3, rel=1e-4)
    if widths is ONE:  # the root mean squared distance of the clips to the one text
        squares = [(rho[i] - rows[j][0]).square().sum().item() for i, j in enumerate(batch.labels.tolist())]
        per_class = [[squares[i] for i in chosen] for chosen in ((0, 3, 5), (1, 4), (2,))]
        assert got == pytest.approx(3 * sum(math.sqrt(sum(s) / len(s)) for s in per_class) / 3, rel=1e-4)


@torch.no_grad()
def test_deviation_over_the_numbers_of_a_vector():
    model, batch = small(spread="dimensions"), make_batch()
    vectors = [row[0].double().numpy() for row in texts(model, batch.classes)]
    mean, deviation = model.describe(batch.classes)
    for j, vector in enumerate(vectors):
        assert deviation[j].tolist() == pytest.approx([np.std(vector)] * 6, rel=1e-4)
        assert mean[j].tolist() == pytest.approx(vector.tolist(), rel=1e-4, abs=1e-6)
    expected = closed_form(*((v, np.var(v) * np.eye(6))[k] for v in vectors[:2] for k in (0, 1)))
    assert model.margins(batch.classes)[0, 1].item() == pytest.approx(expected, rel=1e-4)
    assert expected > math.dist(*vectors[:2])


@pytest.mark.parametrize("spread", ["entries", "dimensions"])
def test_gradients_are_finite_where_a_class_has_one_clip_and_one_text(spread):
    model = small(spread=spread).train()
    sum(model.loss(make_batch(labels=(0, 1, 2, 3, 3, 3))).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_released_program_is_a_regression_and_nothing_else():
    widths = {"name": 8, "description": 8}
    for model in (small(widths, preset="released-main"), small(widths, **get_method("kda").released)):
        batch = make_batch(widths)
        rho, _ = model.embed(batch.features)
        text = (batch.classes.text["name"] + batch.classes.text["description"]) / 2
        total, squares = sum(model.loss(batch).values()), 0.0
        for clip, label in zip(rho.tolist(), batch.labels.tolist(), strict=True):
            squares += sum((x - y) ** 2 for x, y in zip(clip, text[label].tolist(), strict=True))
        assert total.item() == pytest.approx(5 * squares / (len(batch) * 8), rel=1e-4)
        assert len(model.embed_texts) == 0
        scores = model.score(batch.features, batch.classes)
        expected = [[-math.dist(clip, row) for row in text.tolist()] for clip in rho.tolist()]
        torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    paper = small(widths)
    assert sum(paper.loss(batch).values()).item() != pytest.approx(total.item(), rel=0.1)


@torch.no_grad()
@pytest.mark.parametrize("normalise", [False, True])
def test_the_clip_passes_encoders_attention_projections_and_one_map_picture_first(normalise):
    model, batch = small(normalise=normalise), make_batch()
    audio = model.encoder["audio"](batch.features.audio[:, 0])
    visual = model.encoder["visual"](batch.features.visual[:, 0])
    attended = model.block(torch.stack([visual, audio], 1) + model.position, torch.ones(6, 1, 2, dtype=torch.bool))
    theta_v = model.projection["visual"](visual + attended[:, 0])
    theta_a = model.projection["audio"](audio + attended[:, 1])
    theta = torch.cat([theta_v, theta_a], dim=1)
    if normalise:
        theta = theta / theta.square().sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(model.embed(batch.features)[0], theta @ model.embed_clip.weight.T)


def test_sizes_are_those_of_the_released_code():
    def dense(*widths):
        return sum(i * o + o + 2 * o for i, o in itertools.pairwise(widths))  # with batch normalisation

    model = create_method("kda", Inputs(128, 4096, {"clip": 512}), preset="released-cls")
    attention = 2 * 512 + 512 * 900 + 300 * 512 + 512
    feedforward = 2 * 512 + 512 * 64 + 64 + 64 * 512 + 512
    expected = dense(128, 512, 512) + dense(4096, 1024, 512) + 2 * dense(512, 512, 512)
    expected += attention + feedforward + 2 * 512 + 1024 * 512
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert 0 <= model.embed_clip.weight.min() < model.embed_clip.weight.max() <= 2e-4


@torch.no_grad()
@pytest.mark.parametrize("side", ["audio", "visual"])
def test_one_branch_alone_has_no_attention_and_ignores_the_other(side):
    model, batch = small(modality=side), make_batch()
    assert not any(key.startswith(("block", "position")) for key in model.state_dict())
    theta = model.projection[side](model.encoder[side](getattr(batch.features, side)[:, 0]))
    torch.testing.assert_close(model.embed(batch.features)[0], theta @ model.embed_clip.weight.T)
    assert torch.equal(
        model.score(batch.features.only(side), batch.classes), model.score(batch.features, batch.classes)
    )


@torch.no_grad()
def test_a_clip_with_neither_modality_drops_out_of_the_losses():
    for preset in ("ucf-main", "released-main"):
        model, batch = small(preset=preset), make_batch()
        nothing = batch.features[:1].only("visual").only("audio")
        some = Batch(Features.cat([nothing, batch.features[1:]]), batch.labels, batch.classes)
        rest = model.loss(Batch(batch.features[1:], batch.labels[1:], batch.classes))
        for name, value in model.loss(some).items():
            assert value.item() == pytest.approx(rest[name].item(), rel=1e-4)
        assert all(value == 0 for value in model.loss(Batch(nothing, batch.labels[:1], batch.classes)).values())
        assert model.embed(nothing)[0].abs().max() == 0


@torch.no_grad()
def test_without_sound_its_half_of_theta_is_zero():
    model, batch = small(), make_batch()
    silent = batch.features.only("visual")
    visual = model.encoder["visual"](batch.features.visual[:, 0])
    tokens = torch.stack([visual, torch.zeros_like(visual)], 1) + model.position
    attended = model.block(tokens, torch.tensor([[[True, False]]]).expand(6, 1, 2))
    theta_v = model.projection["visual"](visual + attended[:, 0])
    torch.testing.assert_close(model.embed(silent)[0], theta_v @ model.embed_clip.weight[:, :12].T)


def test_settings_that_do_not_exist_or_fit_are_refused():
    with pytest.raises(ValueError, match="alignment is 'kl'; expected one of wasserstein, regression"):
        small(alignment="kl")
    with pytest.raises(ValueError, match=r"need one width; got \{'clip': 8, 'clap': 10, 'words': 7\}"):
        small(THREE, embed_text="none")
    with pytest.raises(ValueError, match="text encoder"):
        small({f"e{i}": 8 for i in range(13)})


def test_published_presets_hold_the_published_values():
    presets = get_method("kda").presets
    found = {
        name: (p.config.dropout_encoder, p.config.dropout_projection, p.config.alignment_weight, p.config.normalise)
        for name, p in presets.items()
        if name != "default"
    }
    assert found == {
        "ucf-main": (0.2, 0.3, 10.0, False),
        "ucf-cls": (0.2, 0.3, 10.0, True),
        "activitynet-main": (0.2, 0.2, 1.0, False),
        "activitynet-cls": (0.2, 0.2, 1.0, True),
        "vggsound-main": (0.0, 0.0, 1.0, False),
        "vggsound-cls": (0.0, 0.0, 1.0, True),
        "released-main": (0.0, 0.0, 5.0, False),
        "released-cls": (0.0, 0.0, 5.0, True),
    }
    for name in found:
        recipe = presets[name].recipe
        assert (recipe.epochs, recipe.batches_per_epoch, recipe.batch_size) == (50, 50, 2048)
        assert (recipe.lr, recipe.betas, recipe.weight_decay, recipe.schedule) == (1e-3, (0.5, 0.999), 0.0, "plateau")
