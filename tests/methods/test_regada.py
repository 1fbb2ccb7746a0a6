"""ReGaDa: every loss term and score against loops from the equations, published sizes, released weights."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from avshot.method import Inputs
from avshot.methods.regada import Config
from avshot.nn.pairs import trained_pairs, word_vectors
from avshot.nn.video_head import VideoHead
from avshot.registry import create_method, get_method, load_official
from avshot.types import Batch
from naive_pairs import naive_attention, naive_text
from pair_classes import ACTIONS, ADVERBS, TEXT, VISUAL, built, padded, pairs, some_batch, some_features

PLAIN = {"dim": 5, "heads": 2, "head_dim": 4, "dropout_gate": 0.0, "dropout_video": 0.0}
PLACES = [(a, v) for v in range(len(ADVERBS)) for a in range(len(ACTIONS))]


def made(**fields):
    return built("regada", preset="vatex-adverbs", **(PLAIN | fields))


def naive_clip(model, features, clip, word):
    """o_video of one clip for one action word: attention, then the layers of W_proj, written out."""
    parts = []
    for name in model.video.read:
        steps = getattr(features, name)[clip][getattr(features, f"{name}_mask")[clip]]
        parts += [naive_attention(model.video.attention[name], word, steps)] if len(steps) else []
    value = sum(parts) / len(parts) if parts else torch.zeros(model.config.dim)
    layers = list(model.head.network)
    for linear, norm in zip(layers[0::4], layers[1::4], strict=True):
        value = linear.weight @ value + linear.bias
        value = (value - value.mean()) / (value.var(correction=0) + 1e-5).sqrt() * norm.weight + norm.bias
        value = torch.clamp(value, min=0)
    return value


def distance(a, b):
    return math.sqrt(sum(float(x - y) ** 2 for x, y in zip(a, b, strict=True)))


def naive_terms(model, batch, wrong_action, wrong_adverb):
    """Equations 6.4 to 6.6; a wrong one of None leaves the clip out."""
    config, classes = model.config, batch.classes
    sums = {"action": [], "adverb": [], "regression": []}
    seen = [PLACES[i] for i in classes.seen.nonzero().flatten().tolist()]

    def text(a, v):
        counted = PLACES if config.norm_over == "all" else seen
        return naive_text(model.text, classes, torch.tensor([a]), torch.tensor([v]), counted)[0]

    for i, label in enumerate(batch.labels.tolist()):
        a, v = PLACES[label]
        clip = naive_clip(model, batch.features, i, word_vectors(classes, "action")[a])
        right = text(a, v)
        for name, pair in (("action", (wrong_action[i], v)), ("adverb", (a, wrong_adverb[i]))):
            if None not in pair:
                sums[name].append(max(0, distance(clip, right) - distance(clip, text(*pair)) + config.margin))
        squares = [float(x - y) ** 2 for x, y in zip(clip, right, strict=True)]
        sums["regression"].append(sum(squares) / (len(squares) if config.regression == "mean" else 1))
    weights = {"action": config.action, "adverb": config.adverb, "regression": config.regression_weight}
    found = {name: sum(values) / max(len(values), 1) for name, values in sums.items()}
    return {name: weights[name] * value for name, value in found.items() if weights[name]}


def drawn(model, batch, seed):
    """The wrong actions and adverbs that `loss` draws from this seed."""
    torch.manual_seed(seed)
    action, adverb = (torch.tensor([PLACES[i][k] for i in batch.labels.tolist()]) for k in (0, 1))
    found = model._wrong(batch.classes, action, adverb)
    return [[int(x) if there else None for x, there in zip(*side, strict=True)] for side in found]


LOSSES = [
    {},
    {"antonyms": False},
    {"negatives": "seen", "norm_over": "seen"},
    {"negatives": "seen", "antonyms": False},
    {"regression": "sum", "margin": 0.3, "action": 0.5, "adverb": 1.5, "regression_weight": 0.7},
    {"audio": True},
    {"adverb": 0.0, "regression_weight": 0.0},
    {"action": 0.0, "adverb": 0.0},
    {"main": "pair", "aux": "action"},
    {"main": "action", "aux": "adverb", "share_weights": True},
    {"residual": False, "projection_layers": 1},
]


@torch.no_grad()
@pytest.mark.parametrize("fields", LOSSES)
def test_loss_against_loops(fields):
    model, batch = made(**fields).train(), some_batch(pairs(seen={0, 2, 3, 5, 7, 11}))
    wrong = drawn(model, batch, seed=4)
    expected = naive_terms(model, batch, *wrong)
    torch.manual_seed(4)
    found = {name: float(value) for name, value in model.loss(batch).items()}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@torch.no_grad()
def test_loss_where_only_some_pairs_are_there():
    """With the text of pairs there is nothing to embed but the classes: wrong pairs are among them, or left out."""
    rows = [(0, 0), (1, 0), (0, 1), (2, 3)]
    model, classes = made(main="pair", aux="adverb").train(), pairs(rows)
    action, adverb = classes.factors["action"].index, classes.factors["adverb"].index
    for seed in range(5):
        torch.manual_seed(seed)
        (other, has_other), (opposed, has_opposed) = model._wrong(classes, action, adverb)
        assert has_other.tolist() == [True, True, False, False]
        assert other[:2].tolist() == [1, 0]
        assert has_opposed.tolist() == [True, False, True, False]  # "stir quickly" and "pour well" are no classes
        assert (opposed[0], opposed[2]) == (1, 0)
    batch = Batch(some_features(), torch.tensor([0, 1, 2, 3, 3, 3]), classes)
    assert all(value.isfinite() for value in model.loss(batch).values())
    alone = Batch(some_features()[:2], torch.tensor([0, 0]), pairs([(2, 3)]))
    terms = model.loss(alone)
    assert terms["action"] == terms["adverb"] == 0


@torch.no_grad()
def test_wrong_pairs_are_of_those_that_are_allowed():
    classes, batch = pairs(seen={0, 2, 3, 5, 7}, opposite=(1, 0, -1, -1)), some_batch()
    batch = replace(batch, classes=classes)
    model, there = made(negatives="seen"), trained_pairs(classes)
    for seed in range(20):
        others, opposed = drawn(model, batch, seed)
        for label, other, adverb in zip(batch.labels.tolist(), others, opposed, strict=True):
            a, v = PLACES[label]
            assert other is None or (other != a and there[other, v])
            if v < 2:
                assert adverb == 1 - v
            else:
                assert adverb is None or (adverb != v and there[a, adverb])
    every = {drawn(made(), batch, seed)[0][0] for seed in range(30)}
    assert every == {1, 2}


@torch.no_grad()
@pytest.mark.parametrize("fields", [{}, {"audio": True}, {"main": "pair", "aux": "adverb"}, {"sigmoid": False}])
@pytest.mark.parametrize("rows", [PLACES, [(2, 1), (0, 0), (2, 3)], [(1, 3), (1, 0), (1, 1), (1, 2)]])
def test_score_is_the_cosine_under_the_pairs_own_action(rows, fields):
    model = made(**fields)
    model.train().loss(some_batch())  # running statistics
    model.eval()
    classes, features = pairs(rows), some_features()
    scores = model.score(features, classes)
    assert scores.shape == (6, len(rows))
    for j, (a, v) in enumerate(rows):
        text = naive_text(model.text, classes, torch.tensor([a]), torch.tensor([v]), [])[0]
        for i in range(6):
            clip = naive_clip(model, features, i, word_vectors(classes, "action")[a])
            cosine = float(clip @ text) / max(float(clip.norm() * text.norm()), 1e-12)
            assert scores[i, j].item() == pytest.approx(cosine, rel=1e-4, abs=1e-5)


@torch.no_grad()
def test_scores_depend_on_neither_batch_nor_order_nor_padding():
    model, classes = made(audio=True).eval(), pairs()
    features = some_features()
    scores = model.score(features, classes)
    torch.testing.assert_close(model.score(padded(features), classes), scores, atol=1e-5, rtol=1e-4)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(model.score(features.take(order), classes), scores[order], atol=1e-5, rtol=1e-4)
    for i in range(6):
        torch.testing.assert_close(model.score(features[i], classes)[0], scores[i], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_without_a_picture_all_adverbs_of_an_action_are_as_without_any_clip():
    model = made().eval()
    silent = some_features([(3, 0), (0, 0)])
    scores = model.score(silent, pairs())
    torch.testing.assert_close(scores[0], scores[1])


def test_video_head_has_dropout_between_its_layers_alone():
    kinds = [type(layer) for layer in VideoHead(3, 2, dropout=0.1).network]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout, nn.Linear, nn.LayerNorm, nn.ReLU]
    with pytest.raises(ValueError, match="projection_layers is 0"):
        VideoHead(3, 0, dropout=0.1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"negatives": "some"}, "negatives is 'some'; expected one of all, seen"),
        ({"regression": "max"}, "regression is 'max'; expected one of mean, sum"),
        ({"action": 0.0, "adverb": 0.0, "regression_weight": 0.0}, "expected 0 or more, and one above 0"),
        ({"adverb": -1.0}, "expected 0 or more"),
    ],
)
def test_errors_say_what_is_wrong(fields, words):
    with pytest.raises(ValueError, match=words):
        made(**fields)


def test_plain_classes_are_refused():
    with pytest.raises(ValueError, match="'regada' learns from pairs of an action and an adverb"):
        create_method("regada", Inputs(0, VISUAL, {"words": TEXT}))


# --- what is published ------------------------------------------------------------------------------------------------

SETS = {"howto100m-adverbs": (72, 6), "air": (48, 10), "activitynet-adverbs": (113, 20)}
SETS |= {"msrvtt-adverbs": (104, 18), "vatex-adverbs": (135, 34)}
SIZES = {"air": 5_765_202, "howto100m-adverbs": 4_483_602}


def s3d(actions, adverbs):
    factors = {"action": tuple(f"a{i}" for i in range(actions)), "adverb": tuple(f"v{i}" for i in range(adverbs))}
    return Inputs(0, 1024, {"s3d": 512}, factors=factors)


@pytest.mark.parametrize("name", SETS)
def test_published_sizes(name):
    """FACTS: trainable numbers of the authors' models, word vectors aside."""
    model = create_method("regada", s3d(*SETS[name]), preset=name)
    assert sum(p.numel() for p in model.parameters()) == SIZES.get(name, 3_842_802)


def test_published_presets():
    presets = get_method("regada").presets
    unseen = {f"{name}-unseen" for name in list(SETS)[2:]}
    assert set(presets) == {"default"} | {f"{kind}{name}" for kind in ("", "paper-") for name in {*SETS, *unseen}}
    for name in {*SETS, *unseen}:
        code, thesis = presets[name], presets[f"paper-{name}"]
        assert (code.recipe.weight_decay, thesis.recipe.weight_decay) == (5e-5, 1e-5)
        assert (code.config, replace(code.recipe, weight_decay=1e-5)) == (thesis.config, thesis.recipe)
        recipe = code.recipe
        assert recipe.epochs * recipe.passes_per_epoch == 2000
        assert (recipe.batch_size, recipe.class_balanced, recipe.betas) == (512, False, (0.9, 0.999))
        assert recipe.lr == (3e-5 if name == "howto100m-adverbs" else 1e-5)
        assert code.published
        assert (code.config.audio, code.config.negatives) == (False, "all")
    wanted = {"air": (4, 3, 0.7, 0.1, 1.5, 1.0), "howto100m-adverbs": (3, 2, 0.7, 0.3, 2.0, 1.5)}
    for name in {*SETS, *unseen}:
        c = presets[name].config
        found = (c.gate_layers, c.residual_layers, c.dropout_gate, c.dropout_video, c.adverb, c.regression_weight)
        assert found == wanted.get(name, (2, 2, 0.6, 0.3, 2.0, 1.0))
        assert (c.dim, c.heads, c.head_dim, c.action, c.margin) == (400, 4, 100, 1.0, 1.0)


def official(gate, residual, actions, adverbs, paired, seed=0):
    """A state dict in the authors' layout, with S3D's widths but a space of 40."""
    generator = torch.Generator().manual_seed(seed)
    dim, words, visual = 40, 24, 32

    def some(*shape):
        return 0.3 * torch.randn(*shape, generator=generator)

    text, video = "text_embedder.text_embedder.", "video_embedder.video_embedder."
    found = {
        f"{text}action_embedder.weight": some(actions, words),
        f"{text}adverb_embedder.weight": some(adverbs, words),
        f"{text}text_projector.weight_gate": torch.tensor([0.8, 1.2]),
        f"{video}attention.to_q.weight": some(dim, words),
        f"{video}attention.to_k.weight": some(dim, visual),
        f"{video}attention.to_v.weight": some(dim, visual),
        f"{video}attention.out.weight": some(dim, dim),
        f"{video}attention.out.bias": some(dim),
    }
    if paired:
        found[f"{text}pair_embedder.weight"] = some(actions * adverbs, words)
    for name in ("act", "adv"):
        found |= {f"{text}word_proj.{name}.weight": some(dim, words), f"{text}word_proj.{name}.bias": some(dim)}
    for composer, count in (("gated_feature_composer", gate), ("res_info_composer", residual)):
        place = f"{text}text_projector.{composer}."
        found |= {f"{place}1.{key}": some(2 * dim) for key in ("weight", "bias", "running_mean")}
        found[f"{place}1.running_var"] = some(2 * dim).abs() + 0.5
        found[f"{place}1.num_batches_tracked"] = torch.tensor(3)
        for i in range(count):
            wide = 2 * dim if i + 1 < count else dim
            found |= {f"{place}{2 + 3 * i}.weight": some(wide, 2 * dim), f"{place}{2 + 3 * i}.bias": some(wide)}
    for i in (0, 4):
        found |= {f"{video}mlp.network.{i}.weight": some(dim, dim), f"{video}mlp.network.{i}.bias": some(dim)}
        found |= {f"{video}mlp.network.{i + 1}.weight": some(dim), f"{video}mlp.network.{i + 1}.bias": some(dim)}
    return found


def run_official(state, features, actions, adverbs):
    """Cosine of every clip and pair from the authors' tensors by their names, in plain matrix products."""
    text, video = "text_embedder.text_embedder.", "video_embedder.video_embedder."
    heads, found = 4, torch.zeros(len(features), actions, adverbs)

    def linear(place, value):
        return state[f"{place}.weight"] @ value + state[f"{place}.bias"]

    def composed(name, value):
        place = f"{text}text_projector.{name}."
        norm = {key: state[f"{place}1.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
        value = (value - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt() * norm["weight"] + norm["bias"]
        index = 2
        while f"{place}{index}.weight" in state:
            if index > 2:
                value = torch.where(value > 0, value, 0.2 * value)
            value = linear(f"{place}{index}", value)
            index += 3
        return value

    for a in range(actions):
        word = state[f"{text}action_embedder.weight"][a]
        phi_a = linear(f"{text}word_proj.act", word)
        for i in range(len(features)):
            steps = features.visual[i][features.visual_mask[i]]
            q, k, v = (
                (value @ state[f"{video}attention.to_{name}.weight"].T).unflatten(-1, (heads, -1))
                for name, value in (("q", word), ("k", steps), ("v", steps))
            )
            parts = []
            for h in range(heads):
                weights = torch.softmax(k[:, h] @ q[h] / math.sqrt(k.shape[2]), dim=0)
                parts.append(weights @ v[:, h])
            clip = linear(f"{video}attention.out", torch.cat(parts))
            for layer in (0, 4):
                place = f"{video}mlp.network.{layer + 1}"
                clip = linear(f"{video}mlp.network.{layer}", clip)
                clip = (clip - clip.mean()) / (clip.var(correction=0) + 1e-5).sqrt()
                clip = (clip * state[f"{place}.weight"] + state[f"{place}.bias"]).relu()
            for v_ in range(adverbs):
                phi_v = linear(f"{text}word_proj.adv", state[f"{text}adverb_embedder.weight"][v_])
                both = torch.cat([phi_v, phi_a])
                w = state[f"{text}text_projector.weight_gate"]
                pair = w[0] * composed("gated_feature_composer", both).sigmoid() * phi_v
                pair = pair + w[1] * composed("res_info_composer", both)
                found[i, a, v_] = (clip @ pair) / (clip.norm() * pair.norm())
    return found


@torch.no_grad()
@pytest.mark.parametrize(("gate", "residual", "entries"), [(4, 3, 45), (3, 2, 41), (2, 2, 39)])
@pytest.mark.parametrize("paired", [True, False])
def test_released_weights_score_as_they_do_by_hand(gate, residual, entries, paired):
    state = official(gate, residual, len(ACTIONS), len(ADVERBS), paired)
    assert len(state) == (entries if paired else entries - 1)
    model = load_official("regada", {"args": {}, "model_state": state}, actions=ACTIONS, adverbs=ADVERBS)
    assert not model.training
    assert (model.config.gate_layers, model.config.residual_layers, model.config.dim) == (gate, residual, 40)
    assert model.inputs.text == {"s3d": 24}
    classes = pairs()
    words = {part: state[f"text_embedder.text_embedder.{part}_embedder.weight"] for part in ("action", "adverb")}
    factors = {part: replace(classes.factors[part], text={"s3d": vectors}) for part, vectors in words.items()}
    classes = replace(classes, factors=factors)
    features = some_features(visual=32)
    expected = run_official(state, features, len(ACTIONS), len(ADVERBS))
    scores = model.score(features, classes)
    for j, (a, v) in enumerate(PLACES):
        torch.testing.assert_close(scores[:, j], expected[:, a, v], atol=1e-4, rtol=1e-4)


def test_released_weights_that_do_not_fit_say_why():
    state = official(2, 2, 3, 4, False)
    with pytest.raises(ValueError, match="The weights know 3 actions; got 2 names"):
        load_official("regada", state, actions=ACTIONS[:2], adverbs=ADVERBS)
    with pytest.raises(ValueError, match=r"unexpected 'extra'"):
        load_official("regada", state | {"extra": torch.zeros(1)}, actions=ACTIONS, adverbs=ADVERBS)
    state.pop("text_embedder.text_embedder.adverb_embedder.weight")
    with pytest.raises(ValueError, match=r"tensor 'text_embedder.text_embedder.adverb_embedder.weight' is missing"):
        load_official("regada", state, actions=ACTIONS, adverbs=ADVERBS)


def test_the_settings_of_the_tables_are_settings():
    """Tables 6.3 to 6.5 and E.3 differ in these fields alone."""
    rows = [
        {"main": "action", "aux": "adverb"},
        {"main": "pair", "aux": "adverb"},
        {"main": "pair", "aux": "action"},
        {"adverb": 0.0, "regression_weight": 0.0},
        {"action": 0.0, "regression_weight": 0.0},
        {"action": 0.0, "adverb": 0.0},
        {"regression_weight": 0.0},
        {"share_weights": True},
        {"sigmoid": False},
        {"residual": False},
        {"antonyms": False},
    ]
    assert len({str(replace(Config(), **row)) for row in rows}) == len(rows)
    for row in rows:
        model = made(**row).train()
        loss = sum(model.loss(some_batch()).values())
        loss.backward()
        assert loss.isfinite()
