"""AVGZSLNet against the formulas of both released versions, clip by clip; weights in the layout of AVCA-GZSL."""

import dataclasses
import math

import pytest
import torch

from avshot.method import Inputs
from avshot.registry import create_method, get_method, get_preset, load_official
from avshot.types import Batch, Classes, Features
from shaken import shaken

INPUTS = Inputs(5, 7, {"w2v": 6})
SMALL = {
    "ucf-main": {"hidden": 8, "text_hidden": 6, "embedding": 4, "decoder_hidden": 4},
    "original": {"hidden": 8, "embedding": 4, "decoder_hidden": 9},
}


def some_classes(count=5):
    text = torch.randn(count, 6, generator=torch.Generator().manual_seed(2))
    return Classes(tuple(f"c{i}" for i in range(count)), {"w2v": text}, torch.ones(count, dtype=torch.bool))


def clips(size, seed, missing=False):
    generator = torch.Generator().manual_seed(seed)
    features = Features.averaged(torch.randn(size, 5, generator=generator), torch.randn(size, 7, generator=generator))
    if missing:  # every third clip lacks sound, every fourth lacks picture
        number = torch.arange(size)[:, None]
        features = dataclasses.replace(
            features, audio_mask=number % 3 != seed % 3, visual_mask=(number % 4 != seed % 4) | (number % 3 == seed % 3)
        )
    return features


def some_batch(size=9, missing=False):
    classes, labels = some_classes(), torch.arange(size) % 5
    other = (labels + 2) % 5
    return Batch(clips(size, 1, missing), labels, classes, negative=Batch(clips(size, 2, missing), other, classes))


def small(preset="ucf-main", **fields):
    torch.manual_seed(0)
    return shaken(create_method("avgzslnet", INPUTS, preset=preset, **(SMALL[preset] | fields)))


def distance(x, y):
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True)))


def triplet(anchor, positive, negative):
    return max(0.0, distance(anchor, positive) - distance(anchor, negative) + 1.0)


def mean(values):
    return sum(values) / len(values)


def decoded(model, vector, unit):
    out = [float(value) for value in model.decoder(vector[None])[0]]
    length = math.sqrt(sum(value**2 for value in out)) if unit else 1.0
    return [value / length for value in out]


def expected_terms(model, batch, *, unit, squares, negative_anchors):
    """The three terms by loops over clips, in the formulas of FACTS: sums over modalities of means over clips."""
    (text,) = batch.classes.text.values()
    terms = {"triplet": 0.0, "reconstruction": 0.0, "decoded_triplet": 0.0}

    def apart(found, word):
        return distance(found, word) ** 2 / len(word) if squares else distance(found, word)

    words = [text[i] for i in batch.labels]
    t = [model.text_net(word[None])[0] for word in words]
    other_t = [model.text_net(text[i][None])[0] for i in batch.negative.labels]
    back_t = [decoded(model, vector, unit) for vector in t]
    terms["reconstruction"] += mean([apart(back, word) for back, word in zip(back_t, words, strict=True)])
    for side, net in enumerate((model.audio_net, model.visual_net)):
        has, other_has = (
            (part.has_audio, part.has_visual)[side].tolist() for part in (batch.features, batch.negative.features)
        )
        x, other_x = (
            [net(row[None])[0] for row in part.pooled()[side]] for part in (batch.features, batch.negative.features)
        )
        back, other_back = ([decoded(model, vector, unit) for vector in part] for part in (x, other_x))
        every = range(len(batch))
        own = [i for i in every if has[i]]
        both = [i for i in own if other_has[i]]
        terms["triplet"] += mean([triplet(t[i], x[i], other_x[i]) for i in both])
        terms["triplet"] += mean([triplet(x[i], t[i], other_t[i]) for i in own])
        if negative_anchors:
            terms["triplet"] += mean([triplet(other_t[i], other_x[i], x[i]) for i in both])
            terms["triplet"] += mean([triplet(other_x[i], other_t[i], t[i]) for i in every if other_has[i]])
        terms["reconstruction"] += mean([apart(back[i], words[i]) for i in own])
        terms["decoded_triplet"] += mean([triplet(back_t[i], back[i], other_back[i]) for i in both])
    return terms


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("preset", ["ucf-main", "original"])
@torch.no_grad()
def test_loss_terms_against_loops(preset, missing):
    model, batch, original = small(preset), some_batch(12, missing), preset == "original"
    terms = model.loss(batch)
    expected = expected_terms(model, batch, unit=not original, squares=original, negative_anchors=original)
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4), name


@torch.no_grad()
def test_the_two_versions_differ_in_each_field():
    batch, base = some_batch(), small().loss(some_batch())
    for fields, term in (
        ({"negative_anchors": True}, "triplet"),
        ({"reconstruction": "squares"}, "reconstruction"),
        ({"normalise_decoded": False}, "decoded_triplet"),
    ):
        other = small(**fields).loss(batch)
        assert abs(other[term].item() - base[term].item()) > 0.01 * base[term].item()


@torch.no_grad()
def test_scores_are_sums_of_distances_and_a_lone_modality_counts_twice():
    model, classes, features = small(), some_classes(), clips(6, 4)
    (text,) = classes.text.values()
    scores = model.score(features, classes)
    heard, seen = model.score(features.only("audio"), classes), model.score(features.only("visual"), classes)
    words = model.text_net(text)
    for i, (audio, visual) in enumerate(zip(*features.pooled(), strict=True)):
        for j, word in enumerate(words):
            a, v = distance(model.audio_net(audio[None])[0], word), distance(model.visual_net(visual[None])[0], word)
            assert scores[i, j].item() == pytest.approx(-(a + v), rel=1e-4)
            assert heard[i, j].item() == pytest.approx(-2 * a, rel=1e-4)
            assert seen[i, j].item() == pytest.approx(-2 * v, rel=1e-4)
    nothing = dataclasses.replace(features.only("audio"), audio_mask=torch.zeros(6, 1, dtype=torch.bool))
    assert model.score(nothing, classes).abs().max() == 0


@torch.no_grad()
def test_released_the_distance_of_a_lone_modality_counts_once():
    """Their calibrations of sound alone and of picture alone are in units of one distance."""
    assert get_method("avgzslnet").released["double_single"] is False
    model, classes, features = small(double_single=False), some_classes(), clips(6, 4)
    words = model.text_net(classes.text["w2v"])
    heard, seen = model.score(features.only("audio"), classes), model.score(features.only("visual"), classes)
    for i, (audio, visual) in enumerate(zip(*features.pooled(), strict=True)):
        for j, word in enumerate(words):
            assert heard[i, j].item() == pytest.approx(-distance(model.audio_net(audio[None])[0], word), rel=1e-4)
            assert seen[i, j].item() == pytest.approx(-distance(model.visual_net(visual[None])[0], word), rel=1e-4)
    torch.testing.assert_close(model.score(features, classes), small().score(features, classes))


@torch.no_grad()
def test_embeddings_are_means_of_what_is_there():
    model, classes, features = small(), some_classes(), clips(3, 4)
    audio, visual = model.embed(features)
    torch.testing.assert_close(model.embeddings(features, classes)[0], (audio + visual) / 2)
    torch.testing.assert_close(model.embeddings(features.only("visual"), classes)[0], visual)


def test_parameters_of_both_versions():
    with torch.device("meta"):
        published = create_method("avgzslnet", Inputs(512, 512, {"w2v": 300}), preset="ucf-main")
        original = create_method("avgzslnet", Inputs(1024, 1024, {"w2v": 300}), preset="original")
    assert sum(parameter.numel() for parameter in published.parameters()) == 1_319_872
    layers = [(1024, 256), (256, 64)] * 2 + [(300, 64), (64, 128), (128, 300)]
    assert sum(parameter.numel() for parameter in original.parameters()) == sum(i * o + o for i, o in layers)


def test_one_setting_for_all_published_datasets():
    settings = [
        get_preset("avgzslnet", f"{name}-{kind}")
        for name in ("ucf", "activitynet", "vggsound")
        for kind in ("main", "cls")
    ]
    assert all(preset == settings[0] for preset in settings)
    assert (settings[0].config.dropout, settings[0].config.dropout_decoder) == (0.8, 0.5)
    assert (settings[0].recipe.lr, settings[0].recipe.batch_size, settings[0].recipe.batches_per_epoch) == (
        1e-3,
        256,
        500,
    )


def official_state(seed=3):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    blocks = [
        (f"triplet_net.embedding_net{i}", *sizes) for i, sizes in ((1, (5, 8, 4)), (2, (7, 8, 4)), (3, (6, 6, 4)))
    ]
    for block, width, hidden, out in [*blocks, ("decoder_net.embedding_net", 4, 4, 6)]:
        for layer, rows, columns in ((0, hidden, width), (4, out, hidden)):
            state[f"{block}.fc.{layer}.weight"] = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
            state[f"{block}.fc.{layer}.bias"] = 0.3 * torch.randn(rows, generator=generator)
        for name in ("weight", "bias", "running_mean"):
            state[f"{block}.fc.1.{name}"] = torch.randn(hidden, generator=generator)
        state[f"{block}.fc.1.running_var"] = 0.5 + torch.rand(hidden, generator=generator)
    return state


def test_weights_in_the_authors_layout():
    state, classes, features = official_state(), some_classes(), clips(8, 4)
    w = {name: value.double() for name, value in state.items()}

    def embed(i, x):
        name = f"triplet_net.embedding_net{i}.fc"
        x = x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"]
        x = (x - w[f"{name}.1.running_mean"]) / (w[f"{name}.1.running_var"] + 1e-5).sqrt()
        x = (x * w[f"{name}.1.weight"] + w[f"{name}.1.bias"]).clamp(min=0)
        return x @ w[f"{name}.4.weight"].T + w[f"{name}.4.bias"]

    audio, visual = (part.double() for part in features.pooled())
    words = embed(3, classes.text["w2v"].double())
    theirs = sum((embed(i, part)[:, None] - words).square().sum(dim=2).sqrt() for i, part in ((1, audio), (2, visual)))
    with torch.no_grad():
        ours = -load_official("avgzslnet", state).score(features, classes)
    torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=0)
    state.pop("decoder_net.embedding_net.fc.4.bias")
    with pytest.raises(ValueError, match="decoder_net"):
        load_official("avgzslnet", state)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="without negatives"):
        small().loss(dataclasses.replace(some_batch(), negative=None))
    with pytest.raises(ValueError, match="'cosine'; expected one of distance, squares"):
        small(reconstruction="cosine")
