"""Action modifiers: triplets, scores and pseudo labels against loops; who trains when."""

import math
from dataclasses import replace

import pytest
import torch

from avshot.method import Recipe
from avshot.methods.action_modifiers import UNLABELLED
from avshot.nn.pairs import word_vectors
from avshot.registry import create_method, get_method, get_preset
from avshot.training.optimisers import Players
from naive_pairs import naive_attention
from pair_classes import ACTIONS, ADVERBS, TEXT, built, padded, pairs, some_batch, some_features

PLAIN = {"heads": 2, "head_dim": 4, "dropout_video": 0.0}
PLACES = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))]
OPPOSITE = (1, 0, 3, 2)


def made(name="action_modifiers", **fields):
    model = built(name, preset="air", **(PLAIN | fields))
    with torch.no_grad():
        model.modifiers.add_(0.5 * torch.randn(model.modifiers.shape, generator=torch.Generator().manual_seed(5)))
    return model


def naive_pair(model, classes, a, v):
    word = word_vectors(classes, "action")[a]
    return torch.stack([max(torch.zeros(()), row @ word) for row in model.modifiers[v]])


def naive_clip(model, classes, features, clip, a):
    steps = features.visual[clip][features.visual_mask[clip]]
    return naive_attention(model.video.attention["visual"], word_vectors(classes, "action")[a], steps)


def distance(a, b):
    return math.sqrt(sum(float(x - y) ** 2 for x, y in zip(a, b, strict=True)))


def naive_triplet(model, classes, clip, right, wrong):
    near, far = (distance(clip, naive_pair(model, classes, *pair)) for pair in (right, wrong))
    return max(0.0, near - far + model.config.margin)


def drawn_actions(model, classes, pairs_of):
    """Which other actions `loss` draws next, from torch's generator as it is now."""
    from avshot.nn.pair_negatives import other_action

    action, adverb = (torch.tensor(side) for side in zip(*pairs_of, strict=True))
    return other_action(action, adverb, model._allowed(classes))[0].tolist()


@torch.no_grad()
@pytest.mark.parametrize("fields", [{}, {"margin": 0.9, "shared_heads": False}, {"negatives": "seen"}])
def test_triplets_against_a_loop(fields):
    model, batch = made(**fields).train(), some_batch(pairs(seen=range(11)))
    places = [PLACES[label] for label in batch.labels.tolist()]
    torch.manual_seed(3)
    others = drawn_actions(model, batch.classes, places)
    expected = {"action": 0.0, "adverb": 0.0}
    for i, (a, v) in enumerate(places):
        clip = naive_clip(model, batch.classes, batch.features, i, a)
        expected["action"] += naive_triplet(model, batch.classes, clip, (a, v), (others[i], v)) / 6
        expected["adverb"] += naive_triplet(model, batch.classes, clip, (a, v), (a, OPPOSITE[v])) / 6
    torch.manual_seed(3)
    found = model.loss(batch)
    assert {key: float(value) for key, value in found.items()} == pytest.approx(expected, rel=1e-4, abs=1e-5)


@torch.no_grad()
def test_without_antonyms_any_other_adverb_is_wrong():
    model, batch = made(antonyms=False), some_batch()
    action, adverb = (torch.tensor([PLACES[label][k] for label in batch.labels.tolist()]) for k in (0, 1))
    allowed = model._allowed(batch.classes)
    torch.manual_seed(0)
    found = {tuple(model._opposed(batch.classes, action, adverb, allowed)[0].tolist()) for _ in range(200)}
    assert {row[0] for row in found} == {1, 2, 3}  # of "cut slowly"


@torch.no_grad()
@pytest.mark.parametrize("rows", [PLACES, [(2, 1), (0, 0), (2, 3)]])
def test_scores_against_a_loop(rows):
    model, classes, features = made().eval(), pairs(rows), some_features()
    scores = model.score(features, classes)
    for j, (a, v) in enumerate(rows):
        for i in range(6):
            clip = naive_clip(model, classes, features, i, a)
            expected = -distance(clip, naive_pair(model, classes, a, v))
            assert scores[i, j].item() == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(model.score(padded(features), classes), scores, atol=1e-5, rtol=1e-4)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(model.score(features.take(order), classes), scores[order], atol=1e-5, rtol=1e-4)


def test_modifiers_begin_as_the_identity():
    fresh = create_method("action_modifiers", made().inputs, preset="air", heads=2)
    assert torch.equal(fresh.modifiers, torch.eye(TEXT).repeat(4, 1, 1))
    assert fresh.video.attention["visual"].to_v.out_features == TEXT // 2  # the width of words by the heads
    assert sum(p.numel() for p in fresh.parameters()) == 4 * 36 + (9 + 3) + 2 * (4 * 3 + 3) + 36 + 6


# --- pseudo labels ----------------------------------------------------------------------------------------------------


def naive_guesses(model, classes, features, clip, a, count):
    """The adverbs that lead their antonym most, and their confidence."""
    seen = naive_clip(model, classes, features, clip, a)
    scores = [-distance(seen, naive_pair(model, classes, a, v)) for v in range(4)]
    leads = sorted(((scores[v] - scores[OPPOSITE[v]], v) for v in range(4)), reverse=True)[:count]
    return [(v, 1 / (1 + math.exp(-lead))) for lead, v in leads]


@torch.no_grad()
def test_pseudo_labels_against_a_loop():
    model, batch = made("pseudo_adverbs", pseudo_labels=3, threshold=0.55).train(), some_batch()
    batch = replace(batch, pool=UNLABELLED)
    actions = [PLACES[label][0] for label in batch.labels.tolist()]
    found = [naive_guesses(model, batch.classes, batch.features, i, a, 3) for i, a in enumerate(actions)]
    torch.manual_seed(8)
    terms = {"pseudo_action": 0.0, "pseudo_adverb": 0.0}
    for k in range(3):
        others = drawn_actions(model, batch.classes, [(a, g[k][0]) for a, g in zip(actions, found, strict=True)])
        sums, sure = {"pseudo_action": 0.0, "pseudo_adverb": 0.0}, 0
        for i, a in enumerate(actions):
            v, confidence = found[i][k]
            clip = naive_clip(model, batch.classes, batch.features, i, a)
            sums["pseudo_action"] += naive_triplet(model, batch.classes, clip, (a, v), (others[i], v))
            if confidence > 0.55:
                sure += 1
                sums["pseudo_adverb"] += naive_triplet(model, batch.classes, clip, (a, v), (a, OPPOSITE[v]))
        terms["pseudo_action"] += sums["pseudo_action"] / 6 / 3
        terms["pseudo_adverb"] += sums["pseudo_adverb"] / max(sure, 1) / 3
    assert any(g[0][1] > 0.55 for g in found)
    assert any(guess[1] < 0.55 for g in found for guess in g)
    torch.manual_seed(8)
    got = model.loss(batch)
    assert {key: float(value) for key, value in got.items()} == pytest.approx(terms, rel=1e-4, abs=1e-5)
    assert model.sure.number == 18  # each guess is remembered


@torch.no_grad()
def test_an_unlabelled_clip_never_tells_its_adverb():
    model, batch = made("pseudo_adverbs").train(), some_batch()
    other = replace(batch, labels=torch.tensor([PLACES.index((PLACES[i][0], 3 - PLACES[i][1])) for i in batch.labels]))
    found = []
    for each in (batch, other):
        torch.manual_seed(0)
        found.append(made("pseudo_adverbs").train().loss(replace(each, pool=UNLABELLED)))
    assert found[0] == found[1]
    model.loss(batch)
    assert model.sure.number == 0  # clips with an adverb move no threshold


def test_guessing_leaves_the_mode_as_it_was_and_has_no_dropout():
    model, batch = made("pseudo_adverbs", dropout_video=0.5).train(), some_batch()
    model.video.eval()
    action = batch.classes.factors["action"].index[batch.labels]
    first, second = (model.guess(batch.features, batch.classes, action) for _ in range(2))
    assert torch.equal(first.confidence, second.confidence)
    assert model.training
    assert not model.video.training
    assert not model.video.attention["visual"].dropout.training


def test_guessing_needs_antonyms():
    with pytest.raises(ValueError, match="none has one; set pseudo_labels=0"):
        made("pseudo_adverbs").loss(some_batch(pairs(opposite=None)))


# --- who trains when --------------------------------------------------------------------------------------------------


def test_the_video_encoder_trains_first_and_then_all_at_a_tenth_of_the_rate():
    first, then = made().phases()
    assert (first.share, then.share, first.rate, then.rate) == (0.2, 0.8, 1.0, 0.1)
    assert first.turns[0].parameters == ("video.",)
    model = made().train()
    before = model.modifiers.clone()
    Players(model, first, Recipe(lr=1e-2)).step(some_batch(), 0)
    assert torch.equal(model.modifiers, before)
    Players(model, then, Recipe(lr=1e-2)).step(some_batch(), 0)
    assert (model.modifiers - before).abs().max().item() == pytest.approx(1e-3, rel=1e-2)
    (alone,) = made(action_share=0.0).phases()
    assert (alone.share, alone.rate) == (1.0, 1.0)


def test_pseudo_labels_take_turns_with_one_optimiser():
    model = made("pseudo_adverbs").train()
    _, then = model.phases()
    players = Players(model, then, Recipe(lr=1e-2))
    assert [players.pool_at(i) for i in range(4)] == ["", UNLABELLED, "", UNLABELLED]
    assert players.optimisers[0] is players.optimisers[1]
    assert set(players.step(some_batch(), 0)) == {"action", "adverb"}
    assert set(players.step(replace(some_batch(), pool=UNLABELLED), 1)) == {"pseudo_action", "pseudo_adverb"}


def test_published_presets():
    for name in set(get_method("action_modifiers").presets) - {"default"}:
        plain, pseudo = get_preset("action_modifiers", name), get_preset("pseudo_adverbs", name)
        assert (plain.config.pseudo_labels, pseudo.config.pseudo_labels) == (0, 5)
        assert (pseudo.config.threshold, pseudo.config.smoothing, plain.config.margin) == (0.6, 0.1, 0.5)
        assert (plain.config.heads, plain.config.shared_heads, plain.config.audio) == (4, True, False)
        assert plain.recipe.epochs * plain.recipe.passes_per_epoch * plain.config.action_share == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"negatives": "few"}, "negatives is 'few'"),
        ({"pseudo_labels": -1}, "pseudo_labels is -1"),
        ({"action_share": 1.0}, "action_share 1.0"),
    ],
)
def test_errors_say_what_is_wrong(fields, words):
    with pytest.raises(ValueError, match=words):
        made(**fields)
