"""The recurrent reference against PyTorch's packed bidirectional GRU and a loop over steps."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from avshot.method import Inputs
from avshot.methods.gru import _Layer
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=5, visual=4, text={"words": 6})
PLAIN = {"hidden": 7, "scaling": "none", "smoothing": 0.0}
PLAIN |= {"dropout": 0.0, "noise": 0.0, "time_mask": 0.0, "modality_dropout": 0.0}


def make_features(lengths=(6, 3, 1, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    audio = [torch.randn(n, 5, generator=generator) for n in lengths]
    visual = [torch.randn(n, 4, generator=generator) for n in reversed(lengths)]
    nothing = [None] * len(lengths)
    return Features.from_sequences(audio, visual, nothing, nothing, dims=(5, 4))


def make_classes(count=3):
    text = torch.randn(count, 6, generator=torch.Generator().manual_seed(9))
    return Classes(tuple(f"c{i}" for i in range(count)), {"words": text}, torch.ones(count, dtype=torch.bool))


def build(**overrides):
    torch.manual_seed(0)
    return create_method("gru", INPUTS, **(PLAIN | overrides))


@torch.no_grad()
def test_layer_equals_a_packed_bidirectional_gru():
    torch.manual_seed(0)
    layer = _Layer(5, 7)
    packed = torch.nn.GRU(5, 7, batch_first=True, bidirectional=True)
    for name, value in layer.ahead.named_parameters():
        packed.get_parameter(name).copy_(value)
    for name, value in layer.behind.named_parameters():
        packed.get_parameter(f"{name}_reverse").copy_(value)
    features = make_features()
    length = features.audio_mask.sum(dim=1)
    sequences = [row[:n] for row, n in zip(features.audio, length.tolist(), strict=True)]
    expected, _ = pad_packed_sequence(packed(pack_sequence(sequences, enforce_sorted=False))[0], batch_first=True)
    got = layer(features.audio, length) * features.audio_mask[..., None]
    torch.testing.assert_close(got, expected)


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def naive_states(gru, steps):
    """Cho et al.'s cell as PyTorch writes it, one step at a time."""
    w, u = gru.weight_ih_l0.chunk(3), gru.weight_hh_l0.chunk(3)
    b, c = gru.bias_ih_l0.chunk(3), gru.bias_hh_l0.chunk(3)
    state, out = torch.zeros(7), []
    for x in steps:
        reset = sigmoid(w[0] @ x + b[0] + u[0] @ state + c[0])
        update = sigmoid(w[1] @ x + b[1] + u[1] @ state + c[1])
        fresh = torch.tanh(w[2] @ x + b[2] + reset * (u[2] @ state + c[2]))
        state = (1 - update) * fresh + update * state
        out.append(state)
    return out


def naive_embedding(model, features, clip, pooling):
    parts = []
    for reader, value, mask in (
        (model.audio, features.audio, features.audio_mask),
        (model.visual, features.visual, features.visual_mask),
    ):
        steps = list(value[clip][mask[clip]])
        ahead = naive_states(reader.layers[0].ahead, steps)
        behind = naive_states(reader.layers[0].behind, steps[::-1])[::-1]
        if pooling == "last":
            pooled = torch.cat([ahead[-1], behind[0]])
        else:
            states = torch.stack([torch.cat(pair) for pair in zip(ahead, behind, strict=True)])
            pooled = {
                "mean": states.sum(dim=0) / len(steps),
                "max": states.max(dim=0).values,
                "logsumexp": ((5 * states).exp().sum(dim=0) / len(steps)).log() / 5,
            }[pooling]
        parts.append(reader.map.weight @ pooled + reader.map.bias)
    return (parts[0] + parts[1]) / 2


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["mean", "logsumexp", "max", "last"])
def test_loss_equals_cross_entropy_of_scaled_cosines(pooling):
    model, features, classes = build(pooling=pooling, scale=4.0), make_features(), make_classes()
    labels = torch.tensor([0, 2, 1, 1])
    text, total = classes.text["words"], 0.0
    for clip, label in enumerate(labels.tolist()):
        embedded = naive_embedding(model, features, clip, pooling)
        logits = [
            4.0 * float(embedded @ row) / math.sqrt(float(embedded @ embedded) * float(row @ row)) for row in text
        ]
        total += math.log(sum(math.exp(x) for x in logits)) - logits[label]
    terms = model.loss(Batch(features, labels, classes))
    assert {name: value.item() for name, value in terms.items()} == {
        "cross_entropy": pytest.approx(total / 4, rel=1e-5)
    }


@torch.no_grad()
def test_gate_weighs_modalities_and_ignores_a_missing_one():
    model, features, classes = build(fusion="gate").eval(), make_features(), make_classes()
    audio, heard = model.audio(features.audio, features.audio_mask)
    visual, viewed = model.visual(features.visual, features.visual_mask)
    share = (heard.exp() / (heard.exp() + viewed.exp()))[:, None]
    torch.testing.assert_close(model.embed(features), share * audio + (1 - share) * visual)
    torch.testing.assert_close(model.embed(features.only("audio")), audio)
    assert share.std() > 0
    nothing = features.only("audio").only("visual")
    assert torch.equal(model.score(nothing, classes), torch.zeros(4, 3))


@torch.no_grad()
def test_real_steps_need_not_come_first():
    model, features, classes = build().eval(), make_features(), make_classes()
    audio, mask = torch.full_like(features.audio, 5.0), torch.zeros_like(features.audio_mask)
    for clip, length in enumerate(features.audio_mask.sum(dim=1).tolist()):
        places = torch.tensor([3, 0, 4, 1, 5, 2])[:length].sort().values
        audio[clip, places], mask[clip, places] = features.audio[clip, :length], True
    scattered = replace(features, audio=audio, audio_mask=mask)
    torch.testing.assert_close(model.score(scattered, classes), model.score(features, classes))


def test_training_disturbs_only_as_configured():
    features, classes = make_features(), make_classes()
    still = build().train()
    torch.testing.assert_close(still.score(features, classes), still.score(features, classes))
    for change in ({"noise": 0.5}, {"time_mask": 0.9}, {"dropout": 0.5}):
        model = build(**change).train()
        assert not torch.allclose(model.score(features, classes), model.score(features, classes))
        model.eval()
        assert torch.equal(model.score(features, classes), model.score(features, classes))


@torch.no_grad()
def test_time_mask_hides_one_span_of_at_most_its_share():
    reader = build(time_mask=0.5).audio
    torch.manual_seed(1)
    hidden = reader._disturb(torch.ones(200, 20, 5), torch.full((200,), 20))[..., 0] == 0
    assert 0 < hidden.sum(dim=1).max() <= 11
    assert hidden.sum(dim=1).min() == 0
    starts = (hidden[:, 1:] & ~hidden[:, :-1]).sum(dim=1) + hidden[:, 0].long()
    assert starts.max() == 1


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="pooling='best'.*'mean' or .*'last'"):
        build(pooling="best")
    with pytest.raises(ValueError, match="fusion='sum'"):
        build(fusion="sum")
