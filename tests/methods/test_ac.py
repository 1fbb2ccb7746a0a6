"""AC: targets, losses and scores against loops; its attention over padding, and what mends it."""

import math

import pytest
import torch
import torch.nn.functional as F

from avshot.methods.ac import changes
from avshot.nn.pairs import word_vectors
from avshot.registry import create_method, get_method, get_preset
from naive_pairs import naive_attention
from pair_classes import ACTIONS, ADVERBS, TEXT, built, padded, pairs, some_batch, some_features

PLAIN = {"dim": 7, "heads": 2, "head_dim": 4, "hidden": (5, 3), "dropout_video": 0.0, "dropout": 0.0}
PLACES = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))]
OPPOSITE = (1, 0, 3, 2)
FORMS = [{}, {"antonyms": False}, {"delta": "fixed"}, {"learn_words": False}, {"audio": True, "shared_heads": False}]


def made(name="ac_reg", **fields):
    return built(name, preset="air", **(PLAIN | fields))


def naive_answers(model, classes, features, clip, a):
    """The network behind attention by the action: one number for each adverb."""
    word = word_vectors(classes, "action")[a]
    word = word if model.moved is None else word + model.moved[a]
    parts = []
    for name in model.video.read:
        steps = getattr(features, name)[clip][getattr(features, f"{name}_mask")[clip]]
        parts += [naive_attention(model.video.attention[name], word, steps)] if len(steps) else []
    value = sum(parts) / len(parts)
    linears = [layer for layer in model.network if isinstance(layer, torch.nn.Linear)]
    for i, layer in enumerate(linears):
        value = layer.weight @ (value.clamp(min=0) if i else value) + layer.bias
    return value


def naive_delta(classes, a, v, antonyms=True):
    text, action = classes.text["words"], word_vectors(classes, "action")[a]
    adverb = word_vectors(classes, "adverb")[v]
    other = text[PLACES.index((a, OPPOSITE[v]))] if antonyms else action
    distance = math.sqrt(sum(float(x - y) ** 2 for x, y in zip(text[PLACES.index((a, v))], other, strict=True)))
    return distance * abs(float(action @ adverb) / math.sqrt(float(action @ action) * float(adverb @ adverb)))


@torch.no_grad()
@pytest.mark.parametrize(
    "fields",
    [{}, {"antonyms": False}, {"delta": "fixed"}, {"learn_words": False}, {"audio": True, "shared_heads": False}],
)
def test_regression_against_a_loop(fields):
    model, batch = made(**fields).train(), some_batch()
    total, antonyms = 0.0, fields.get("antonyms", True)
    for i, label in enumerate(batch.labels.tolist()):
        a, v = PLACES[label]
        delta = 1.0 if fields.get("delta") == "fixed" else naive_delta(batch.classes, a, v, antonyms)
        target = [0.0] * 4
        target[v] = delta
        if antonyms:
            target[OPPOSITE[v]] = -delta
        answers = naive_answers(model, batch.classes, batch.features, i, a)
        total += sum((float(x) - t) ** 2 for x, t in zip(answers, target, strict=True)) / 4
    found = model.loss(batch)
    assert {key: float(value) for key, value in found.items()} == pytest.approx({"regression": total / 6}, rel=1e-4)


@torch.no_grad()
def test_classification_against_a_loop():
    model, batch = made("ac_cls").train(), some_batch()
    total = 0.0
    for i, label in enumerate(batch.labels.tolist()):
        answers = naive_answers(model, batch.classes, batch.features, i, PLACES[label][0]).tolist()
        total += math.log(sum(math.exp(x) for x in answers)) - answers[PLACES[label][1]]
    found = model.loss(batch)
    assert {key: float(value) for key, value in found.items()} == pytest.approx({"cross_entropy": total / 6}, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("rows", [PLACES, [(2, 1), (0, 0), (2, 3)], [(1, 3), (1, 0), (1, 1), (1, 2)]])
@pytest.mark.parametrize("name", ["ac_cls", "ac_reg"])
def test_scores_against_a_loop(name, rows):
    model, classes, features = made(name).eval(), pairs(rows), some_features()
    scores = model.score(features, classes)
    for j, (a, v) in enumerate(rows):
        for i in range(6):
            expected = float(naive_answers(model, classes, features, i, a)[v])
            assert scores[i, j].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@torch.no_grad()
def test_scores_depend_on_neither_batch_nor_order_nor_padding():
    """The bug of the authors' test: it attends to padding, so a clip's score depends on the longest of its batch."""
    features, classes, alone = some_features(), pairs(), torch.tensor([3])
    mended, released = made().eval(), made(attend_padding=True).eval()
    scores = mended.score(features, classes)
    torch.testing.assert_close(mended.score(padded(features), classes), scores, atol=1e-5, rtol=1e-4)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(mended.score(features.take(order), classes), scores[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mended.score(features.take(alone), classes)[0], scores[3], atol=1e-5, rtol=1e-4)
    wrong = released.score(features, classes)
    longest = torch.tensor([5])  # has no padding
    torch.testing.assert_close(wrong[5], mended.score(features.take(longest), classes)[0], atol=1e-5, rtol=1e-4)
    assert (wrong[3] - scores[3]).abs().max() > 1e-3


@torch.no_grad()
def test_changes_where_something_is_missing():
    rows = [(0, 0), (0, 1), (1, 0)]
    classes = pairs(rows)
    text, action = classes.text["words"], word_vectors(classes, "action")
    action_of, adverb, antonym = torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]), torch.tensor([1, 1, -1])
    found = changes(classes, action_of, adverb, antonym)
    others = [text[1], action[1], action[0]]  # the antonym's text; "stir quickly" is no class; none is known
    for i, (row, other) in enumerate(zip((0, 2, 1), others, strict=True)):
        words = action[action_of[i]], word_vectors(classes, "adverb")[adverb[i]]
        expected = (text[row] - other).norm() * F.cosine_similarity(*words, dim=0).abs()
        torch.testing.assert_close(found[i], expected)


@torch.no_grad()
def test_without_antonyms_in_the_classes_only_the_own_adverb_has_a_target():
    model, batch = made(antonyms=True), some_batch(pairs(opposite=None))
    expected = made(antonyms=False).loss(some_batch())["regression"]
    torch.testing.assert_close(model.loss(batch)["regression"], expected)


@torch.no_grad()
def test_words_of_actions_move_by_name():
    model, classes = made(), pairs()
    words = model.words(classes)
    torch.testing.assert_close(words, word_vectors(classes, "action") + model.moved)
    factor = classes.factors["action"]
    renamed = type(factor)(factor.index, ("stir", "fold", "cut"), factor.text)
    other = type(classes)(classes.names, classes.text, classes.seen, {**classes.factors, "action": renamed})
    moved = model.words(other) - word_vectors(other, "action")
    torch.testing.assert_close(moved, torch.stack([model.moved[1], torch.zeros(TEXT), model.moved[0]]))


def test_an_adverb_that_training_did_not_know_is_refused():
    model, classes = made(), pairs()
    factor = classes.factors["adverb"]
    renamed = type(factor)(factor.index, ("slowly", "gently", "well", "badly"), factor.text)
    other = type(classes)(classes.names, classes.text, classes.seen, {**classes.factors, "adverb": renamed})
    with pytest.raises(ValueError, match="no weights for the adverb 'gently'"):
        model.score(some_features(), other)


def test_aliases_and_presets():
    assert get_preset("ac_cls", "air").config.variant == "cls"
    assert get_preset("ac_reg", "air").config.variant == "reg"
    for name, preset in get_method("ac").presets.items():
        if name != "default":
            config, recipe = preset.config, preset.recipe
            assert (config.dim, config.heads * config.head_dim, config.hidden) == (512, 512, (512, 512, 512))
            assert (recipe.epochs * recipe.passes_per_epoch, recipe.lr, recipe.weight_decay) == (1000, 1e-4, 5e-5)
            assert preset.published
    for fields, words in (({"variant": "both"}, "variant is 'both'"), ({"delta": "none"}, "delta is 'none'")):
        with pytest.raises(ValueError, match=words):
            create_method("ac", made().inputs, **fields)


def test_a_network_without_hidden_layers_is_one_map():
    assert len(made(hidden=()).network) == 1
