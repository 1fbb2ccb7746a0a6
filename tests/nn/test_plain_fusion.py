"""Sequence methods against the plain masked form (benchmarks/plain_fusion.py), and in mixed precision."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from avshot.method import Inputs
from avshot.nn.encoders import padded
from avshot.registry import create_method, get_preset
from avshot.types import Batch, Classes, Features

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
plain = import_module("plain_fusion")

SEQUENCE_METHODS = ("attention_fusion", "ez_avgzl", "gru", "perceiver", "tcaf")
SMALL = {"dim": 12, "encoder_hidden": 9, "layers": 3, "heads": 2, "head_dim": 4, "feedforward": 6, "position_dim": 8}
LENGTHS = [(3, 4), (9, 14), (1, 1), (0, 5), (4, 0), (3, 4), (0, 0), (8, 13), (2, 6), (9, 14), (5, 5), (7, 3)]


def some_batch(seed=0):
    g = torch.Generator().manual_seed(seed)
    features = Features.from_sequences(
        [torch.rand(a, 5, generator=g) * 255 for a, _ in LENGTHS],
        [torch.rand(v, 7, generator=g) for _, v in LENGTHS],
        [torch.arange(a) * 0.96 for a, _ in LENGTHS],
        [torch.arange(v) * 0.64 for _, v in LENGTHS],
        dims=(5, 7),
    )
    names = tuple(f"class {i}" for i in range(4))
    text = torch.nn.functional.normalize(torch.randn(4, 6, generator=g), dim=1)
    labels = torch.randint(4, (len(LENGTHS),), generator=g)
    return Batch(features, labels, Classes(names, {"words": text}, torch.ones(4, dtype=torch.bool)))


def small(name, preset, **fields):
    torch.manual_seed(0)
    known = vars(get_preset(name, preset).config)
    changes = {key: value for key, value in {**SMALL, **fields}.items() if key in known and name != "gru"}
    return create_method(name, Inputs(5, 7, {"words": 6}), preset=preset, **changes).train()


def published(name, **fields):
    model = small(name, "ucf-cls", **fields)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def gradients(model, batch):
    loss = sum(model.loss(batch).values())
    loss.backward()
    return loss, {key: parameter.grad for key, parameter in model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("attention", ["cross", "self", "full"])
@pytest.mark.parametrize("over_padding", [True, False])
@pytest.mark.parametrize("name", ["tcaf", "ez_avgzl"])
def test_loss_and_gradients_are_those_of_the_plain_form(name, over_padding, attention, dtype):
    fields = {"norm_over_padding": over_padding, "attention": attention, "self_layers": 1}
    ours, theirs = published(name, **fields).to(dtype), plain.make_plain(published(name, **fields)).to(dtype)
    batch = in_type(some_batch(), dtype)
    loss, expected = gradients(ours, batch), gradients(theirs, batch)
    torch.testing.assert_close(loss[0], expected[0], atol=1e-5, rtol=1e-5)
    tolerance = 1e-9 if dtype == torch.float64 else 5e-5  # batch norm over few clips magnifies rounding
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    for key, gradient in loss[1].items():
        torch.testing.assert_close(gradient, expected[1][key], atol=tolerance * largest, rtol=tolerance, msg=key)
    for key, value in ours.named_buffers():
        torch.testing.assert_close(value, theirs.get_buffer(key), msg=key)
    with torch.no_grad():
        scores = ours.eval().score(batch.features, batch.classes)
        torch.testing.assert_close(scores, theirs.eval().score(batch.features, batch.classes), atol=1e-5, rtol=1e-5)


def in_type(batch, dtype):
    features = batch.features
    values = (features.audio, features.visual, features.audio_mask, features.visual_mask)
    values = [value if value.dtype == torch.bool else value.to(dtype) for value in values]
    text = {key: value.to(dtype) for key, value in batch.classes.text.items()}
    features = Features(*values, features.audio_time, features.visual_time)
    return Batch(features, batch.labels, batch.classes.with_text(text))


@pytest.mark.parametrize("over_padding", [True, False])
@pytest.mark.parametrize("name", ["perceiver", "tcaf"])
def test_tokens_are_those_of_the_plain_form(name, over_padding):
    ours, theirs = (published(name, norm_over_padding=over_padding).fusion for _ in range(2))
    features = some_batch().features
    tokens, mask, modality = ours.tokens(features)
    expected = plain.plain_tokens(theirs, features)
    assert torch.equal(mask, expected[1])
    assert torch.equal(modality, expected[2])
    torch.testing.assert_close(tokens[mask], expected[0][mask], atol=1e-5, rtol=1e-5)
    assert (tokens[~mask] == 0).all()


def test_encoded_steps_are_those_of_the_plain_form():
    ours, theirs = (published("attention_fusion", norm_over_padding=True).fusion for _ in range(2))
    features = some_batch().features
    audio, visual = ours.encode(features)
    for rows, mask, encoder, value in (
        (audio, features.audio_mask, theirs.audio_encoder, features.audio / 255),
        (visual, features.visual_mask, theirs.visual_encoder, torch.nn.functional.normalize(features.visual, dim=1)),
    ):
        expected = encoder(value)
        torch.testing.assert_close(padded(rows, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_tokens_that_were_not_asked_for():
    model = published("tcaf").eval()
    batch = some_batch()
    whole, short = model.fusion(batch.features), model.fusion(batch.features, tokens=False)
    torch.testing.assert_close(short.clip, whole.clip, atol=1e-5, rtol=1e-5)
    (text,) = batch.classes.text.values()
    for read in (lambda: short.tokens, lambda: published("ez_avgzl").similarity.found(short, text)):
        with pytest.raises(ValueError, match="tokens=True"):
            read()


@pytest.mark.parametrize("preset", ["default", "ucf-cls"])
@pytest.mark.parametrize("name", SEQUENCE_METHODS)
def test_a_step_in_bfloat16_is_near_one_in_float32(name, preset):
    found = []
    for enabled in (False, True):
        model = small(name, "default" if name == "gru" else preset)
        torch.manual_seed(1)  # of dropout and noise
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            terms = model.loss(some_batch())
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        assert all(value.dtype == torch.float32 for value in terms.values())
        assert all(p.grad is None or (p.grad.isfinite().all() and p.grad.dtype == p.dtype) for p in model.parameters())
        found.append(loss.item())
    assert found[1] == pytest.approx(found[0], rel=0.02)
