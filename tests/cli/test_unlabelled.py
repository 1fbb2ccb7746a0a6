"""A folder of recordings that nobody labelled: every command says what is possible, and what it names works."""

import csv
import json
import re

import pytest
import torch

from small_videos import COLOURS, seen_videos

WORDS = ["red", "green", "blue", "light", "a", "dog", "barking"]


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Recordings side by side, in no folder that says what they are."""
    folder = tmp_path_factory.mktemp("unlabelled") / "my recordings"
    seen_videos(folder, per_class=7)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny CLIP with random weights: picture, text, tokenizer and processor in one folder."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("clip")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<start>", "<unk>", "<end>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 3)]
    )
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<start>", "eos_token": "<end>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    text = {**tower, **ids, "vocab_size": len(vocabulary), "max_position_embeddings": 8}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessorPil(**size).save_pretrained(folder)
    return folder


def labelled(flat, table, per_class=5, *, every=True):
    """Write a table that labels some of the recordings; the others have an empty cell, or no row."""
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label"])
        for name in COLOURS:
            for i, video in enumerate(sorted(flat.glob(f"{name.replace(' ', '-')}-*.mp4"))):
                if i < per_class or not every:
                    writer.writerow([video.name, name if i < per_class else ""])


def test_each_command_says_what_is_possible(flat, avshot, tmp_path):
    own = tmp_path / "own.toml"
    code, _, error = avshot("dataset", flat, own)
    assert code == 2
    assert "holds 21 recordings and no labels" in error
    for way in (
        f"avshot dataset TABLE.csv own.toml --media '{flat}'",
        "sub-folder for each class",
        f"avshot predict RUN '{flat}' --classes",
        "nearest_text --text clip:MODEL,clap:MODEL",
    ):
        assert way in error
    code, _, error = avshot("train", flat)
    assert code == 2
    assert f"`avshot dataset '{flat}' own.toml`" in error
    code, _, error = avshot("extract", flat, "--store", tmp_path / "my.features", "--workers", 1)
    assert code == 0
    assert f"note: nothing can be trained on features without labels; `avshot dataset '{flat}' own.toml`" in error
    code, _, error = avshot("train", tmp_path / "my.features")
    assert code == 2
    assert "feature store, which says neither labels nor folds" in error
    code, _, error = avshot("dataset", next(iter(flat.iterdir())), own)
    assert code == 2
    assert "is a single recording" in error
    assert not own.exists()


def test_a_table_without_labels_says_how_to_write_them(flat, avshot, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("filename\n" + "\n".join(video.name for video in flat.iterdir()))
    code, _, error = avshot("dataset", table, tmp_path / "own.toml", "--media", flat)
    assert code == 2
    assert "no column label; its columns: filename; add one with a class name for each file" in error
    labelled(flat, table, every=False)
    code, _, error = avshot("dataset", table, tmp_path / "own.toml", "--media", flat)
    assert code == 2
    assert "has nothing in column 'label'; fill it in, or leave the row out." in error


def test_some_labels_make_a_run_that_says_how_little_it_knows(flat, avshot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labelled(flat, tmp_path / "table.csv")
    unseen = ["--unseen-val", 0, "--unseen-test", 0, "--train", 2]
    assert avshot("dataset", "table.csv", "own.toml", "--media", flat, *unseen)[0] == 0
    assert avshot("extract", "own.toml", "--workers", 1)[0] == 0
    code, _, error = avshot("train", "own.toml", "--method", "devise", "--set", "recipe.epochs=1")
    assert code == 0, error
    doubts = [line for line in error.splitlines() if line.startswith(("note: Judged on", "note: Trained on 9 clips"))]
    assert len(doubts) == 2, error
    assert "3 of each class" in doubts[1]
    folder = next((tmp_path / "runs").glob("*/seed-0"))
    code, out, _ = avshot("predict", folder, flat, "--json")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 21
    for one in found:
        assert one["about"].startswith('Trained on 9 clips of 3 classes like "')
        assert [f"note: {note}" for note in one["notes"][:2]] == doubts
    code, out, _ = avshot("predict", folder, next(iter(flat.iterdir())))
    assert out.splitlines()[-1] == found[0]["about"]
    assert "note: Judged on 3 validation clips" in out


def test_names_are_asked_of_a_run_of_pretrained_features(flat, model, avshot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    labelled(flat, tmp_path / "table.csv")
    assert avshot("dataset", "table.csv", "own.toml", "--media", flat, "--unseen-val", 0, "--unseen-test", 0)[0] == 0
    extract = ("extract", "own.toml", "--audio", "", "--visual", f"clip:{model}", "--workers", 1)
    assert avshot(*extract)[0] == 0
    code, _, error = avshot("train", "own.toml", "--method", "nearest_text", "--text", f"clip:{model}")
    assert code == 0, error
    assert not re.search(r"Trained on \d+ clips, ", error), "it learns nothing from them, so few are no doubt"
    folder = next((tmp_path / "runs").glob("*/seed-0"))
    code, out, error = avshot("predict", folder, flat, "--classes", "a dog barking, red light", "--json")
    assert code == 0, error
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 21
    assert {guess["name"] for guess in found[0]["ranking"]} == {"a dog barking", "red light"}
    assert found[0]["about"].endswith("described by clip.")
