"""SJE: the loss against the formula written as loops, sizes of the published map, and what the score ranks by."""

import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(size=8, count=6):
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % count, classes)


def dot_products(model, batch):
    """x' W phi(y) for every clip and class, number by number; the picture comes first."""
    weight, text = model.map.weight.tolist(), batch.classes.text["words"].tolist()
    found = []
    for audio, visual in zip(batch.features.audio[:, 0].tolist(), batch.features.visual[:, 0].tolist(), strict=True):
        x = visual + audio
        if model.config.normalise_inputs:
            x = [value / math.sqrt(sum(v * v for v in x)) for value in x]
        embedded = [sum(w * value for w, value in zip(row, x, strict=True)) for row in weight]
        found.append([sum(a * b for a, b in zip(embedded, row, strict=True)) for row in text])
    return found


@pytest.mark.parametrize("normalise", [True, False])
def test_the_loss_is_the_largest_violation(normalise):
    torch.manual_seed(0)
    model = create_method("sje", INPUTS, margin=0.3, normalise_inputs=normalise).eval()
    batch = make_batch()
    worst = []
    for scores, label in zip(dot_products(model, batch), batch.labels.tolist(), strict=True):
        wrong = [score for j, score in enumerate(scores) if j != label]
        worst.append(max(0.0, max(0.3 - scores[label] + score for score in wrong)))
    assert any(value > 0 for value in worst)
    terms = model.loss(batch)
    assert list(terms) == ["hinge"]
    assert terms["hinge"].item() == pytest.approx(sum(worst) / len(worst), rel=1e-5)


def test_a_clip_that_wins_by_the_margin_costs_nothing():
    model, batch = create_method("sje", INPUTS, dropout=0.0), make_batch(size=3, count=3)
    with torch.no_grad():
        text = batch.classes.text["words"]
        x = torch.cat([batch.features.visual[:, 0], batch.features.audio[:, 0]], dim=1)
        x = torch.nn.functional.normalize(x, dim=1)
        model.map.weight.copy_((torch.linalg.pinv(x) @ torch.eye(3) @ torch.linalg.pinv(text).T).T)
    assert model.loss(batch)["hinge"].item() == 0.0  # true dot products 1, wrong ones 0, margin 0.1


@pytest.mark.parametrize(
    ("preset", "inputs"), [("ucf-main", Inputs(512, 512, {"w2v": 300})), ("ucf-cls", Inputs(128, 4096, {"w2v": 300}))]
)
def test_the_published_map_is_one_matrix(preset, inputs):
    model = create_method("sje", inputs, preset=preset)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == {
        "map.weight": (300, inputs.audio + inputs.visual)
    }  # main: 307.2k parameters, as Mercea's thesis counts them (appendix A)
    assert model.config.normalise_inputs == (preset == "ucf-cls")


@torch.no_grad()
def test_unit_class_embeddings_are_ranked_alike_by_distance_and_by_dot_product():
    batch, scores = make_batch(), {}
    for distance in ("euclidean", "dot"):
        torch.manual_seed(0)
        model = create_method("sje", INPUTS, distance=distance).eval()
        scores[distance] = model.score(batch.features, batch.classes)
    torch.testing.assert_close(scores["dot"], torch.tensor(dot_products(model, batch)))
    squared = (model.map(batch.features)[:, None] - batch.classes.text["words"]).square().sum(dim=2)
    torch.testing.assert_close(scores["euclidean"], -squared.sqrt())
    assert torch.equal(scores["dot"].argsort(dim=1), scores["euclidean"].argsort(dim=1))


def test_an_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="expected one of euclidean, dot"):
        create_method("sje", INPUTS, distance="manhattan")
