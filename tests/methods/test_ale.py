"""ALE: the rank-weighted hinge against the formula written as loops, and how it relates to DeViSE's."""

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=4, visual=3, text={"words": 5})


def make_batch(size=9, count=7, dim=5):
    generator = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)
    classes = Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))
    audio, visual = torch.randn(size, 4, generator=generator), torch.randn(size, 3, generator=generator)
    return Batch(Features.averaged(audio, visual), torch.arange(size) % count, classes)


@torch.no_grad()
def rows_of_the_loss(model, batch, margin):
    """Per clip: sum of violations times (1 + 1/2 + ... + 1/r) / r, where r of the wrong classes violate the margin."""
    joined = torch.cat([batch.features.visual[:, 0], batch.features.audio[:, 0]], dim=1)
    rows = []
    for x, label in zip(joined, batch.labels.tolist(), strict=True):
        x = x / x.square().sum().sqrt() if model.config.normalise_inputs else x
        scores = [float((model.map.weight @ x) @ row) for row in batch.classes.text["words"]]
        violations = [max(0.0, margin - scores[label] + s) for j, s in enumerate(scores) if j != label]
        rank = sum(v > 0 for v in violations)
        rows.append(sum(violations) * sum(1 / i for i in range(1, rank + 1)) / rank if rank else 0.0)
    return rows


@pytest.mark.parametrize(("margin", "normalise"), [(0.1, True), (0.1, False), (1.0, True)])
def test_the_loss_is_the_rank_weighted_sum(margin, normalise):
    torch.manual_seed(0)
    model = create_method("ale", INPUTS, margin=margin, normalise_inputs=normalise).eval()
    batch = make_batch()
    rows = rows_of_the_loss(model, batch, margin)
    assert len(set(rows)) > 5
    terms = model.loss(batch)
    assert list(terms) == ["weighted_hinge"]
    assert terms["weighted_hinge"].item() == pytest.approx(sum(rows) / len(rows), rel=1e-5)


def test_it_lies_between_the_worst_violation_and_the_sum_and_is_both_for_two_classes():
    for count in (2, 7):
        batch, losses = make_batch(count=count), {}
        for name in ("sje", "ale", "devise"):
            torch.manual_seed(0)
            losses[name] = sum(create_method(name, INPUTS, margin=1.0).eval().loss(batch).values()).item()
        if count == 2:
            assert losses["ale"] == pytest.approx(losses["devise"]) == pytest.approx(losses["sje"])
        else:
            assert losses["sje"] < losses["ale"] < losses["devise"]


def test_a_thousand_classes_have_rank_weights_too():
    model = create_method("ale", INPUTS, margin=5.0, dropout=0.0)
    loss = model.loss(make_batch(size=2, count=1000))["weighted_hinge"]
    assert loss.item() == pytest.approx(5 * sum(1 / i for i in range(1, 1000)), rel=0.1)  # every wrong class violates
    loss.backward()
    assert model.map.weight.grad.isfinite().all()


def test_clips_without_violations_have_a_zero_loss_and_gradient():
    model, batch = create_method("ale", INPUTS, margin=0.0), make_batch()
    with torch.no_grad():
        model.map.weight.zero_()
    loss = model.loss(batch)["weighted_hinge"]
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(model.map.weight.grad, torch.zeros_like(model.map.weight))


def test_published_sizes():
    for preset in ("ucf-main", "activitynet-main", "vggsound-main"):
        model = create_method("ale", Inputs(512, 512, {"w2v": 300}), preset=preset)
        assert sum(parameter.numel() for parameter in model.parameters()) == 307_200  # Mercea's thesis, appendix A
        assert model.config.dropout == (0.0 if preset.startswith("vggsound") else 0.2)
