"""f-VAEGAN-D2: loss terms against loops, players that keep to their own weights, and what `adapt` learns from."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from avshot.experiment import Experiment, resolve
from avshot.method import Inputs, Recipe
from avshot.nn.gaussian import draw
from avshot.registry import create_method, get_method, get_preset
from avshot.training.optimisers import Players
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})
SMALL = {"noise": 6, "encoder_hidden": 7, "generator_hidden": 8, "critic_hidden": 9}
LINEAR = {"scaling": "none", "output": "linear"}


def make_classes(count=4, seen=4):
    text = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))[:count]
    text = torch.nn.functional.normalize(text, dim=1)
    return Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.arange(count) < seen)


def make_batch(size=6, positive=False):
    generator = torch.Generator().manual_seed(1)
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    if positive:
        audio, visual = audio.abs(), visual.abs()
    return Batch(Features.averaged(audio, visual), torch.arange(size) % 4, make_classes())


def build(preset="ucf-main", **overrides):
    torch.manual_seed(0)
    return create_method("f_vaegan_d2", INPUTS, preset=preset, **{**SMALL, **overrides})


def replayed(model, real, told, mask):
    """The random draws of `loss` in their order: fake features, mixing shares, decoded features with their Gaussian."""
    fake = model.generator.make(told) * mask
    mix = torch.rand(len(real), 1)
    if model.unconditional is not None:
        torch.rand(len(real), 1)
    mean, log_variance = model.encoder(real, told)
    return fake, mix, model.generator(draw(mean, log_variance), told), mean, log_variance


def slope(critic, point, told):
    point = point.detach().clone().requires_grad_(True)
    return torch.autograd.grad(critic(point[None], told[None]).sum(), point)[0].norm().item()


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_loss_terms_equal_the_loop_over_clips(output):
    scaling = "unit" if output == "sigmoid" else "none"
    model = build(output=output, scaling=scaling, gan_weight=3.0, penalty=10.0).train()
    batch = make_batch(positive=output == "sigmoid")
    if output == "linear":  # a clip without picture and one with nothing
        features = batch.features
        features = Features.cat([features[:4], features[4].only("visual"), features[5].only("audio").only("visual")])
        batch = Batch(features, batch.labels, batch.classes)
    torch.manual_seed(7)
    terms = model.loss(batch)
    assert list(terms) == ["critic", "gradient_penalty", "reconstruction", "kl", "adversarial"]

    told = batch.classes.text["words"][batch.labels]
    real = torch.cat([batch.features.audio[:, 0], batch.features.visual[:, 0]], dim=1)
    clips = [i for i in range(6) if output == "sigmoid" or i < 5]
    mask = torch.ones(6, 7)
    if output == "linear":
        mask[4, :4], mask[5] = 0, 0
    else:
        real = torch.stack([row / row.square().sum().sqrt() for row in real])
    torch.manual_seed(7)
    with torch.no_grad():
        fake, mix, back, mean, log_variance = replayed(model, real, told, mask)
        judge = [
            [float(model.critic(value[i : i + 1], told[i : i + 1])) for i in range(6)]
            for value in (real, fake, back * mask)
        ]
    expected = dict.fromkeys(terms, 0.0)
    for i in clips:
        expected["critic"] += judge[1][i] - judge[0][i]
        point = mix[i] * real[i] + (1 - mix[i]) * fake[i]
        expected["gradient_penalty"] += 10 * (slope(model.critic, point, told[i]) - 1) ** 2
        expected["adversarial"] -= 3 * (judge[1][i] + judge[2][i])
        for k in range(7):
            x, y = float(real[i, k]), float(back[i, k])
            if mask[i, k] and output == "linear":
                expected["reconstruction"] += (x - y) ** 2 / 2
            elif mask[i, k]:
                expected["reconstruction"] -= x * math.log(y) + (1 - x) * math.log(1 - y)
        for k in range(6):
            m, lv = float(mean[i, k]), float(log_variance[i, k])
            expected["kl"] -= 0.5 * (1 + lv - m * m - math.exp(lv))
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value / len(clips), rel=1e-4), name


def test_the_second_critic_is_not_told_the_class_and_heard_by_its_weight():
    model, batch = build(**LINEAR, unconditional=0.5, gan_weight=2.0).train(), make_batch()
    torch.manual_seed(7)
    terms = model.loss(batch)
    told = batch.classes.text["words"][batch.labels]
    real = torch.cat([batch.features.audio[:, 0], batch.features.visual[:, 0]], dim=1)
    torch.manual_seed(7)
    with torch.no_grad():
        fake, _, back, _, _ = replayed(model, real, told, torch.ones(6, 7))
        first = [model.critic(x, told).mean() for x in (real, fake, back)]
        second = [model.unconditional(x).mean() for x in (real, fake)]
    torch.testing.assert_close(terms["critic"], first[1] - first[0] + 0.5 * (second[1] - second[0]))
    torch.testing.assert_close(terms["adversarial"], -2 * (first[1] + first[2] + 0.5 * second[1]))
    assert build().unconditional is None


def snapshot(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changed(model, before):
    return {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def test_each_player_changes_its_own_weights_only():
    model, batch = build(**LINEAR, critic_steps=3, unconditional=1.0).train(), make_batch()
    (phase,) = model.phases()
    players = Players(model, phase, Recipe(lr=1e-2))
    moved, shown = [], []
    for step in range(8):
        before = snapshot(model)
        shown.append(set(players.step(batch, step)))
        moved.append(changed(model, before))
    critics, makers = {"critic", "unconditional"}, {"generator", "encoder"}
    assert moved == [critics] * 3 + [makers] + [critics] * 3 + [makers]
    assert shown[2] == {"critic", "gradient_penalty"}
    assert shown[3] == {"reconstruction", "kl", "adversarial"}


def test_published_sizes():
    torch.manual_seed(0)
    model = create_method("f_vaegan_d2", Inputs(512, 512, {"w2v": 300}), preset="ucf-main", unconditional=1.0)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters() if value.ndim == 2}
    assert shapes == {
        "generator.layers.0.weight": (512, 600),
        "generator.layers.2.weight": (1024, 512),
        "encoder.layer.0.weight": (300, 1324),
        "encoder.mean.weight": (300, 300),
        "encoder.log_variance.weight": (300, 300),
        "critic.layers.0.weight": (512, 1324),
        "critic.layers.2.weight": (1, 512),
        "unconditional.layers.0.weight": (512, 1024),
        "unconditional.layers.2.weight": (1, 512),
    }


def test_the_released_break_leaves_one_critic_and_one_generator_step_an_epoch():
    preset = get_preset("f_vaegan_d2", "released")
    model = build("released")
    order = Players(model, model.phases()[0], preset.recipe).order
    assert order * (preset.recipe.batches(5000) // len(order)) == [0, 1]
    for name in ("default", "ucf-main", "vggsound-main"):  # legacy does the same to every preset
        parts = resolve(Experiment(dataset="any", method="f_vaegan_d2", preset=name, legacy=True))
        model = build(name, **get_method("f_vaegan_d2").released)
        order = Players(model, model.phases()[0], parts.recipe).order
        assert order * (parts.recipe.batches(5000) // len(order)) == [0, 1]
        assert (parts.selection.beta_grid, parts.selection.views) == ("none", ("both",))
    meant = get_preset("f_vaegan_d2", "ucf-main")
    order = Players(build("ucf-main"), build("ucf-main").phases()[0], meant.recipe).order
    in_all = [meant.recipe.epochs * meant.recipe.batches(5000) * order.count(i) // len(order) for i in (0, 1)]
    assert in_all == [25000, 5000]


def adapted(model, given, classes):
    torch.manual_seed(3)
    model.eval().adapt(given, classes)
    return model


def test_adapt_generates_for_classes_without_clips():
    model, classes, batch = build("default", synthetic=7), make_classes(6, 4), make_batch()
    asked = []
    make = model.generator.make
    model.generator.make = lambda text: asked.append(text) or make(text)
    adapted(model, [batch], classes)
    adapted(model, None, classes)
    wanted = classes.text["words"]
    assert len(asked[0]) == 2 * 7
    assert {tuple(row) for row in asked[0].tolist()} == {tuple(row) for row in wanted[4:].tolist()}
    assert len(asked[1]) == 6 * 7
    scores = model.score(batch.features, classes)
    assert scores.shape == (6, 6)
    order = [5, 1, 3, 0, 4, 2]
    permuted = classes.select([f"c{i}" for i in order])
    torch.testing.assert_close(model.score(batch.features, permuted), scores[:, order])


def test_generated_features_lack_what_training_never_showed():
    model, batch, classes = build("default", synthetic=7), make_batch(), make_classes(6, 4)
    only = Batch(batch.features.only("audio"), batch.labels, batch.classes)
    model.train().loss(only)
    adapted(model, [only], classes)
    assert model.classifier.weight[:, 4:].abs().sum() == 0
    assert model.classifier.weight[:, :4].abs().sum() > 0


def test_real_and_generated_features_have_unit_length_with_the_published_scaling():
    model, batch = build(synthetic=3), make_batch(positive=True)
    text = batch.classes.text["words"]
    made, real = model._make(text), model._embed(batch.features)
    for value in (made, real):
        torch.testing.assert_close(value.norm(dim=1), torch.ones(len(value)))


def test_state_goes_through_a_file_with_its_candidates(tmp_path):
    classes, batch = make_classes(6, 4), make_batch()
    model = adapted(build("default", synthetic=5), [batch], classes)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    fresh = build("default", synthetic=5).eval()
    with pytest.raises(ValueError, match=r"class 'c0'.*adapt"):
        fresh.score(batch.features, classes)
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh.score(batch.features, classes), model.score(batch.features, classes))
    save_file(build("default").state_dict(), tmp_path / "empty.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "empty.safetensors"))
    assert len(fresh.classifier.weight) == 0


def test_diffusion_in_place_of_the_gan_is_one_setting_away():
    """Clips are linear images of class vectors; classes 4 and 5 have none in training."""
    torch.manual_seed(0)
    model, classes, picture = build("default", generator="diffusion"), make_classes(6, 4), torch.randn(5, 7)

    def clips(labels):
        value = 2 * classes.text["words"][labels] @ picture + 0.1 * torch.randn(len(labels), 7)
        return Batch(Features.averaged(value[:, :4], value[:, 4:]), labels, classes)

    (phase,) = model.train().phases()
    players = Players(model, phase, Recipe(lr=3e-3))
    losses = [players.step(clips(torch.arange(64) % 4), step)["diffusion"] for step in range(250)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    given = clips(torch.arange(40) % 4)
    adapted(model, [Batch(given.features, given.labels, make_classes(4, 4))], classes)
    new = clips(torch.arange(60) % 2 + 4)
    found = model.score(new.features, classes.select(["c4", "c5"])).argmax(dim=1)
    assert (found == torch.arange(60) % 2).float().mean() > 0.8
    assert not {name.split(".")[0] for name, _ in model.named_parameters()} & {"generator", "encoder", "critic"}
    with pytest.raises(ValueError, match="expected one of wgan, diffusion"):
        build(generator="gan")


def test_diffusion_leaves_out_what_is_missing_and_stays_in_range():
    model, classes, batch = build("default", generator="diffusion", synthetic=3), make_classes(6, 4), make_batch()
    only = Batch(batch.features.only("audio"), batch.labels, batch.classes)
    torch.manual_seed(2)
    found = model.train().loss(only)["diffusion"]
    torch.manual_seed(2)
    real, mask = model.joined(only.features)
    told = batch.classes.text["words"][batch.labels]
    torch.testing.assert_close(found, model.diffusion.loss(real, told, mask).mean())
    adapted(model, [only], classes)
    assert model.classifier.weight[:, 4:].abs().sum() == 0
    positive = build(generator="diffusion", scaling="none")
    made = positive._make(classes.text["words"])
    assert made.min() >= 0
    assert made.max() <= 1


def test_a_sigmoid_cannot_make_negative_features():
    with pytest.raises(ValueError, match=r'outside 0 to 1.*output="linear"'):
        build().train().loss(make_batch())
