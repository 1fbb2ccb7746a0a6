"""Where Runs go: no two experiments or datasets share a folder, and what cannot work ends before any training."""

import dataclasses
from dataclasses import replace

import pytest

from avshot.classes.optimise.config import OptimiseConfig
from avshot.data.dataset import MemoryFeatures
from avshot.experiment import AMBIGUOUS, Experiment, parse_experiment, resolve
from avshot.method import Recipe, Selection
from avshot.registry import get_method, list_methods
from avshot.runs.placing import LONGEST_FOLDER, make_folder, place_runs, run_folder
from small_runs import experiment
from synthetic import synthetic_dataset

DIFFERENT = [
    {}, {"text": ("vectors:a/glove.txt",)}, {"text": ("vectors:b/glove.txt",)}, {"text": ("vectors:a/Glove.txt",)},
    {"text": ("clip:x", "clap:x")}, {"text": ("clip:x", "clap:x"), "join_text": True}, {"prompts": "clip-actions"},
    {"prompts": {"clip": "clip-actions"}}, {"prompts": {"clip:a/x": "name"}}, {"prompts": {"clip:b/x": "name"}},
    {"descriptions": "one/words.csv", "separate_descriptions": True},
    {"descriptions": "one/words.csv"}, {"descriptions": "two/words.csv"}, {"descriptions": "words-audio"},
    {"descriptions": "words", "modality": "audio"}, {"descriptions": "words"}, {"audio_noise": 0.1},
    {"audio_noise": 0.1000000001}, {"recipe": {"lr": 0.1}}, {"recipe": {"lr": 0.10000000000000002}},
    {"config": {"margin": 1.0}}, {"optimise": {"margin": 1.0}}, {"config": {"a": "x y"}}, {"config": {"a": "xy"}},
    {"config": {"a": "x/y"}}, {"config": {"a": "x_y"}}, {"config": {"a": "X"}}, {"config": {"a": "x"}},
    {"select": "oracle"}, {"legacy": True}, {"optimise_classes": True}, {"optimise_classes": False},
]  # fmt: skip


def test_different_experiments_have_different_folders_on_every_file_system(tmp_path):
    folders = [run_folder(tmp_path, Experiment(dataset="d", **changes)).parent.name for changes in DIFFERENT]
    assert len({name.casefold() for name in folders}) == len(folders)
    assert folders[0] == "ez_avgzl"
    for name in folders:
        assert not set(name) & set('<>:"/\\|?* ')
        assert len(name.encode()) < LONGEST_FOLDER + 20
    plain = [Experiment(dataset="d", recipe={"epochs": 2}, modality="audio"), Experiment(dataset="d", preset="auto")]
    assert [run_folder(tmp_path, e).parent.name for e in plain] == ["ez_avgzl-epochs=2-audio", "ez_avgzl-auto"]


def test_fields_that_two_groups_share_are_told_apart_in_a_label():
    recipe, optimise = ({field.name for field in dataclasses.fields(kind)} for kind in (Recipe, OptimiseConfig))
    configs = {
        f.name for m in list_methods() for p in get_method(m).presets.values() for f in dataclasses.fields(p.config)
    }
    assert not recipe & (configs | optimise)
    assert set(AMBIGUOUS) == configs & optimise


def other_data(dataset):
    folds = {**dataset.folds, "test_unseen": dataset.folds["test_unseen"][::2]}
    return replace(dataset, name="other", folds=folds)


def test_two_datasets_in_one_folder_get_two_places_and_a_changed_one_is_refused(tmp_path):
    from avshot.bench.sweep import train_all

    dataset = synthetic_dataset()
    placed = place_runs(tmp_path, [experiment()], dataset)
    (first,) = placed
    assert first == run_folder(tmp_path, experiment())
    elsewhere = experiment(dataset="elsewhere/Birds.toml")
    (second,) = place_runs(tmp_path, [elsewhere], other_data(dataset))  # nothing is trained yet, and it is taken
    assert second.parent.name == f"{first.parent.name}@Birds"
    (third,) = place_runs(tmp_path, [experiment(dataset="third/Birds.toml")], replace(dataset, phrases={"a": "b"}))
    assert third.parent.name.startswith(f"{first.parent.name}@Birds-")
    assert train_all(placed, dataset, 1) == {}
    assert list(place_runs(tmp_path, [experiment(dataset="moved.toml")], dataset)) == [first]  # the same data, moved
    changed = place_runs(tmp_path, [experiment()], other_data(dataset))  # another fold where the first one lay
    assert list(changed) == [first]
    failed = train_all(changed, other_data(dataset), 1)
    assert "fold test_unseen" in str(failed[first])


def no_sound(dataset):
    features = dataset.features.features
    silent = replace(features, audio=features.audio[:, :, :0], audio_mask=features.audio_mask & False)
    return replace(dataset, features=MemoryFeatures(dataset.features.ids, silent))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cuda:99"}, "cuda:99"), ({"device": "toaster"}, "toaster"),
        ({"config": {"distance": "far"}}, "far"),
        ({"method": "avca", "config": {"embedding": 10**9}}, "memory|cannot be built"),
        ({"text": ("nonsense",)}, "nonsense"), ({"prompts": "nonsense"}, "nonsense"),
        ({"descriptions": "/nowhere/words.csv"}, "words.csv"),
    ],
)  # fmt: skip
def test_what_cannot_work_ends_before_any_folder_is_made(tmp_path, changes, words):
    dataset = replace(synthetic_dataset(), text={})
    with pytest.raises((ValueError, OSError), match=words):
        place_runs(tmp_path / "out", [experiment(recipe={}, **changes)], dataset)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": {"lr": float("nan")}}, "lr is nan"), ({"config": {"x": [1.0, float("inf")]}}, "finite"),
        ({"seed": -1}, "seed"), ({"text": ()}, "text"), ({"dataset": ""}, "dataset"), ({3: 4}, "not valid"),
    ],
)  # fmt: skip
def test_values_that_no_experiment_can_have(changes, words):
    with pytest.raises(ValueError, match=words):
        parse_experiment({"dataset": "d", **changes})


@pytest.mark.parametrize(
    "recipe",
    [
        {"epochs": -1}, {"epochs": 10**12}, {"batch_size": 10**9}, {"lr": 0}, {"lr": 1e999}, {"weight_decay": 1e999},
        {"betas": (0.9, 1.0)}, {"clip_norm": 0},
    ],
)  # fmt: skip
def test_recipes_that_cannot_be(recipe):
    with pytest.raises(ValueError, match=next(iter(recipe))):
        Recipe(**recipe)


@pytest.mark.parametrize("views", [("smell",), ()])
def test_selections_that_cannot_be(views):
    with pytest.raises(ValueError, match="views"):
        Selection(views=views)


def test_fields_of_the_selection_stood_in_the_recipe_once():
    old = parse_experiment({"dataset": "d", "method": "devise", "recipe": {"epochs": 3, "beta_grid": "exact"}})
    new = parse_experiment(
        {"dataset": "d", "method": "devise", "recipe": {"epochs": 3}, "selection": {"beta_grid": "exact"}}
    )
    assert old == new
    assert resolve(old).selection.beta_grid == "exact"
    assert old.label() == "devise-epochs=3-beta_grid=exact"
    with pytest.raises(ValueError, match="beta_grid 'exakt' does not exist.*Did you mean 'exact'"):
        resolve(parse_experiment({"dataset": "d", "method": "devise", "selection": {"beta_grid": "exakt"}}))


def test_a_file_where_a_folder_is_meant(tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="file"):
            make_folder(out)
