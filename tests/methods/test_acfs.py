"""ACFS: contrast, class and critic losses against loops, players, and a classifier in the embedding."""

import math

import pytest
import torch

from avshot.method import Inputs, Recipe
from avshot.methods.acfs import supervised_contrast
from avshot.registry import create_method, get_preset
from avshot.training.optimisers import Players
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})
SMALL = {"noise": 6, "generator_hidden": 8, "critic_hidden": 9, "embedding": 10, "projection": 3, "scaling": "none"}


def make_classes(count=4, seen=4):
    text = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))[:count]
    return Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.arange(count) < seen)


def make_batch(size=6):
    generator = torch.Generator().manual_seed(1)
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % 4, make_classes())


def build(**overrides):
    torch.manual_seed(0)
    return create_method("acfs", INPUTS, **{**SMALL, **overrides})


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def contrast_loop(value, labels, real, temperature):
    rows, total, counted = [i for i in range(len(value)) if real[i]], 0.0, 0
    for i in rows:
        friends = [p for p in rows if p != i and labels[p] == labels[i]]
        if not friends:
            continue
        below = sum(math.exp(cosine(value[i], value[k]) / temperature) for k in rows if k != i)
        shares = [math.exp(cosine(value[i], value[p]) / temperature) / below for p in friends]
        total -= sum(math.log(share) for share in shares) / len(friends)
        counted += 1
    return total / counted


def test_contrast_equals_the_loop_over_rows():
    value = torch.randn(7, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    labels, real = torch.tensor([0, 1, 0, 2, 1, 0, 1]), torch.tensor([True] * 6 + [False])
    found = supervised_contrast(value, labels, real, 0.3)
    assert found.item() == pytest.approx(contrast_loop(value.tolist(), labels, real, 0.3), rel=1e-5)
    found.backward()
    assert value.grad.isfinite().all()
    assert value.grad[6].abs().sum() == 0  # not real
    assert value.grad[3].abs().sum() > 0  # alone in its class, but others are contrasted against it


@pytest.mark.parametrize("count", [0, 1, 2], ids=["nothing", "one row", "no two of a class"])
def test_contrast_without_pairs_is_zero_with_a_gradient(count):
    value = torch.randn(3, 4, requires_grad=True)
    found = supervised_contrast(value, torch.arange(3), torch.arange(3) < count, 0.1)
    found.backward()
    assert found == 0
    assert value.grad.isfinite().all()


def test_loss_terms_equal_the_loop_over_clips():
    weights = {"adversarial": 3.0, "contrastive": 0.5, "discriminative": 2.0, "penalty": 10.0}
    model, batch = build(**weights, temperature=0.3, class_temperature=0.2).train(), make_batch()
    features = batch.features  # the fifth clip lacks sound, the sixth everything
    features = Features.cat([features[:4], features[4].only("visual"), features[5].only("audio").only("visual")])
    batch = Batch(features, batch.labels, batch.classes)
    torch.manual_seed(7)
    terms = model.loss(batch)
    assert list(terms) == ["critic", "gradient_penalty", "adversarial", "contrastive", "discriminative"]

    text = batch.classes.text["words"]
    told = text[batch.labels]
    mask = torch.ones(6, 7)
    mask[4, :4], mask[5] = 0, 0
    real = torch.cat([features.audio[:, 0], features.visual[:, 0]], dim=1)
    torch.manual_seed(7)
    with torch.no_grad():
        fake = model.generator.make(told) * mask
        mix = torch.rand(6, 1)
        judge = [[float(model.critic(x[i : i + 1], told[i : i + 1])) for i in range(5)] for x in (real, fake)]
        embedded = model.embedding(torch.cat([real, fake]))
        contrasted, matched = model.projection(embedded).tolist(), model.to_text(embedded).tolist()
    labels, there = batch.labels.tolist() * 2, ([True] * 5 + [False]) * 2
    expected = dict.fromkeys(terms, 0.0)
    for i in range(5):
        expected["critic"] += (judge[1][i] - judge[0][i]) / 5
        expected["adversarial"] -= 3 * judge[1][i] / 5
        point = (mix[i] * real[i] + (1 - mix[i]) * fake[i]).requires_grad_(True)
        (slope,) = torch.autograd.grad(model.critic(point[None], told[i : i + 1]).sum(), point)
        expected["gradient_penalty"] += 10 * (slope.norm().item() - 1) ** 2 / 5
    expected["contrastive"] = 0.5 * contrast_loop(contrasted, labels, there, 0.3)
    for row, label, counts in zip(matched, labels, there, strict=True):
        if counts:
            likes = [math.exp(cosine(row, word) / 0.2) for word in text.tolist()]
            expected["discriminative"] -= 2 * math.log(likes[label] / sum(likes)) / 10
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4), name


def test_each_player_changes_its_own_weights_only():
    model, batch = build(critic_steps=2).train(), make_batch()
    (phase,) = model.phases()
    players, moved = Players(model, phase, Recipe(lr=1e-2)), []
    for step in range(6):
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        players.step(batch, step)
        now = dict(model.named_parameters())
        moved.append({name.split(".")[0] for name, value in before.items() if not torch.equal(now[name], value)})
    others = {"generator", "embedding", "projection", "to_text"}
    assert moved == [{"critic"}, {"critic"}, others] * 2


def test_the_classifier_works_in_the_embedding():
    model, batch, classes = build(synthetic=7).eval(), make_batch(), make_classes(6, 4)
    with pytest.raises(ValueError, match=r"class 'c0'.*adapt"):
        model.score(batch.features, classes)
    asked, make = [], model.generator.make
    model.generator.make = lambda text: asked.append(text) or make(text)
    torch.manual_seed(3)
    model.adapt([batch], classes)
    assert {tuple(row) for row in asked[0].tolist()} == {tuple(row) for row in classes.text["words"][4:].tolist()}
    assert model.classifier.weight.shape == (6, 10)
    scores = model.score(batch.features, classes)
    order = [5, 1, 3, 0, 4, 2]
    permuted = classes.select([f"c{i}" for i in order])
    torch.testing.assert_close(model.score(batch.features, permuted), scores[:, order])
    real = torch.cat([batch.features.audio[:, 0], batch.features.visual[:, 0]], dim=1)
    row = int((model.classifier.embedding == classes.text["words"][2]).all(dim=1).nonzero())
    with torch.no_grad():
        expected = model.embedding(real) @ model.classifier.weight[row] + model.classifier.bias[row]
        torch.testing.assert_close(scores[:, 2], expected)
    fresh = build(synthetic=7).eval()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.score(batch.features, classes), scores)


def test_presets_say_that_they_are_assumed():
    for name in ("ucf-main", "activitynet-cls", "vggsound-main"):
        assert "assumed" in get_preset("acfs", name).source
