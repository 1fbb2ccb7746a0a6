"""Class embeddings in the order a method was built for."""

import math

import pytest
import torch

from avshot.method import Inputs
from avshot.nn.text import TextLayer, text_entries
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

CLIP, CLAP = torch.arange(6.0).reshape(2, 3), torch.arange(8.0).reshape(2, 4)


def make_classes(**text):
    return Classes(("a", "b"), text, torch.ones(2, dtype=torch.bool))


def test_entries_are_found_by_name_whatever_their_order():
    for classes in (make_classes(clip=CLIP, clap=CLAP), make_classes(clap=CLAP, clip=CLIP)):
        first, second = text_entries(classes, {"clip": 3, "clap": 4})
        assert torch.equal(first, CLIP)
        assert torch.equal(second, CLAP)
    (only,) = text_entries(make_classes(clip=CLIP, clap=CLAP), {"clap": 4})
    assert torch.equal(only, CLAP)


def test_entries_of_other_names_are_taken_in_their_order():
    first, second = text_entries(make_classes(zebra=CLIP, ape=CLAP), {"clip": 3, "clap": 4})
    assert torch.equal(first, CLIP)
    assert torch.equal(second, CLAP)


@pytest.mark.parametrize("text", [{"clip": CLIP}, {"clip": CLAP, "clap": CLIP}, {"x": CLAP, "y": CLIP}])
def test_what_does_not_fit_is_refused(text):
    with pytest.raises(ValueError, match=r"built for class embeddings \{'clip': 3, 'clap': 4\}.*got \{"):
        text_entries(make_classes(**text), {"clip": 3, "clap": 4})


def by_hand(layer, rows, mean, variance):
    """Thesis eq. 5.9 and the text below 5.2: linear, batch norm, ReLU; number by number."""
    linear, norm = layer.layer.fc[0], layer.layer.fc[1]
    found = []
    for row in rows:
        out = []
        for k in range(len(linear.bias)):
            value = float(linear.bias[k]) + sum(float(w) * float(x) for w, x in zip(linear.weight[k], row, strict=True))
            scaled = (value - mean[k]) / math.sqrt(variance[k] + norm.eps)
            out.append(max(0.0, float(norm.weight[k]) * scaled + float(norm.bias[k])))
        found.append(out)
    return torch.tensor(found)


@torch.no_grad()
def test_text_layer_is_linear_batch_norm_and_relu():
    torch.manual_seed(0)
    joined = torch.randn(5, 7)
    classes = Classes(tuple("abcde"), {"clip+clap": joined}, torch.ones(5, dtype=torch.bool))
    layer = TextLayer(7, 4, dropout=0.0)
    layer.layer.fc[1].weight.uniform_(0.5, 2.0)
    layer.layer.fc[1].bias.normal_()
    linear = joined @ layer.layer.fc[0].weight.T + layer.layer.fc[0].bias
    mean, variance = linear.mean(dim=0), linear.var(dim=0, correction=0)
    torch.testing.assert_close(layer(classes), by_hand(layer, joined, mean.tolist(), variance.tolist()))
    layer.eval()
    running = layer.layer.fc[1]
    after = by_hand(layer, joined, running.running_mean.tolist(), running.running_var.tolist())
    torch.testing.assert_close(layer(classes), after)
    assert TextLayer(7, 4).layer.fc[3].p == 0.1
    assert torch.equal(TextLayer(7, 0)(classes), joined)
    assert TextLayer(7, 0).state_dict() == {}  # weights without it are those of before


BASELINES = ("avca", "hyper_multiple", "cjme", "avgzslnet")


def small_batch():
    generator = torch.Generator().manual_seed(0)
    text = {"joined": torch.randn(4, 9, generator=generator)}
    classes = Classes(tuple("abcd"), text, torch.ones(4, dtype=torch.bool))

    def batch(labels):
        audio, visual = (torch.randn(8, width, generator=generator) for width in (6, 5))
        return Batch(Features.averaged(audio, visual), torch.tensor(labels), classes)

    own, other = batch([0, 1, 2, 3] * 2), batch([1, 2, 3, 0] * 2)
    return Batch(own.features, own.labels, classes, other)


@pytest.mark.parametrize("method", BASELINES)
def test_what_the_layer_gives_takes_the_place_of_the_class_embedding(method):
    batch = small_batch()
    torch.manual_seed(0)
    model = create_method(method, Inputs(6, 5, {"joined": 9}), text_layer=7).eval()
    layer = next(module for module in model.modules() if isinstance(module, TextLayer))
    plain = create_method(method, Inputs(6, 5, {"joined": 7})).eval()
    weights = {key: value for key, value in model.state_dict().items() if "text_layer." not in key}
    assert len(model.state_dict()) > len(weights)
    plain.load_state_dict(weights)  # all others fit a method for class embeddings of that width
    moved = batch.classes.with_text({"joined": layer(batch.classes).detach()})
    torch.testing.assert_close(model.score(batch.features, batch.classes), plain.score(batch.features, moved))
    negative = Batch(batch.negative.features, batch.negative.labels, moved)
    expected = plain.loss(Batch(batch.features, batch.labels, moved, negative))
    for name, value in model.loss(batch).items():
        torch.testing.assert_close(value, expected[name])
    for ours, theirs in zip(
        model.embeddings(batch.features, batch.classes), plain.embeddings(batch.features, moved), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    model.train()
    sum(model.loss(batch).values()).backward()
    assert layer.layer.fc[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("method", "millions"), [("cjme", 2.3), ("avgzslnet", 2.3), ("avca", 2.4), ("hyper_multiple", 2.4)]
)
def test_parameters_are_as_many_as_the_thesis_counts(method, millions):
    """Thesis, section 5.4.2: what speaks for a width of 300."""
    model = create_method(method, Inputs(1024, 512, {"clip+clap": 1536}), preset="ucf-cls", text_layer=300)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == millions
