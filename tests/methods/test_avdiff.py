"""AV-Diff: the authors' weights against the equations, losses against loops, and who learns what in which part."""

import dataclasses
import itertools
import math

import pytest
import torch
from test_tcaf import SIZES, UCF, Naive, as_features, official_state, raw_clips

from avshot.methods.avdiff import AvDiff, from_official
from avshot.registry import get_method, get_preset, load_official
from avshot.settings import replace_fields
from avshot.training.optimisers import Players
from avshot.types import Batch, Classes, Features
from few_shot_clips import (
    LABELS,
    NAMES,
    TOKENS,
    cross_entropy,
    naive_head,
    small,
    some_batch,
    some_classes,
    some_features,
)

FIELDS = TOKENS | {"layers": 3, "self_layers": 1, "diffusion_steps": 5, "diffusion_hidden": 7}
GAN = {"generator": "wgan", "noise": 3, "generator_hidden": 6, "critic_hidden": 6, "critic_steps": 2}


def made(preset="ucf-fsl-5", **fields):
    return small("avdiff", preset, **(FIELDS | fields))


# --- the authors' weights -------------------------------------------------------------------------------------------


def official(sizes, layers, classes, hidden, *, dropout=False, seed=0):
    """Random weights under the names and shapes of the authors' AVDiff: TCaF's, with another end."""
    gone = ("audiovisual_embeddings", "W_proj", "D_w", "D_o")
    state = {name: value for name, value in official_state(sizes, layers, seed).items() if not name.startswith(gone)}
    generator, out, told = torch.Generator().manual_seed(seed + 1), sizes["out"], sizes["text"]
    last = 4 if dropout else 3
    shapes = {
        "classifier": (classes, out),
        "generator.fc.1": (hidden, out + 1 + told),
        f"generator.fc.{last}": (out, hidden),
        "discriminator_seen_novel.fc.1": (32, out),
        "discriminator_seen_novel.fc.3": (1, 32),
    }
    for name, (rows, columns) in shapes.items():
        state[f"{name}.weight"] = torch.randn(rows, columns, generator=generator) / math.sqrt(columns)
        state[f"{name}.bias"] = 0.3 * torch.randn(rows, generator=generator)
    return state


@pytest.mark.parametrize(
    ("layers", "classes", "parameters", "entries"),
    [(4, 48, 5_716_957, 106), (5, 198, 6_419_235, 117), (8, 271, 8_501_564, 150)],
)
def test_the_released_layout_has_the_sizes_that_were_measured(layers, classes, parameters, entries):
    state = official(UCF, layers, classes, 128)
    fixed = ("running_mean", "running_var", "num_batches_tracked", "fourier_randn")
    assert len(state) == entries
    assert sum(value.numel() for name, value in state.items() if not name.endswith(fixed)) == parameters
    model = load_official("avdiff", state, classes=[f"class {i}" for i in range(classes)])
    unread = 64 + 32 * 64 + 32 + 32 + 1  # an embedding of padding, a discriminator that nothing asks
    assert sum(value.numel() for value in model.parameters()) == parameters - unread
    assert model.config.self_layers == {4: 2, 5: 3, 8: 5}[layers]


class NaiveAvDiff(Naive):
    """The authors' model in eval mode, from the equations: self-attention and class token first, then everything."""

    def __init__(self, state, heads, self_layers):
        super().__init__(state, heads)
        self.self_layers = self_layers

    def attend(self, name, x, kinds):
        self.pattern = "self" if int(name.split(".")[2]) < self.self_layers else "full"
        return super().attend(name, x, kinds)

    def logits(self, clips):
        return torch.stack([self.linear("classifier", self.theta_o(*clip)) for clip in clips])

    def make(self, start, told, steps, noise, last):
        """Sampling (eq. 4.9), row by row; `noise[k]` is that of the k-th step taken."""
        value = start.double()
        for k, t in enumerate(reversed(range(steps))):
            beta = 1e-4 + (0.02 - 1e-4) * t / (steps - 1)
            kept = math.prod(1 - 1e-4 - (0.02 - 1e-4) * j / (steps - 1) for j in range(t + 1))
            for i in range(len(value)):
                x = torch.cat([value[i], torch.tensor([float(t)]), told[i].double()])
                hidden = self.linear("generator.fc.1", leaky(x))
                eps = self.linear(f"generator.fc.{last}", leaky(hidden))
                mean = (value[i] - beta / math.sqrt(1 - kept) * eps) / math.sqrt(1 - beta)
                value[i] = mean + math.sqrt(beta) * noise[k][i].double()
        return value


def leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


@pytest.mark.parametrize("self_layers", [0, 2, 3])
@torch.no_grad()
def test_released_weights_give_the_authors_logits(self_layers):
    state = official(SIZES, 3, 4, 9)
    clips = raw_clips(SIZES, [(3, 4), (1, 1), (5, 2), (2, 6)])
    model = load_official("avdiff", {"model": state}, classes=NAMES, head_dim=4, self_layers=self_layers)
    assert not model.training
    text = torch.randn(4, SIZES["text"], generator=torch.Generator().manual_seed(3))
    classes = Classes(NAMES, {"w2v": text}, torch.tensor([True, True, False, False]))
    naive = NaiveAvDiff(state, 2, self_layers)
    ours, theirs = model.score(as_features(clips, SIZES), classes), naive.logits(clips)
    torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=0)
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours[:, [2, 0]], model.score(as_features(clips, SIZES), classes.select(["bell", "dog"])))
    other = NaiveAvDiff(state, 2, 1).logits(clips)
    assert not torch.allclose(ours.double(), other, atol=1e-3)  # the pattern matters


@pytest.mark.parametrize("dropout", [False, True])
@torch.no_grad()
def test_released_weights_make_what_the_authors_program_makes(dropout):
    state, told = official(SIZES, 1, 4, 9, dropout=dropout), torch.randn(3, SIZES["text"])
    model = from_official(state, classes=NAMES, head_dim=4, diffusion_steps=6)
    torch.manual_seed(4)
    made_up = model.synthesis.make(told)
    torch.manual_seed(4)
    start, *noise = [torch.randn(3, SIZES["out"]) for _ in range(7)]  # noise at the last step, too
    expected = NaiveAvDiff(state, 2, 0).make(start, told, 6, noise, 4 if dropout else 3)
    torch.testing.assert_close(made_up.double(), expected, atol=1e-4, rtol=1e-4)
    assert made_up.min() < 0  # nothing is cut off there


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"O_proj.fc.5.bias": None}, "O_proj.fc.5.bias"),
        ({"generator.fc.1.weight": None}, "generator.fc.1.weight"),
        ({"surprise": torch.zeros(1)}, "surprise"),
        ({"classifier.weight": torch.zeros(5, 4)}, "The classifier has 5 rows; got 4 classes"),
    ],
)
def test_released_weights_that_do_not_fit_are_named(change, said):
    state = {k: v for k, v in (official(SIZES, 1, 4, 9) | change).items() if v is not None}
    with pytest.raises(ValueError, match=said):
        load_official("avdiff", state, classes=NAMES, head_dim=4)


def test_class_names_are_needed():
    with pytest.raises(ValueError, match=r"has 4 rows; got 0 classes. Pass classes="):
        load_official("avdiff", official(SIZES, 1, 4, 9), head_dim=4)


# --- losses ----------------------------------------------------------------------------------------------------------


def naive_loss(model, batch):
    """The three terms by loops, from the clips' c_o and the draws of the same seed."""
    with torch.no_grad():
        clips = model.embed(batch.features)
        text, diffusion = batch.classes.text["w2v"], model.synthesis.diffusion
        steps, noise = torch.randint(5, (5,)), torch.randn(5, 8)
        told = torch.stack([text[batch.classes.index(NAMES[label])] for label in LABELS])
        expected = dict.fromkeys(("cross_entropy", "diffusion", "synthetic"), 0.0)
        for i, label in enumerate(LABELS):
            expected["cross_entropy"] += cross_entropy(naive_head(model, clips[i]), label) / 5
            kept = math.prod(1 - 1e-4 - (0.02 - 1e-4) * j / 4 for j in range(int(steps[i]) + 1))
            shown = math.sqrt(kept) * clips[i] + math.sqrt(1 - kept) * noise[i]
            error = diffusion(shown[None], steps[i : i + 1], told[i : i + 1])[0] - noise[i]
            expected["diffusion"] += float(error.square().sum()) / 8 / 5
        novel = [i for i, label in enumerate(LABELS) if label >= 2]
        value = torch.randn(len(novel), 8)
        for t in reversed(range(5)):
            beta = 1e-4 + (0.02 - 1e-4) * t / 4
            kept = math.prod(1 - 1e-4 - (0.02 - 1e-4) * j / 4 for j in range(t + 1))
            eps = diffusion(value, torch.full((3,), t), told[novel])
            value = (value - beta / math.sqrt(1 - kept) * eps) / math.sqrt(1 - beta)
            if t > 0 or model.config.noise_at_last_step:
                value = value + math.sqrt(beta) * torch.randn(3, 8)
        if model.config.clip_synthetic:
            value = value.clamp(min=0)
        for row, i in zip(value, novel, strict=True):
            expected["synthetic"] += cross_entropy(naive_head(model, row), LABELS[i]) / 3
    return expected


@pytest.mark.parametrize("released", [False, True])
def test_loss_terms_equal_the_loops(released):
    fields = dict(AvDiff.released) | {"condition": "text"} if released else {}
    model, batch = made(**fields), some_batch()
    torch.manual_seed(6)
    terms = model.loss(batch)
    torch.manual_seed(6)
    expected = naive_loss(model, batch)
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-3), name


def test_weights_of_terms_multiply_them():
    batch, found = some_batch(), []
    for fields in ({}, {"diffusion_weight": 3.0, "synthetic": 0.5}):
        model = made(**fields)
        torch.manual_seed(6)
        found.append(model.loss(batch))
    torch.testing.assert_close(found[1]["diffusion"], 3 * found[0]["diffusion"])
    torch.testing.assert_close(found[1]["synthetic"], 0.5 * found[0]["synthetic"])
    torch.testing.assert_close(found[1]["cross_entropy"], found[0]["cross_entropy"])


@pytest.mark.parametrize("order", list(itertools.islice(itertools.permutations(range(4)), 0, 24, 5)))
def test_each_row_is_told_its_own_class_whatever_the_class_ids(order, monkeypatch):
    """Class ids are any; the program of the authors mixes up those of novel classes."""
    model, batch = made(), some_batch()
    classes = batch.classes.select([NAMES[i] for i in order])
    labels = torch.tensor([classes.index(NAMES[label]) for label in LABELS])
    told, novel = [], []
    diffusion = model.synthesis.diffusion
    loss, make = diffusion.loss, diffusion.make
    monkeypatch.setattr(diffusion, "loss", lambda value, text: told.append(text) or loss(value, text))
    monkeypatch.setattr(diffusion, "make", lambda text: novel.append(text) or make(text))
    model.loss(Batch(batch.features, labels, classes))
    own = some_classes().text["w2v"]
    assert torch.equal(told[0], own[list(LABELS)])
    assert torch.equal(novel[0], own[[label for label in LABELS if label >= 2]])


def test_base_clips_are_not_made_up():
    model, batch = made().train(), some_batch()
    classes = dataclasses.replace(batch.classes, seen=torch.ones(4, dtype=torch.bool))
    assert model.loss(Batch(batch.features, batch.labels, classes))["synthetic"].item() == 0


def moved_by(model, term):
    """First parts of the names of the parameters that get a gradient from a term."""
    model.zero_grad(set_to_none=True)
    model.train().loss(some_batch())[term].backward()
    return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_what_is_detached_teaches_nothing_behind_it():
    heads = {"fusion", "project_output", "head"}
    plain, released = made(), made(detach_features=False, detach_synthetic=False)
    assert moved_by(plain, "cross_entropy") == heads
    assert moved_by(plain, "diffusion") == {"synthesis"}
    assert moved_by(plain, "synthetic") == {"head"}
    assert moved_by(released, "diffusion") == {"synthesis", "fusion", "project_output"}
    assert moved_by(released, "synthetic") == {"head", "synthesis"}


# --- the two parts of training ---------------------------------------------------------------------------------------


def test_the_curriculum():
    base, novel = made().phases()
    assert (base.name, base.share, base.best) == ("base", 0.6, "B")
    assert (novel.name, novel.share, novel.best) == ("novel", 0.4, "")
    (everything,) = base.turns
    assert (everything.pool, everything.terms) == ("base", ("cross_entropy", "diffusion"))
    on_base, on_novel = novel.turns
    assert (on_base.pool, on_novel.pool) == ("base", "novel")
    assert on_base.terms == everything.terms
    assert on_novel.terms == (*everything.terms, "synthetic")
    assert on_base.optimiser == on_novel.optimiser != ""
    assert on_base.parameters == on_novel.parameters
    epochs = get_preset("avdiff", "ucf-fsl-5").recipe.epochs
    assert (base.share * epochs, novel.share * epochs) == (30, 20)
    assert [turn.terms for turn in made(generator="none").phases()[1].turns] == [("cross_entropy",)] * 2
    pools = [[turn.pool for turn in phase.turns] for phase in made(**GAN).phases()]
    assert pools == [["base"] * 3, ["base", "novel", "", ""]]


def changed(model, before):
    now = {name: value.clone() for name, value in model.state_dict().items()}
    return {name for name, value in now.items() if not torch.equal(value, before[name])}, now


@pytest.mark.parametrize("rest_frozen", [True, False])
def test_the_second_part_leaves_the_fusion_as_it_is(rest_frozen):
    model = made(rest_frozen=rest_frozen, visual_scaling="standardise").train()
    base, novel = model.phases()
    _, state = changed(model, model.state_dict())
    players, batch = Players(model, base, replace_fields(get_preset("avdiff").recipe, {"lr": 1e-2})), some_batch()
    players.step(batch, 0)
    moved, state = changed(model, state)
    assert {name.split(".")[0] for name in moved} == {"fusion", "project_output", "head", "synthesis"}
    players = Players(model, novel, players.recipe)
    for step in range(2):
        players.step(batch, step)
    moved, _ = changed(model, state)
    assert {name.split(".")[0] for name in moved if "running" not in name and "num_batches" not in name} == {
        "project_output",
        "head",
        "synthesis",
    }
    statistics = {name for name in moved if name.startswith("fusion.")}
    assert bool(statistics) is not rest_frozen
    assert all("running" in name or "num_batches" in name for name in statistics)
    assert any("running" in name for name in moved if name.startswith("project_output."))
    assert all(module.training for module in model.modules())


def test_frozen_parts_have_no_dropout_but_features_still_change():
    batch = some_batch()

    def fused(**fields):
        model = made(dropout_encoder=0.5, dropout_transformer=0.5, dropout_position=0.5, dropout_output=0.0, **fields)
        model.train().fusion.requires_grad_(False)
        torch.manual_seed(1)
        first = model.embed(batch.features)
        torch.manual_seed(2)
        return torch.equal(first, model.embed(batch.features))

    assert fused()
    assert not fused(rest_frozen=False)
    assert not fused(feature_noise=0.5)


@pytest.mark.parametrize("condition", ["text", "shuffled", "one_hot", "prototypes", "set_order"])
@pytest.mark.parametrize("generator", ["diffusion", "wgan", "none"])
def test_every_generator_learns_with_every_condition(generator, condition):
    model, batch = made(**(GAN | {"generator": generator, "condition": condition})).train(), some_batch()
    for phase in model.phases():
        players = Players(model, phase, get_preset("avdiff").recipe)
        for step in range(len(players.order)):
            before = {name: value.clone() for name, value in model.named_parameters()}
            assert all(math.isfinite(value) for value in players.step(batch, step).values())
            moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
            assert moved
            assert moved <= set(players.chosen[players.order[step]])
    with torch.no_grad():
        assert model.eval().score(batch.features, batch.classes).isfinite().all()


# --- attention, modalities, classes ----------------------------------------------------------------------------------


@torch.no_grad()
def test_the_kinds_of_attention_differ_but_with_one_modality():
    """Table 4.5: over a single modality each pattern is full attention, but that which looks at the other alone."""
    kinds = ({}, {"self_layers": 0}, {"self_layers": 4}, {"attention": "alternating", "self_layers": 0})
    features = some_features([(3, 4), (4, 2), (2, 2)])
    both = [made(layers=4, **kind).score(features, some_classes()) for kind in kinds]
    for one, other in itertools.combinations(both, 2):
        assert not torch.allclose(one, other, atol=1e-4)
    for modality in ("audio", "visual"):
        alone = [made(layers=4, **kind).score(features.only(modality), some_classes()) for kind in kinds]
        for other in alone[1:]:
            torch.testing.assert_close(other, alone[0])


@torch.no_grad()
def test_a_missing_modality_has_no_say_and_the_other_decides():
    model, features = made(), some_features([(3, 4), (2, 5)])
    loud = dataclasses.replace(features, audio=features.audio + 5.0)
    silent = [model.score(part.only("visual"), some_classes()) for part in (features, loud)]
    assert torch.equal(*silent)
    mixed = Features.cat([features.only("visual")[:1], features[1:]])
    torch.testing.assert_close(model.score(mixed, some_classes())[0], silent[0][0])
    torch.testing.assert_close(model.score(mixed, some_classes())[1], model.score(features, some_classes())[1])


def test_it_is_closed_and_refuses_other_classes():
    model, known = made(), some_classes()
    assert model.closed
    with pytest.raises(ValueError, match="Class 'owl' has no row"):
        model.score(some_features(), Classes(("owl", *NAMES[1:]), known.text, known.seen))


def test_published_settings():
    cls = get_method("avdiff")
    shots, sets = (1, 5, 10, 20), ("ucf", "activitynet", "vggsound")
    assert set(cls.presets) == {"default", *(f"{data}-fsl-{k}" for data in sets for k in shots)}
    steps = {"ucf": (300, 200, 300, 200), "activitynet": (100, 200, 200, 200), "vggsound": (200, 100, 100, 100)}
    layers = {"ucf": (4, 2), "activitynet": (5, 3), "vggsound": (8, 5)}
    recipes = {"ucf": (64, 7e-5, "plateau"), "activitynet": (32, 7e-5, "plateau"), "vggsound": (64, 6e-5, "constant")}
    for data, (k, number) in itertools.product(sets, enumerate(shots)):
        preset = cls.presets[f"{data}-fsl-{number}"]
        config, recipe = preset.config, preset.recipe
        assert config.diffusion_steps == steps[data][k]
        assert (config.layers, config.self_layers) == layers[data]
        assert (recipe.batch_size, recipe.lr, recipe.schedule) == recipes[data]
        assert (recipe.epochs, recipe.batches_per_epoch, recipe.weight_decay) == (50, 300, 1e-5)
        assert (config.dim, config.dim_out, config.heads, config.head_dim) == (300, 64, 8, 64)
        assert preset.selection.beta_grid == "avdiff"
        assert preset.published
        cropped = (config.train_visual_steps, config.test_visual_steps)
        assert cropped == ((60, 300) if data == "activitynet" else (0, 0))
    assert cls.presets["activitynet-fsl-1"].config.diffusion_dropout == 0.4
    assert cls.presets["ucf-fsl-20"].config.dropout_transformer == 0.2
    assert cls.presets["ucf-fsl-1"].config.diffusion_hidden == 64
    assert cls.presets["vggsound-fsl-10"].config.dropout_encoder == 0.1
    assert not cls.presets["default"].published
