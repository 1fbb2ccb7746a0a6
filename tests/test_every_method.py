"""The contract of a method, asserted for every file in `avshot/methods/`."""

import dataclasses
import functools
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avshot.method import Inputs, Recipe, build_method, check_modalities, replace_fields
from avshot.registry import create_method, get_method, get_preset, list_aliases, list_methods
from avshot.training.optimisers import Players
from avshot.types import Batch, Classes, Factor, Features

METHODS = sorted([*list_methods(), *list_aliases()])  # everything that can be asked for by name
AUDIO, VISUAL, TEXT, STEPS = 14, 12, 8, 5
every_method = pytest.mark.parametrize("name", METHODS)


# --- a small task: classes are pairs of attributes, and four pairs never occur in training ----------------------------


@dataclasses.dataclass(frozen=True)
class Task:
    """Clips whose features are linear images of their class vectors, with noise."""

    classes: Classes  # 16, the first 12 seen
    vectors: torch.Tensor  # of the classes, what clips are made from
    audio_map: torch.Tensor
    visual_map: torch.Tensor

    def clips(self, labels, seed, noise=0.3):
        """Features of clips with the classes `labels`; lengths differ from clip to clip."""
        generator = torch.Generator().manual_seed(seed)
        vectors = self.vectors[labels]
        length = torch.randint(2, STEPS + 1, (len(labels), 2), generator=generator)
        parts = []
        for side, matrix in enumerate((self.audio_map, self.visual_map)):
            mask = torch.arange(STEPS) < length[:, side, None]
            value = (vectors @ matrix)[:, None] + noise * torch.randn(
                len(labels), STEPS, matrix.shape[1], generator=generator
            )
            parts.append((value * mask[..., None], mask))
        time = torch.arange(STEPS).float().expand(len(labels), STEPS).clone()
        (audio, audio_mask), (visual, visual_mask) = parts
        return Features(audio, visual, audio_mask, visual_mask, time, time.clone())


@functools.cache
def make_task(texts=1, paired=False):
    """The task; `paired`: its classes are known to be pairs, a0 to a3 the actions and b0 to b3 the adverbs."""
    generator = torch.Generator().manual_seed(5)
    first, second = (torch.nn.functional.normalize(torch.randn(4, TEXT, generator=generator), dim=1) for _ in range(2))
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j] + [(i, i) for i in range(4)]
    vectors = torch.nn.functional.normalize(torch.stack([first[i] + second[j] for i, j in pairs]), dim=1)
    text = {f"encoder{k}": vectors for k in range(texts)}
    classes = Classes(tuple(f"a{i} b{j}" for i, j in pairs), text, torch.arange(16) < 12)
    words = {"action": first, "adverb": second}
    factors = {
        part: Factor(
            torch.tensor([pair[side] for pair in pairs]),
            tuple(f"{part[1]}{i}" for i in range(4)),
            {f"encoder{k}": words[part] for k in range(texts)},
            torch.tensor([1, 0, 3, 2]) if part == "adverb" else None,
        )
        for side, part in enumerate(words)
    }
    classes = Classes(classes.names, classes.text, classes.seen, factors if paired else {})
    maps = (torch.randn(TEXT, width, generator=generator) for width in (AUDIO, VISUAL))
    return Task(classes, vectors, *maps)


@functools.cache
def task_of(name):
    """The task; for a method that needs class texts in the space of the features, with such texts."""
    needs = get_method(name).needs
    task = make_task(needs.texts, needs.pairs)
    if name != "nearest_text":
        return task
    text = {"clap": task.vectors @ task.audio_map, "clip": task.vectors @ task.visual_map}
    return replace(task, classes=task.classes.with_text(text))


def seen_classes(task):
    return task.classes.select(task.classes.names[:12])


def make_batch(name, size=24, seed=1):
    task, generator = task_of(name), torch.Generator().manual_seed(seed)
    labels = torch.randint(12, (size,), generator=generator)
    negative = None
    if get_method(name).needs.negatives:
        other = (labels + torch.randint(1, 12, (size,), generator=generator)) % 12
        negative = Batch(task.clips(other, seed + 1000), other, seen_classes(task))
    return Batch(task.clips(labels, seed), labels, seen_classes(task), negative)


def build(name, seed=0, **overrides):
    task = task_of(name)
    torch.manual_seed(seed)
    return create_method(name, inputs_of(task), **overrides)


def inputs_of(task, audio=AUDIO, visual=VISUAL):
    """Sizes and names as a method is built for the task."""
    factors = {part: factor.names for part, factor in task.classes.factors.items()}
    return Inputs(audio, visual, task.classes.dims, task.classes.names, factors)


def support(name, size=120):
    """All training clips in batches, as the trainer hands them to `adapt`; a closed method gets some of every class."""
    task = task_of(name)
    classes = task.classes if build(name).closed else seen_classes(task)
    labels = torch.arange(size) % len(classes)
    return [Batch(task.clips(labels[i : i + 40], 50 + i), labels[i : i + 40], classes) for i in (0, 40, 80)]


def turns_of(model):
    """Every turn of every phase with its parameters, as the trainer chooses them."""
    for phase in model.phases():
        assert phase.turns
        for turn, chosen in zip(phase.turns, Players(model, phase, Recipe()).chosen, strict=True):
            yield phase, turn, chosen


def learns(name):
    """Whether a method learns by gradient."""
    return bool(build(name).phases())


@functools.cache
@torch.enable_grad()
def trained(name):
    """A method after a short training on the task; do not change it."""
    model, steps = build(name).train(), 60
    torch.manual_seed(0)
    for phase in model.phases():
        players = Players(model, phase, Recipe(lr=3e-3))
        for step in range(max(1, round(steps * phase.share)) * len(players.order)):
            players.step(make_batch(name, size=36, seed=100 + step), step)
    model.eval()
    model.adapt(support(name), task_of(name).classes)
    return model


# --- the contract -----------------------------------------------------------------------------------------------------


@every_method
def test_loss_terms_are_named_finite_scalars(name):
    model = build(name).train()
    if not learns(name):
        with pytest.raises(NotImplementedError, match=get_method(name).name):
            model.loss(make_batch(name))
        return
    terms = model.loss(make_batch(name))
    assert terms
    for term, value in terms.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", term)
        assert value.shape == ()
        assert value.isfinite()
    assert any(value.requires_grad for value in terms.values())
    for phase in model.phases():
        named = [term for turn in phase.turns for term in turn.terms]
        assert set(named) <= set(terms), "a turn names a term that the loss lacks"


@every_method
def test_every_parameter_of_a_phase_gets_a_gradient(name):
    model = build(name).train()
    for phase, turn, parameters in turns_of(model):
        model.zero_grad(set_to_none=True)
        terms = model.loss(make_batch(name))
        sum(value for term, value in terms.items() if not turn.terms or term in turn.terms).backward()
        for key, parameter in parameters.items():
            assert parameter.grad is not None, f"{key} gets no gradient in phase {phase.name}"
            assert parameter.grad.isfinite().all(), key
            # A bias before batch normalisation has a gradient of rounding errors alone; a matrix never has.
            assert parameter.ndim < 2 or parameter.grad.abs().sum() > 0, f"{key} has a zero gradient"


@every_method
@torch.no_grad()
def test_permuting_classes_permutes_columns(name):
    task, model = task_of(name), trained(name)
    features, order = make_batch(name).features, torch.randperm(16, generator=torch.Generator().manual_seed(3))
    scores = model.score(features, task.classes)
    assert scores.shape == (24, 16)
    assert scores.isfinite().all()
    permuted = model.score(features, task.classes.select([task.classes.names[i] for i in order.tolist()]))
    torch.testing.assert_close(permuted, scores[:, order], atol=1e-4, rtol=1e-4)
    assert scores.std(dim=1).min() > 1e-4


@every_method
@torch.no_grad()
def test_a_clip_alone_scores_as_in_a_batch(name):
    task, model, features = task_of(name), trained(name), make_batch(name).features
    together = model.score(features, task.classes)
    alone = torch.cat([model.score(features[i], task.classes) for i in range(6)])
    torch.testing.assert_close(alone, together[:6], atol=1e-4, rtol=1e-4)


@every_method
@torch.no_grad()
def test_candidates_do_not_change_each_others_scores(name):
    task, model, features = task_of(name), trained(name), make_batch(name).features
    if not model.needs.open_vocabulary:
        pytest.skip(f"{name} scores a fixed list of classes")
    few = model.score(features, task.classes.select(task.classes.names[3:6]))
    torch.testing.assert_close(few, model.score(features, task.classes)[:, 3:6], atol=1e-4, rtol=1e-4)


@every_method
@torch.no_grad()
def test_padding_changes_nothing(name):
    task, model, features = task_of(name), trained(name), make_batch(name).features
    longer = {}
    for key in ("audio", "visual"):
        value, mask, time = getattr(features, key), getattr(features, f"{key}_mask"), getattr(features, f"{key}_time")
        # What lies under a False mask must not matter, so it is not even zero.
        value = torch.where(mask[..., None], value, torch.full_like(value, 7.0))
        longer[key] = torch.cat([value, torch.full_like(value[:, :3], -9.0)], dim=1)
        longer[f"{key}_mask"] = torch.cat([mask, torch.zeros_like(mask[:, :3])], dim=1)
        longer[f"{key}_time"] = torch.cat([time, torch.full_like(time[:, :3], 99.0)], dim=1)
    expected = model.score(features, task.classes)
    torch.testing.assert_close(model.score(Features(**longer), task.classes), expected, atol=1e-4, rtol=1e-4)


@every_method
@torch.no_grad()
def test_saved_and_loaded_weights_give_equal_scores(name, tmp_path):
    task, model, features = task_of(name), trained(name), make_batch(name).features
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    other = build(name, seed=1).eval()
    if model.needs.open_vocabulary and learns(name):
        assert not torch.equal(other.score(features, task.classes), model.score(features, task.classes))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.score(features, task.classes), model.score(features, task.classes))


@every_method
def test_config_survives_json(name):
    for preset in get_method(name).presets.values():
        for settings in (preset.config, preset.recipe):
            stored = json.loads(json.dumps(dataclasses.asdict(settings)))
            assert replace_fields(type(settings)(), stored) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.config.anything = 1
    with pytest.raises(ValueError, match="no field 'nonsense'; fields: "):
        build(name, nonsense=1)


@every_method
def test_the_form_of_the_authors_program_learns_and_scores(name):
    model = build(name, **get_method(name).released).train()
    if learns(name):
        loss = sum(model.loss(make_batch(name)).values())
        loss.backward()
        assert loss.isfinite()
    model.eval()
    model.adapt(support(name), task_of(name).classes)
    with torch.no_grad():
        assert model.score(make_batch(name).features, task_of(name).classes).isfinite().all()


@every_method
def test_every_preset_builds_and_names_its_source(name):
    cls, task = get_method(name), task_of(name)
    assert "default" in cls.presets
    for key, preset in cls.presets.items():
        assert preset.source
        assert isinstance(preset.config, cls.Config)
        model = create_method(name, inputs_of(task), preset=key)
        assert model.config == get_preset(name, key).config
        assert sum(parameter.numel() for parameter in model.parameters()) > 0 or not learns(name)
    with pytest.raises(ValueError, match="presets: default"):
        get_preset(name, "nonsense")


@every_method
def test_the_wrong_number_of_text_encoders_is_refused(name):
    text = {f"encoder{k}": TEXT for k in range(get_method(name).needs.texts + 1)}
    with pytest.raises(ValueError, match="text encoder"):
        create_method(name, Inputs(AUDIO, VISUAL, text))


def accuracy(name, first, last, clips_per_class=10):
    """Share of new clips of the classes `first..last` whose class comes first among those classes.

    Methods for pairs are told the action, so their candidates are all pairs with that.
    """
    task = task_of(name)
    labels = torch.arange(first, last).repeat(clips_per_class)
    if task.classes.factors:
        action = task.classes.factors["action"].index
        with torch.no_grad():
            scores = trained(name).score(task.clips(labels, seed=77), task.classes)
        scores = scores.masked_fill(action[labels][:, None] != action, -torch.inf)
        return (scores.argmax(dim=1) == labels).float().mean().item()
    with torch.no_grad():
        scores = trained(name).score(task.clips(labels, seed=77), task.classes.select(task.classes.names[first:last]))
    return (scores.argmax(dim=1) + first == labels).float().mean().item()


@every_method
def test_it_learns_seen_classes(name):
    assert accuracy(name, 0, 12) > 0.5  # chance 0.083; 0.25 of methods for pairs


@every_method
def test_it_recognises_unseen_classes(name):
    if build(name).closed:
        pytest.skip(f"{name} scores a fixed list of classes")
    assert accuracy(name, 12, 16, clips_per_class=25) > 0.45  # chance 0.25, standard deviation 0.04


@every_method
@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_a_missing_modality_scores_or_is_refused(name, modality):
    task, model = task_of(name), trained(name)
    features = make_batch(name).features.only(modality)
    if not model.needs.missing_modality:
        with pytest.raises(ValueError, match=r"audio|visual|modality"):
            model.score(features, task.classes)
        return
    with torch.no_grad():
        scores = model.score(features, task.classes)
        mixed = make_batch(name).features
        mixed = Features.cat([features[:3], mixed[3:6]])
        torch.testing.assert_close(model.score(mixed, task.classes)[:3], scores[:3], atol=1e-4, rtol=1e-4)
    assert scores.isfinite().all()
    assert scores.std(dim=0).max() > 1e-4, "the modality that is there has no influence"


@every_method
@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_it_trains_where_a_modality_is_missing(name, modality):
    model, batch = build(name).train(), make_batch(name)
    if not model.needs.missing_modality or not learns(name):
        pytest.skip(f"{name} needs both modalities, or nothing to train")
    some = Features.cat([batch.features[:1], batch.features[1:].only(modality)])
    for features in (some, batch.features.only(modality)):
        negative = None if batch.negative is None else replace(batch.negative, features=features)
        model.zero_grad(set_to_none=True)
        loss = sum(model.loss(replace(batch, features=features, negative=negative)).values())
        loss.backward()
        assert loss.isfinite()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)


# --- a modality that does not exist: features of width 0, as a store made of sound or picture alone has them ----------


def without(features, modality):
    """The features as a store gives them that was extracted without `modality`."""
    names = (modality, f"{modality}_mask", f"{modality}_time")
    values = [getattr(features, key)[:, :1] for key in names]
    gone = (values[0][..., :0], torch.zeros_like(values[1]), torch.zeros_like(values[2]))
    return replace(features, **dict(zip(names, gone, strict=True)))


def batch_without(batch, modality):
    negative = None if batch.negative is None else batch_without(batch.negative, modality)
    return replace(batch, features=without(batch.features, modality), negative=negative)


def build_without(name, modality, seed=0):
    task, widths = task_of(name), {"audio": AUDIO, "visual": VISUAL} | {modality: 0}
    torch.manual_seed(seed)
    return create_method(name, inputs_of(task, **widths))


def refuses(name, modality):
    """Whether the method cannot do with the other one alone; then it must say so, and what to do, in one sentence."""
    if get_method(name).needs.missing_modality:
        return False
    own = get_method(name).name
    with pytest.raises(ValueError, match=rf"^Method '{own}' needs both .* no {modality} part; .*--method [^\n]*\.$"):
        build_without(name, modality)
    return True


@every_method
@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_it_learns_where_a_modality_does_not_exist(name, modality, tmp_path):
    if refuses(name, modality):
        return
    model, task, losses = build_without(name, modality).train(), task_of(name), []
    for phase in model.phases():
        players = Players(model, phase, Recipe())
        for step in range(2 * len(players.order)):
            losses += players.step(batch_without(make_batch(name, seed=step), modality), step).values()
    assert all(math.isfinite(loss) for loss in losses)
    assert losses or not learns(name)
    model.eval()
    model.adapt([batch_without(batch, modality) for batch in support(name)], task.classes)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    loaded = build_without(name, modality, seed=1).eval()
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    features, order = without(make_batch(name).features, modality), torch.arange(15, -1, -1)
    with torch.no_grad():
        scores, again = (made.score(features, task.classes) for made in (model, loaded))
        turned = model.score(features, task.classes.select([task.classes.names[i] for i in order.tolist()]))
    assert scores.isfinite().all()
    assert scores.std(dim=0).max() > 1e-6, "the modality that is there has no influence"
    assert torch.equal(again, scores)
    torch.testing.assert_close(turned, scores[:, order], atol=1e-4, rtol=1e-4)


def narrowed(name, modality):
    """A method for clips without `modality` with the weights that `trained` has for the other one."""
    model, whole = build_without(name, modality), trained(name).state_dict()
    own = model.state_dict()
    # Some read the widths of both side by side; these join the picture first.
    visual_first = name in ("ale", "apn", "clipclap", "devise", "sje")
    kept = slice(AUDIO, None) if modality == "audio" else slice(None, AUDIO)
    if visual_first:
        kept = slice(None, VISUAL) if modality == "audio" else slice(VISUAL, None)
    for key, value in own.items():
        cut = whole[key]
        for dim, size in enumerate(cut.shape):
            if size == AUDIO + VISUAL:
                cut = cut[(slice(None),) * dim + (kept,)]
        # Layers of the modality that is not there have no weights. What reads class embeddings beside the features
        # (a critic, the encoder of a VAE) only teaches. A classifier takes as many classes as it is given.
        if value.shape == cut.shape or key.startswith("classifier"):
            own[key] = cut
        else:
            assert value.numel() == 0 or key.startswith(("critic", "encoder", "gan.")), key
    model.load_state_dict(own)
    return model.eval()


@every_method
@pytest.mark.parametrize("modality", ["audio", "visual"])
@torch.no_grad()
def test_a_modality_that_does_not_exist_is_one_that_is_hidden(name, modality):
    """With the same weights for the other one, the same scores."""
    if refuses(name, modality):
        return
    features, other = make_batch(name).features, "visual" if modality == "audio" else "audio"
    hidden = trained(name).score(features.only(other), task_of(name).classes)
    gone = narrowed(name, modality).score(without(features, modality), task_of(name).classes)
    torch.testing.assert_close(gone, hidden, atol=1e-4, rtol=1e-4)


@every_method
def test_features_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match="neither audio nor visual features, so there is nothing to learn from"):
        create_method(name, Inputs(0, 0, task_of(name).classes.dims))


@pytest.mark.parametrize(
    ("name", "settings", "alone"),
    [
        ("avca", {"branches": "audio", "evaluate": "audio"}, "audio"),
        ("hyper_alignment", {"branches": "visual"}, "visual"),
        ("hyper_single", {"branches": "visual"}, "visual"),
        ("hyper_multiple", {"branches": "visual"}, "visual"),
        ("kda", {"modality": "audio"}, "audio"),
        ("clipclap", {"modality": "visual"}, "visual"),
        ("nearest_text", {"visual_text": "none"}, "audio"),
        ("nearest_text", {"visual_weight": 1.0}, "visual"),
    ],
)
def test_settings_that_leave_one_modality_need_that_one(name, settings, alone):
    inputs = Inputs(AUDIO, VISUAL, task_of(name).classes.dims)
    assert create_method(name, inputs, **settings).decided_by == (alone,)
    wrong = rf"{get_method(name).name}.*(decides by ({alone} alone|nothing that is there)|none fits).*\.$"
    with pytest.raises(ValueError, match=wrong):
        create_method(name, replace(inputs, **{alone: 0}), **settings)
    config = replace_fields(get_preset(name).config, settings)
    with pytest.raises(ValueError, match=rf"decides by {alone} alone .* hides the others; drop --modality"):
        build_method(get_method(name), config, inputs, "visual" if alone == "audio" else "audio")


def test_a_modality_that_is_asked_for_must_be_there():
    cls = get_method("devise")
    check_modalities(cls, ("audio", "visual"), "audio")
    check_modalities(cls, ("audio",), "audio")
    with pytest.raises(ValueError, match=r"^The features have no audio part, and modality 'audio' lets"):
        check_modalities(cls, ("visual",), "audio")


def test_a_method_that_needs_both_names_those_that_do_not(monkeypatch):
    cls = get_method("devise")
    monkeypatch.setattr(cls, "needs", replace(cls.needs, missing_modality=False))
    with pytest.raises(ValueError, match=r"'devise' needs both .* the features have no audio part; .*avshot methods"):
        create_method("devise", Inputs(0, VISUAL, {"made": TEXT}))
    with pytest.raises(
        ValueError, match=r"'devise' needs both .* modality 'audio' hides the others; drop --modality, or"
    ) as e:
        check_modalities(cls, ("audio", "visual"), "audio")
    assert "devise, eszsl" not in str(e.value)


@every_method
def test_adapting_repeats_and_goes_back(name):
    task, model, features = task_of(name), build(name).eval(), make_batch(name).features
    if not model.adapts():
        before = {key: value.clone() for key, value in model.state_dict().items()}
        model.adapt(support(name), task.classes)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        return
    model.load_state_dict(trained(name).state_dict())
    found = []
    for candidates in (task.classes, task.classes.select(task.classes.names[:14]), task.classes):
        torch.manual_seed(0)
        model.adapt(support(name), candidates)
        with torch.no_grad():
            found.append(model.score(features, candidates))
    assert found[1].shape == (24, 14)
    torch.testing.assert_close(found[2], found[0])
    assert not model.training
    torch.manual_seed(0)
    model.adapt(None, task.classes)  # prediction with typed names has no clips
    with torch.no_grad():
        assert model.score(features, task.classes).isfinite().all()


@every_method
def test_released_behaviour_is_of_its_config(name):
    cls = get_method(name)
    config = cls.presets["default"].config
    assert not cls.released or replace_fields(config, cls.released) != config


@every_method
def test_the_file_says_what_it_is(name):
    cls = get_method(name)
    text = sys.modules[cls.__module__].__doc__
    assert "Paper:" in text
    assert re.search(r"ours differs", text, re.IGNORECASE)
    if cls.needs.missing_modality:
        assert re.search(r"missing modality", text, re.IGNORECASE)
    assert cls.paper
    assert cls.name == list_aliases().get(name, name)
    assert cls.__doc__


@every_method
def test_every_field_of_the_config_has_a_reason(name):
    cls = get_method(name)
    source = Path(sys.modules[cls.__module__].__file__).read_text()
    for line in source.split("class Config")[1].split("\n\n\n")[0].splitlines():
        if re.match(r"    [a-z_]+: ", line):
            assert "  # " in line, f"{name}: {line.strip()} says no reason"


@every_method
def test_the_method_has_its_own_test_file(name):
    assert (Path(__file__).parent / "methods" / f"test_{get_method(name).name}.py").is_file()


@every_method
@torch.no_grad()
def test_embeddings_lie_in_one_space(name):
    task, model, features = task_of(name), trained(name), make_batch(name).features
    pair = model.embeddings(features, task.classes)
    if pair is None:
        pytest.skip(f"{name} has no space in which clips and classes lie together")
    clips, classes = pair
    assert (len(clips), len(classes)) == (24, 16)
    assert clips.shape[1] == classes.shape[1]
