"""The training loop: determinism, exact resume, schedules."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from avshot.method import Inputs, Recipe
from avshot.registry import create_method
from avshot.task import Verdict
from avshot.training.clips import ClipSource, modalities_of
from avshot.training.loop import train
from avshot.training.sampling import BalancedSampler
from avshot.types import Classes
from synthetic import synthetic_dataset

RECIPE = Recipe(epochs=4, batches_per_epoch=3, batch_size=8, lr=1e-2)


def prepared(seed=0, method="devise", **overrides):
    dataset = synthetic_dataset()
    names = dataset.names[:6]
    classes = Classes(names, {"made": dataset.text["made"][:6]}, torch.ones(6, dtype=torch.bool))
    source = ClipSource(dataset, dataset.folds["train"], classes)
    torch.manual_seed(seed)
    return source, create_method(method, Inputs(12, 10, {"made": 16}), **overrides)


def weights(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


class Killed(Exception):
    pass


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_killed_training_resumes_to_the_same_weights(tmp_path, schedule, at):
    recipe = Recipe(**{**RECIPE.__dict__, "schedule": schedule})

    def judge(model):  # falls after the first epoch, so that the plateau rule has something to do
        return Verdict(-float(sum(p.abs().sum() for p in model.parameters())), {"beta": 0.5, "view": "both"})

    source, whole = prepared()
    expected = train(whole, source, recipe, seed=7, judge=judge)

    def die(done, total, numbers):
        if done == at:
            raise Killed

    source, part = prepared()
    with pytest.raises(Killed):
        train(part, source, recipe, seed=7, judge=judge, checkpoint=tmp_path / "c", progress=die)
    source, fresh = prepared(seed=99)  # other initial weights: all must come from the checkpoint
    history = train(fresh, source, recipe, seed=7, judge=judge, checkpoint=tmp_path / "c")
    assert same(weights(fresh), weights(whole))
    assert history == expected
    assert len(history.losses) == 4


def test_the_seed_decides_and_fewer_epochs_are_a_prefix():
    source, a = prepared()
    _, b = prepared()
    _, c = prepared()
    long = train(a, source, RECIPE, seed=1)
    short = train(b, source, RECIPE, seed=1, epochs=2)
    other = train(c, source, RECIPE, seed=2, epochs=2)
    assert short.losses == long.losses[:2]
    assert other.losses != short.losses


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    source, model = prepared()
    train(model, source, RECIPE, seed=1, epochs=1, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="another seed or recipe"):
        train(model, source, RECIPE, seed=2, checkpoint=tmp_path / "c")


def test_the_plateau_rule_cuts_on_the_fourth_bad_epoch_and_stage_two_replays_it():
    recipe = Recipe(**{**RECIPE.__dict__, "schedule": "plateau", "epochs": 10})
    source, model = prepared()
    scores = iter([1.0, 2.0] + [0.0] * 8)
    history = train(model, source, recipe, seed=0, judge=lambda _: Verdict(next(scores), {"beta": 0.0, "view": "both"}))
    assert history.best == 1
    assert history.drops == [5, 9]
    _, replayed = prepared()
    train(replayed, source, recipe, seed=0, drops=history.drops)
    assert same(weights(replayed), weights(model))
    _, plain = prepared()
    train(plain, source, recipe, seed=0, drops=())
    assert not same(weights(plain), weights(model))


def test_a_loss_that_is_not_finite_stops_with_one_sentence():
    source, model = prepared()
    with torch.no_grad():
        model.map.weight.fill_(math.inf)
    with pytest.raises(ValueError, match=r"^Epoch 1: the loss is not finite .* although the inputs are .*lower the"):
        train(model, source, RECIPE, seed=0)


def spoiled(method, value, clip=3, modality="audio", **overrides):
    """A source in which one clip holds `value`, and a method."""
    source, model = prepared(method=method, **overrides)
    getattr(source.dataset.features.features, modality)[source.clips[clip], 1, 2] = value
    return source, model, source.dataset.clips[source.clips[clip]].id


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("method", ["devise", "avca", "gru", "kda", "ez_avgzl", "vib_gzsl"])
def test_a_clip_that_is_not_finite_is_named(method, value):
    source, model, clip = spoiled(method, value)
    recipe = replace(RECIPE, batch_size=64)  # so that the clip is surely drawn
    with pytest.raises(ValueError, match=rf"because the audio features of clip '{clip}' hold {value};") as error:
        train(model, source, recipe, seed=0)
    assert "learning rate" not in str(error.value)


@pytest.mark.parametrize("method", ["eszsl", "acfs", "f_vaegan_d2"])
def test_a_closed_form_names_the_clip_too(method, tmp_path):
    source, model, clip = spoiled(method, math.nan, modality="visual")
    with pytest.raises(ValueError, match=rf"^[^\n]*because the visual features of clip '{clip}' hold nan;"):
        train(model, source, RECIPE, seed=0, candidates=source.classes, checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists(), "a training that went wrong must not be resumed"


@pytest.mark.parametrize("method", ["devise", "eszsl"])
def test_a_class_embedding_that_is_not_finite_is_named(method):
    source, model = prepared(method=method)
    source.classes.text["made"][4, 0] = math.nan
    name = source.classes.names[4]
    with pytest.raises(ValueError, match=rf"because the class embedding 'made' of '{name}' holds nan;"):
        train(model, source, RECIPE, seed=0, candidates=source.classes)


def test_features_too_large_to_compute_with_are_not_blamed_on_the_learning_rate():
    source, model, _ = spoiled("avgzslnet", 3e38, scaling="none")
    source.dataset.features.features.audio.fill_(3e38)
    with pytest.raises(ValueError, match=r"because the features are too large \(up to 3e\+38\); scale them"):
        train(model, source, RECIPE, seed=0)


def test_weights_that_the_last_step_spoils_are_not_kept():
    """The loss of a step is that of the weights before it, so the last step of all shows in the weights alone."""
    source, model = prepared()
    recipe = replace(RECIPE, epochs=1, batches_per_epoch=1, lr=1e38, weight_decay=1e30)
    with pytest.raises(ValueError, match=r"^What devise learnt is not finite \(map.weight\), although .*lower the"):
        train(model, source, recipe, seed=0)


def test_the_modalities_of_clips_are_those_that_any_of_them_has():
    source, _ = prepared()
    features = source.dataset.features.features
    assert modalities_of(source.dataset, source.clips) == ("audio", "visual")
    features.audio_mask[:] = False
    assert modalities_of(source.dataset, source.clips) == ("visual",)
    features.audio_mask[source.clips[-1], 0] = True  # the last one is found too
    assert modalities_of(source.dataset, source.clips) == ("audio", "visual")
    features.audio_mask[:] = features.visual_mask[:] = False
    assert modalities_of(source.dataset, source.clips) == ()


def test_an_epoch_of_passes_grows_with_the_clips():
    by_pass = Recipe(passes_per_epoch=2, batch_size=8)
    assert [by_pass.batches(n) for n in (1, 54, 100)] == [1, 14, 25]
    assert Recipe(batches_per_epoch=7).batches(100) == 7
    with pytest.raises(ValueError, match="passes_per_epoch is -1"):
        Recipe(passes_per_epoch=-1)


def test_an_unknown_schedule_is_named():
    source, model = prepared()
    with pytest.raises(ValueError, match="'linear' does not exist"):
        train(model, source, Recipe(schedule="linear"), seed=0)


def test_the_sampler_draws_classes_equally_and_negatives_of_other_classes():
    labels = torch.tensor([0] * 90 + [3] * 9 + [5])
    sampler = BalancedSampler(labels)
    generator = torch.Generator().manual_seed(0)
    drawn = sampler.draw(6000, generator)
    counts = torch.bincount(labels[drawn], minlength=6)
    assert counts[[1, 2, 4]].sum() == 0
    np.testing.assert_allclose(counts[[0, 3, 5]] / 6000, 1 / 3, atol=0.03)
    within = torch.bincount(drawn[labels[drawn] == 0], minlength=90)
    assert (within > 0).all()
    negatives = labels[sampler.negatives(labels[drawn], generator)]
    assert (negatives != labels[drawn]).all()
    others = torch.bincount(negatives[labels[drawn] == 0], minlength=6)
    np.testing.assert_allclose(others[[3, 5]] / others.sum(), 0.5, atol=0.05)


def test_the_sampler_refuses_nothing_and_one_class():
    with pytest.raises(ValueError, match="0 clips"):
        BalancedSampler(torch.tensor([], dtype=torch.long))
    with pytest.raises(ValueError, match="at least two classes"):
        BalancedSampler(torch.tensor([2, 2])).negatives(torch.tensor([2]), torch.Generator())


@pytest.mark.parametrize("method", ["devise", "avca"])  # avca asks for negatives
def test_gathering_ahead_changes_no_bit(tmp_path, method, monkeypatch):
    source, plain = prepared(method=method)
    expected = train(plain, source, RECIPE, seed=3)
    where = []

    def gather(rows, real=source.dataset.features.gather):
        where.append(threading.current_thread().name)
        return real(rows)

    object.__setattr__(source.dataset.features, "gather", gather)
    object.__setattr__(source.dataset.features, "waits", "network")
    _, ahead = prepared(method=method)
    assert train(ahead, source, RECIPE, seed=3) == expected
    assert same(weights(ahead), weights(plain))
    assert len(where) == RECIPE.epochs * RECIPE.batches_per_epoch * (2 if method == "avca" else 1)
    assert all(name.startswith("avshot-ahead") for name in where)

    def die(done, total, numbers):
        if done == 2:
            raise Killed

    _, part = prepared(method=method)
    with pytest.raises(Killed):
        train(part, source, RECIPE, seed=3, checkpoint=tmp_path / "c", progress=die)
    _, fresh = prepared(seed=99, method=method)
    assert train(fresh, source, RECIPE, seed=3, checkpoint=tmp_path / "c") == expected
    assert same(weights(fresh), weights(plain))
