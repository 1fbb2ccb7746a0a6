"""TIRG as a baseline for adverbs: its loss and its composer against loops."""

import math

import pytest
import torch
from torch import nn

from avshot.nn.pairs import word_vectors
from avshot.registry import get_method
from naive_pairs import naive_attention
from pair_classes import ACTIONS, ADVERBS, built, padded, pairs, some_batch, some_features

PLAIN = {"dim": 5, "heads": 2, "head_dim": 4, "dropout_video": 0.0, "projection_layers": 1}
PLACES = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))]


def made(**fields):
    return built("tirg", preset="air", **(PLAIN | fields))


def naive_pair(model, classes, a, v):
    """w_g sigmoid(gate) phi_a + w_r residual; both are batch norm, ReLU, linear, the residual one more ReLU, linear."""
    words = [word_vectors(classes, "action"), word_vectors(classes, "adverb")]
    phi = [model.text.project[part](words[i]) for i, part in enumerate(("action", "adverb"))]
    rows = torch.stack([torch.cat([phi[0][i], phi[1][j]]) for i, j in PLACES])

    def composed(network):
        norm = nn.BatchNorm1d(10).train(network.training)
        norm.load_state_dict(network.norm.state_dict())
        value = norm(rows)[PLACES.index((a, v))].relu()
        for i, layer in enumerate(network.layers):
            value = layer(value.relu() if i else value)
        return value

    weights = model.text.weights
    return weights[0] * composed(model.text.gate).sigmoid() * phi[0][a] + weights[1] * composed(model.text.residual)


def naive_clip(model, features, clip, word):
    steps = features.visual[clip][features.visual_mask[clip]]
    return model.head(naive_attention(model.video.attention["visual"], word, steps))


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


@torch.no_grad()
@pytest.mark.parametrize("distinct", [True, False])
def test_loss_against_a_loop(distinct):
    model, batch = made(distinct=distinct).train(), some_batch()
    labels = batch.labels.tolist()  # one pair stands in it twice
    columns = sorted(set(labels)) if distinct else labels
    total = 0.0
    for i, label in enumerate(labels):
        word = word_vectors(batch.classes, "action")[PLACES[label][0]]
        clip = naive_clip(model, batch.features, i, word)
        logits = [float(model.scale) ** 2 * cosine(clip, naive_pair(model, batch.classes, *PLACES[j])) for j in columns]
        own = columns.index(label) if distinct else i
        total += math.log(sum(math.exp(x) for x in logits)) - logits[own]
    found = model.loss(batch)
    assert {key: float(value) for key, value in found.items()} == pytest.approx({"cross_entropy": total / 6}, rel=1e-4)


@torch.no_grad()
def test_scores_against_a_loop_and_alone():
    model, features, classes = made().eval(), some_features(), pairs()
    scores = model.score(features, classes)
    for j, (a, v) in enumerate(PLACES):
        pair = naive_pair(model, classes, a, v)
        for i in range(6):
            clip = naive_clip(model, features, i, word_vectors(classes, "action")[a])
            assert scores[i, j].item() == pytest.approx(cosine(clip, pair), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(model.score(padded(features), classes), scores, atol=1e-5, rtol=1e-4)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(model.score(features.take(order), classes), scores[order], atol=1e-5, rtol=1e-4)


def test_what_the_thesis_states_is_in_the_presets():
    for name, preset in get_method("tirg").presets.items():
        if name == "default":
            continue
        assert (preset.config.main, preset.config.aux, preset.config.audio) == ("action", "adverb", False)
        assert preset.recipe.epochs * preset.recipe.passes_per_epoch == 1000
        assert (preset.recipe.lr, preset.recipe.class_balanced) == (1e-4, False)
    fresh = get_method("tirg")(preset.config, made().inputs)
    assert fresh.text.weights.tolist() == [1.0, 10.0]
    assert fresh.scale.item() == 4.0
    assert "pairs of a batch" in fresh.couples
