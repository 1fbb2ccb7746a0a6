"""Own arrays to a table in two commands, and one sentence for every wrong use."""

import csv

import numpy as np
import pytest
import typer.main

from avshot.cli.app import app
from avshot.cli.parsing import parse_amount
from avshot.data.load import load_dataset
from avshot.data.split import SplitRule
from avshot.run import find_runs
from own_arrays import NAMES, save_h5, small_world, write_table

TINY = ["--set", "recipe.epochs=2", "--set", "recipe.batches_per_epoch=4", "--set", "recipe.batch_size=16"]


@pytest.fixture
def world(tmp_path):
    _, made = small_world(tmp_path)
    np.save(tmp_path / "a.npy", made["audio"][:, 0])
    np.save(tmp_path / "v.npy", made["visual"][:, 0])
    return tmp_path


def test_own_arrays_are_a_table_in_two_commands(world, avshot):
    audio, visual, text = world / "a.npy", world / "v.npy", world / "t.npy"
    arrays = ["--audio", audio, "--visual", visual, "--text", text, "--names", world / "names.txt"]
    code, out, error = avshot("import", world / "clips.csv", world / "own.toml", *arrays)
    assert code == 0, error
    assert error == "class vectors: own [9 classes, 8 numbers]\n"
    assert "with audio" in out
    assert out.count("test_unseen") == 1
    code, out, error = avshot("train", world / "own.toml", "--method", "devise,eszsl", "--out", world / "runs")
    assert code == 0, error
    assert "devise" in out
    runs = find_runs(world / "runs")
    assert [found.info["encoders"] for found in runs] == [["own"], ["own"]]
    closed = next(found for found in runs if found.experiment.method == "eszsl")
    assert closed.metrics["ZSL"] > 0.9, "the features carry the class vectors"


def test_one_modality_and_stated_folds(world, avshot):
    rows = list(csv.DictReader((world / "clips.csv").read_text().splitlines()))
    folds = {NAMES[6]: "val_unseen", NAMES[7]: "test_unseen", NAMES[8]: "test_unseen"}
    usual = ["train", "train", "val_seen", "test_seen"]
    rows = [(row["id"], row["label"], folds.get(row["label"], usual[i // 9 % 4])) for i, row in enumerate(rows)]
    table = write_table(world / "stated.csv", rows, ("clip", "label", "fold"))
    code, out, error = avshot("import", table, world / "own.toml", "--visual", world / "v.npy")
    assert code == 0, error
    assert "with audio" not in out
    dataset = load_dataset(str(world / "own.toml"))
    wanted = {"train": 36, "val_seen": 18, "val_unseen": 12, "test_seen": 18, "test_unseen": 24}
    assert {fold: len(clips) for fold, clips in dataset.folds.items()} == wanted
    assert dataset.features.dims == (0, 5)
    code, out, error = avshot("train", world / "own.toml", "--method", "devise", "--out", world / "runs", *TINY)
    assert code == 0, error


def test_several_text_encoders_and_the_options_of_the_split(world, avshot):
    np.savez(world / "clap.npz", names=np.array(NAMES[::-1]), vectors=np.eye(9)[::-1])
    save_h5(world / "a.h5", {"features": np.load(world / "a.npy")})
    options = ["--unseen-val", "red dog", "--unseen-test", 2, "--train", 5, "--val", 2, "--test", 3, "--seed", 4]
    text = ["--text", f"w2v={world / 't.npy'}", "--text", f"clap={world / 'clap.npz'}", "--names", world / "names.txt"]
    code, _, error = avshot(
        "import", world / "clips.csv", world / "own.toml", "--audio", world / "a.h5", *text, *options
    )
    assert code == 0, error
    dataset = load_dataset(str(world / "own.toml"))
    assert {encoder: tuple(rows.shape) for encoder, rows in dataset.text.items()} == {"w2v": (9, 8), "clap": (9, 9)}
    assert dataset.text["clap"].argmax(dim=1).tolist() == [NAMES.index(name) for name in dataset.names]
    assert dataset.classes_of("val_unseen") == ("red dog",)
    assert [len(dataset.folds[fold]) for fold in ("train", "val_seen", "test_seen")] == [30, 12, 18]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["Got no features; give --audio FILE"]),
        (["--audio", "none.npy"], ["none.npy is not there"]),
        (["--audio", "a.npy", "--names", "names.txt"], ["--names without class vectors"]),
        (["--audio", "a.npy", "--text", "t.npy"], ["t.npy holds an array without names", "--names FILE"]),
        (["--audio", "a.npy", "--text", "none.npy"], ["none.npy"]),
        (["--audio", "a.npy", "--text", "names.txt"], ["names.txt is no file of class vectors; expected .npy, .npz"]),
        (["--audio", "a.npy", "--text", "both.npz", "--names", "names.txt"], ["both.npz has names of its own"]),
        (
            ["--audio", "a.npy", "--text", "both.npz", "--text", "own=both.npz"],
            ["two files for the text encoder 'own'"],
        ),
        (["--audio", "a.npy", "--text", "a:b=both.npz"], ["Got the text encoder 'a:b'"]),
        (["--audio", "a.npy", "--unseen-test", "0,5"], ["Unseen labels that no clip has"]),
        (["--audio", "a.npy", "--seed", "1", "--label", "class"], ["no column class"]),
    ],
)
def test_wrong_use_is_one_sentence(world, avshot, monkeypatch, arguments, words):
    monkeypatch.chdir(world)
    np.savez("both.npz", names=np.array(NAMES), vectors=np.eye(9))
    code, _, error = avshot("import", "clips.csv", "own.toml", *arguments)
    assert code == 2
    assert error.startswith("avshot: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error
    assert not list(world.glob("own*"))


def test_shots_are_noted_and_checked(world, avshot):
    arguments = ("import", world / "clips.csv", world / "own.toml", "--audio", world / "a.npy", "--unseen-test", 2)
    code, _, error = avshot(*arguments, "--shots", 1000)
    assert code == 2
    assert "shots is 1000, but 4 unseen labels have no more clips than that" in error
    assert not list(world.glob("own*"))
    code, _, error = avshot(*arguments, "--shots", 5)
    assert code == 0, error
    assert load_dataset(str(world / "own.toml")).shots == 5


def test_an_imported_dataset_is_not_extracted(world, avshot):
    avshot("import", world / "clips.csv", world / "own.toml", "--audio", world / "a.npy")
    code, _, error = avshot("extract", world / "own.toml", "--workers", 1)
    assert code == 2
    assert "names no video: its features were imported" in error


def test_both_commands_show_the_defaults_of_the_rule():
    group, rule = typer.main.get_command(app), SplitRule()
    for command in ("dataset", "import"):
        options = {option.name: option for option in group.get_command(None, command).params}
        for name in ("unseen_val", "unseen_test", "val", "test", "seed"):
            assert options[name].default is None
            assert parse_amount(options[name].show_default) == getattr(rule, name)
