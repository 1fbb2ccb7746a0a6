"""CJME against the formulas, clip by clip; the released product of gates and losses; weights in the authors' layout."""

import dataclasses
import math

import pytest
import torch

from avshot.method import Inputs
from avshot.methods.cjme import dominant
from avshot.registry import create_method, get_method, load_official
from avshot.types import Batch, Classes, Features
from passed import passing
from shaken import shaken

INPUTS = Inputs(5, 7, {"w2v": 6})
SMALL = {"hidden": 8, "text_hidden": 6, "embedding": 4}


def some_classes(count=5):
    text = torch.randn(count, 6, generator=torch.Generator().manual_seed(2))
    return Classes(tuple(f"c{i}" for i in range(count)), {"w2v": text}, torch.ones(count, dtype=torch.bool))


def clips(size, seed, missing=False):
    generator = torch.Generator().manual_seed(seed)
    features = Features.averaged(
        3 * torch.randn(size, 5, generator=generator), 3 * torch.randn(size, 7, generator=generator)
    )
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


def small(**fields):
    torch.manual_seed(0)
    return shaken(create_method("cjme", INPUTS, preset="ucf-main", **(SMALL | fields)))


def distance(x, y):
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True)))


def triplet(anchor, positive, negative):
    return max(0.0, distance(anchor, positive) - distance(anchor, negative) + 1.0)


def entropy(clip, words):
    powers = [math.exp(sum(float(p) * float(q) for p, q in zip(clip, word, strict=True))) for word in words]
    return -sum(p / sum(powers) * math.log(p / sum(powers)) for p in powers)


def parts_of(model, batch):
    """Embeddings, words and gates of a batch, one clip at a time."""
    with torch.no_grad():
        (text,) = batch.classes.text.values()
        words = model.text_net(text)
        found = []
        for i in range(len(batch)):
            features, other = batch.features[i], batch.negative.features[i]
            audio, visual = (value[0] for value in features.pooled())
            gate = float(model.gate(torch.cat([audio, visual])[None])[0])
            found.append(
                {
                    "a": model.audio_net(audio[None])[0] if features.has_audio else None,
                    "v": model.visual_net(visual[None])[0] if features.has_visual else None,
                    "a-": model.audio_net(other.pooled()[0])[0] if other.has_audio else None,
                    "v-": model.visual_net(other.pooled()[1])[0] if other.has_visual else None,
                    "t": words[batch.labels[i]],
                    "g": gate,
                }
            )
            if found[-1]["a"] is None or found[-1]["v"] is None:
                found[-1]["g"] = 0.0 if found[-1]["v"] is None else 1.0
    return found, words


@pytest.mark.parametrize("missing", [False, True])
def test_loss_terms_against_loops(missing):
    model, batch = small(), some_batch(12, missing)
    found, words = parts_of(model, batch)
    weighed, agreement, gate = [], [], []
    for clip in found:
        terms = []
        if clip["a"] is not None and clip["a-"] is not None:
            terms.append((1 - clip["g"]) * triplet(clip["t"], clip["a"], clip["a-"]))
        if clip["v"] is not None and clip["v-"] is not None:
            terms.append(clip["g"] * triplet(clip["t"], clip["v"], clip["v-"]))
        weighed += [sum(terms)] if terms else []
        if clip["a"] is not None and clip["v"] is not None:
            agreement.append(distance(clip["a"], clip["v"]) ** 2 / len(clip["a"]))
            sound, picture = entropy(clip["a"], words), entropy(clip["v"], words)
            target = 0.0 if picture - sound > 0.1 else 1.0 if sound - picture > 0.1 else 0.5
            gate.append((clip["g"] - target) ** 2)
    assert missing == (len(agreement) < 12)
    terms = model.loss(batch)
    assert set(terms) == {"triplet", "agreement", "gate"}
    for name, rows in (("triplet", weighed), ("agreement", agreement), ("gate", gate)):
        assert terms[name].item() == pytest.approx(sum(rows) / len(rows), rel=1e-4), name


def test_the_released_product_pairs_every_gate_with_every_loss():
    batch = some_batch()
    found, _ = parts_of(small(), batch)
    pairs = [
        (1 - gate["g"]) * triplet(clip["t"], clip["a"], clip["a-"])
        + gate["g"] * triplet(clip["t"], clip["v"], clip["v-"])
        for gate in found
        for clip in found
    ]
    released = small(**get_method("cjme").released).eval().loss(batch)["triplet"].item()
    assert released == pytest.approx(sum(pairs) / len(pairs), rel=1e-4)
    assert abs(released - small().loss(batch)["triplet"].item()) > 0.01 * released


def test_both_ways_agree_where_the_gate_says_the_same_of_all_clips():
    ways = []
    for fields in ({}, {"weight_per_clip": False}):
        model = small(**fields)
        torch.nn.init.zeros_(model.gate.fc[1].weight)
        ways.append(model.loss(some_batch())["triplet"].item())
    assert ways[0] == pytest.approx(ways[1], rel=1e-5)


def test_the_released_way_gives_the_gate_less_to_learn_from():
    """With the mean gate, moving one clip's gate moves all clips' losses alike."""
    gradients = {}
    for per_clip in (True, False):
        model = small(weight_per_clip=per_clip)
        model.loss(some_batch())["triplet"].backward()
        gradients[per_clip] = model.gate.fc[1].weight.grad
    assert not torch.allclose(gradients[True], gradients[False], rtol=0.05)


def test_the_released_step_passes_the_words_of_the_negatives_too():
    batch, passes = some_batch(), {}
    for unread in (False, True):
        model = small(unread_passes=unread, dropout=0.0).train()
        with passing(model.text_net.fc[1]) as passes[unread]:
            model.loss(batch)
        first = model.text_net.fc[0]
    text = batch.classes.text["w2v"]
    expected = [text[batch.labels], text[batch.negative.labels], text]
    assert len(passes[False]) == 2
    for found, words in zip(passes[True], expected, strict=True):
        torch.testing.assert_close(found, first(words).detach())


def test_the_agreement_is_weighted():
    terms = [small(agreement=weight).eval().loss(some_batch()) for weight in (1.0, 0.25, 0.0)]
    assert terms[1]["agreement"].item() == pytest.approx(0.25 * terms[0]["agreement"].item())
    assert terms[2]["agreement"].item() == 0
    assert all(torch.equal(part["triplet"], terms[0]["triplet"]) for part in terms)


@pytest.mark.parametrize("missing", [False, True])
def test_triplets_anchored_at_the_clip_against_loops(missing):
    model, batch = small(clip_triplet=0.5), some_batch(12, missing)
    found, words = parts_of(model, batch)
    assert "clip_triplet" not in small().loss(batch)
    sides = {"a": [], "v": []}
    for clip, other in zip(found, batch.negative.labels, strict=True):
        for side, rows in sides.items():
            rows += [] if clip[side] is None else [triplet(clip[side], clip["t"], words[other])]
    expected = 0.5 * sum(sum(rows) / len(rows) for rows in sides.values())
    assert model.loss(batch)["clip_triplet"].item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_both_modalities_may_count_alike():
    model, classes, features = small(equal=True), some_classes(), clips(6, 4)
    heard, seen = (model.score(features.only(side), classes) for side in ("audio", "visual"))
    torch.testing.assert_close(model.score(features, classes), (heard + seen) / 2, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(heard, small().score(features.only("audio"), classes))


def test_what_the_gate_should_say():
    words = 10 * torch.eye(3)
    sure, unsure, nearly = torch.tensor([[1.0, 0, 0]]), torch.zeros(1, 3), torch.tensor([[0.01, 0, 0]])
    audio, visual = torch.cat([sure, unsure, unsure, sure]), torch.cat([unsure, sure, nearly, sure])
    assert dominant(audio, visual, words, 0.1).tolist() == [0.0, 1.0, 0.5, 0.5]
    assert dominant(unsure, nearly, words, 0.0).tolist() == [1.0]


def test_the_preferred_modality_decides():
    classes = some_classes()
    features, model, soft = clips(20, 4), small(), small(hard_gate=False)
    (text,) = classes.text.values()
    with torch.no_grad():
        hard_scores, soft_scores, words = (
            model.score(features, classes),
            soft.score(features, classes),
            model.text_net(text),
        )
        gates = []
        for i, (audio, visual) in enumerate(zip(*features.pooled(), strict=True)):
            gate = float(model.gate(torch.cat([audio, visual])[None])[0])
            to_audio = [distance(model.audio_net(audio[None])[0], word) for word in words]
            to_visual = [distance(model.visual_net(visual[None])[0], word) for word in words]
            chosen = to_visual if gate >= 0.5 else to_audio
            mixed = [(1 - gate) * a + gate * v for a, v in zip(to_audio, to_visual, strict=True)]
            torch.testing.assert_close(hard_scores[i], -torch.tensor(chosen), atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(soft_scores[i], -torch.tensor(mixed), atol=1e-4, rtol=1e-4)
            gates.append(gate >= 0.5)
        assert 0 < sum(gates) < 20
        near, there = model.embeddings(features, classes)
        torch.testing.assert_close(-torch.cdist(near, there), hard_scores, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("hard", [True, False])
def test_one_modality_decides_alone(hard):
    model, classes, features = small(hard_gate=hard), some_classes(), clips(6, 4)
    (text,) = classes.text.values()
    with torch.no_grad():
        audio, visual = features.pooled()
        words = model.text_net(text)
        heard = -torch.cdist(model.audio_net(audio), words)
        seen = -torch.cdist(model.visual_net(visual), words)
        torch.testing.assert_close(model.score(features.only("audio"), classes), heard, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.score(features.only("visual"), classes), seen, atol=1e-4, rtol=1e-4)


def test_parameters_of_the_authors_code():
    for preset, inputs, count in (
        ("ucf-main", Inputs(512, 512, {"w2v": 300}), 1_299_157),
        ("vggsound-cls", Inputs(128, 4096, {"w2v": 300}), 1_299_157 + (128 + 4096 - 1024) * (1024 + 3)),
    ):
        with torch.device("meta"):
            model = create_method("cjme", inputs, preset=preset)
        assert sum(parameter.numel() for parameter in model.parameters()) == count


def official_state(seed=3):
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def norm(name, width):
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(width, generator=generator)
        state[f"{name}.running_mean"] = 0.2 * torch.randn(width, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def linear(name, rows, columns):
        state[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
        state[f"{name}.bias"] = 0.3 * torch.randn(rows, generator=generator)

    for i, (width, hidden) in enumerate(((5, 8), (7, 8), (6, 6)), start=1):
        name = f"triplet_net.embedding_net{i}.fc"
        linear(f"{name}.0", hidden, width)
        norm(f"{name}.1", hidden)
        linear(f"{name}.4", 4, hidden)
    norm("attention_model.0", 12)
    linear("attention_model.1", 1, 12)
    return state


def naive_distances(state, features, text):
    """The authors' model in eval mode, in float64, from the layers' formulas."""
    w = {name: value.double() for name, value in state.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        x = (x - w[f"{name}.running_mean"]) / (w[f"{name}.running_var"] + 1e-5).sqrt()
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def embed(i, x):
        name = f"triplet_net.embedding_net{i}.fc"
        return linear(f"{name}.4", norm(f"{name}.1", linear(f"{name}.0", x)).clamp(min=0)).clamp(min=0)

    rows, words = [], embed(3, text.double())
    for audio, visual in zip(*(part.double() for part in features.pooled()), strict=True):
        gate = linear("attention_model.1", norm("attention_model.0", torch.cat([audio, visual])))
        clip = embed(2, visual) if gate.item() >= 0 else embed(1, audio)
        rows.append((clip - words).square().sum(dim=1).sqrt())
    return torch.stack(rows)


def test_weights_in_the_authors_layout():
    state, classes, features = official_state(), some_classes(), clips(12, 4)
    model = load_official("cjme", state)
    assert (model.config.hidden, model.config.text_hidden, model.config.embedding) == (8, 6, 4)
    with torch.no_grad():
        ours = -model.score(features, classes)
    theirs = naive_distances(state, features, classes.text["w2v"])
    torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=0)
    state.pop("attention_model.1.bias")
    with pytest.raises(ValueError, match=r"attention_model\.1\.bias"):
        load_official("cjme", state)


def test_it_asks_for_negatives():
    with pytest.raises(ValueError, match="without negatives"):
        small().loss(dataclasses.replace(some_batch(), negative=None))
