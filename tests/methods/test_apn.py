"""APN: loss terms against the formulas, the released double softmax, and prototypes that change no score."""

import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method, get_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(size=8, count=4):
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % count, classes)


def make(preset="ucf-cls", **overrides):
    """A model whose maps are not near zero, so that terms are worth comparing."""
    model = create_method("apn", INPUTS, preset=preset, **overrides)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def softmax(values):
    total = sum(math.exp(v) for v in values)
    return [math.exp(v) / total for v in values]


def expected_terms(weight, batch, double):
    """Cross-entropy and mean squared error of one map, number by number."""
    text, entropy, squares = batch.classes.text["words"].tolist(), [], []
    joined = torch.cat([batch.features.visual[:, 0], batch.features.audio[:, 0]], dim=1).tolist()
    for x, label in zip(joined, batch.labels.tolist(), strict=True):
        length = math.sqrt(sum(v * v for v in x))
        embedded = [sum(w * v / length for w, v in zip(row, x, strict=True)) for row in weight.tolist()]
        logits = [sum(e * t for e, t in zip(embedded, row, strict=True)) for row in text]
        entropy.append(-math.log(softmax(softmax(logits) if double else logits)[label]))
        squares += [(e - t) ** 2 for e, t in zip(embedded, text[label], strict=True)]
    return sum(entropy) / len(entropy), sum(squares) / len(squares)


@pytest.mark.parametrize("double", [False, True])
def test_terms_equal_the_formulas(double):
    model, batch = make(double_softmax=double), make_batch()
    terms = model.loss(batch)
    assert sorted(terms) == ["cross_entropy", "prototype_cross_entropy", "prototype_regression", "regression"]
    for prefix, linear in (("", model.map), ("prototype_", model.prototypes)):
        entropy, squared = expected_terms(linear.weight, batch, double)
        assert terms[f"{prefix}cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
        assert terms[f"{prefix}regression"].item() == pytest.approx(squared, rel=1e-5)


def test_the_released_double_softmax_cannot_be_fitted():
    assert get_method("apn").released["double_softmax"] is True
    batch = make_batch(size=4)
    sure = {}
    for double in (False, True):
        model = make(double_softmax=double, prototypes=False)
        with torch.no_grad():  # each clip gets its own class with a dot product of 40, the others with 0
            x = torch.cat([batch.features.visual[:, 0], batch.features.audio[:, 0]], dim=1)
            x = torch.nn.functional.normalize(x, dim=1)
            text = batch.classes.text["words"]
            model.map.weight.copy_((torch.linalg.pinv(x) @ (40 * torch.eye(4)) @ torch.linalg.pinv(text).T).T)
        sure[double] = model.loss(batch)["cross_entropy"].item()
    assert sure[False] == pytest.approx(0.0, abs=1e-4)
    assert sure[True] == pytest.approx(-math.log(math.e / (math.e + 3)), rel=1e-4)  # its least value for 4 classes


def test_prototypes_change_neither_the_gradient_of_the_other_map_nor_a_score():
    batch, gradients, scores = make_batch(), [], []
    for prototypes in (True, False):
        torch.manual_seed(0)
        model = create_method("apn", INPUTS, preset="ucf-main", prototypes=prototypes)
        sum(model.loss(batch).values()).backward()
        gradients.append(model.map.weight.grad)
        scores.append(model.score(batch.features, batch.classes))
    assert torch.equal(*gradients)
    assert torch.equal(*scores)


def test_it_starts_small_and_has_the_published_sizes():
    model = create_method("apn", Inputs(512, 512, {"w2v": 300}), preset="vggsound-main")
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == {
        "map.weight": (300, 1024),  # ALE_vector in the authors' code
        "prototypes.weight": (300, 1024),  # prototype_vectors.layer4
    }
    for parameter in model.parameters():
        assert 0 <= parameter.min() < 1e-5
        assert 1.9e-4 < parameter.max() <= 2e-4


@torch.no_grad()
def test_the_score_is_the_distance_of_the_first_map():
    model, batch = make(), make_batch()
    embedded = model.map(batch.features)
    expected = torch.stack([-(embedded - row).square().sum(dim=1).sqrt() for row in batch.classes.text["words"]], dim=1)
    torch.testing.assert_close(model.score(batch.features, batch.classes), expected)
