"""What is misspelt or left out: one sentence, exit code 2, and what was probably meant."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from avshot import Recognizer
from avshot.experiment import Experiment, parse_experiment
from avshot.features.extractor import create_extractor
from avshot.protocol import run as run_experiment
from avshot.registry import EXTRACTORS
from small_videos import heard_videos
from synthetic import synthetic_dataset


def sentence(told):
    """The last line of a refusal."""
    code, _, error = told
    assert code == 2, error
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("avshot: ")
    return last.removeprefix("avshot: ")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("train x.toml --metod devise", "--method"),
        ("train x.toml --sed 3", "--seeds"),
        ("predict run a.mp4 --clases rain", "--classes"),
        ("extract x --visul pixels", "--visual"),
        ("trian x.toml", "train"),
        ("optimize-classes x.txt", "optimise-classes"),
        ("train simulated:ucf --method Devise", "devise"),
        ("train simulated:ucf --method devise --preset ucf_cls", "ucf-cls"),
        ("train simulated:ucf --task gzls", "gzsl"),
        ("train simulated:ucf --text wordlama", "wordllama"),
        ("train simulated:ucf --set recpe.epochs=3", "recipe"),
        ("train simulated:ucf --set recipe.epoch=3", "epochs"),
        ("train simulated:ucf --method devise --set config.margn=3", "margin"),
        ("train simulated:ucf --set selection.beta_gird=avca", "beta_grid"),
        ("train simulated:ucf --set optimise.alfa=1", "alpha"),
        ("train simulated:ufc-cls", "ucf-cls"),
        ("train simulated:ucf?scal=0.1", "scale"),
        ("train similated:ucf", "simulated"),
        ("methods devize", "devise"),
    ],
)
def test_what_was_meant(avshot, arguments, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence(avshot(*arguments.split())).endswith(f"Did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train", "Missing argument 'dataset'. See "),
        ("train x.toml --qqqq", "No such option: --qqqq. See "),
        ("train x.toml --jobs many", "Invalid value for '--jobs'"),
        ("sing", "No such command 'sing'"),
    ],
)
def test_other_wrong_use(avshot, arguments, words):
    told = avshot(*arguments.split())
    assert words in sentence(told)
    assert told[2].startswith("Usage: ")


def test_specs_fields_and_keys(tmp_path, monkeypatch, avshot):
    with pytest.raises(ValueError, match="option 'mel'; .*Did you mean 'mels'"):
        create_extractor("logmel?mel=4")
    with pytest.raises(ValueError, match="'logmell' does not exist; .*Did you mean 'logmel'"):
        create_extractor("logmell")
    with pytest.raises(ValueError, match="sead: extra inputs are not permitted.*Did you mean 'seed'"):
        parse_experiment({"dataset": "x", "sead": 3})
    with pytest.raises(ValueError, match="Recognizer has no argument 'vizual'; arguments: .*Did you mean 'visual'"):
        Recognizer(vizual=None)
    with pytest.raises(ValueError, match="Recognizer has no argument 'dataset'"):
        Recognizer(dataset="x")
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text("")
    assert sentence(avshot("train", "own")).endswith("Did you mean 'own.toml'?")
    for text, meant in (
        ('title = "T"\nmetric = ["HM"]\n[[rows]]\nmethod = "devise"\n', "metrics"),
        ('title = "T"\n[common]\npresett = "auto"\n[[rows]]\nmethod = "devise"\n', "preset"),
        ('title = "T"\n[[rows]]\nmethod = "devise"\nlable = "x"\n', "label"),
        ('title = "T"\n[[rows]]\nmethod = "devise"\nconfig = {margn = 1}\n', "margin"),
    ):
        Path("plan.toml").write_text(text)
        assert sentence(avshot("bench", "plan.toml", "--dataset", "simulated:ucf")).endswith(f"Did you mean '{meant}'?")


def test_predict_without_a_run(avshot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(b"")
    first = "clip.mp4 is no Run folder, which is the first argument, before the videos; write avshot predict RUN VIDEO."
    assert sentence(avshot("predict", "clip.mp4")) == first
    assert sentence(avshot("predict", "clip.mp4", "clip.mp4")) == first
    recipe = {"epochs": 1, "batches_per_epoch": 2}
    asked = Experiment(dataset="in memory", method="devise", recipe=recipe)
    run_experiment(asked, "demo/runs/devise/seed-0", dataset=synthetic_dataset())
    here = " Runs here: demo/runs/devise/seed-0."
    assert sentence(avshot("predict", "clip.mp4")) == first + here
    assert sentence(avshot("predict", "nowhere", "clip.mp4")).endswith(here)
    assert sentence(avshot("predict", "demo", "clip.mp4")).startswith("demo is not a Run folder")
    assert sentence(avshot("predict", "demo")).endswith(here)
    told = sentence(avshot("predict", "demo/runs/devise/seed-0"))
    assert told == "No video is given to the Run demo/runs/devise/seed-0; write avshot predict RUN VIDEO."


def test_predict_of_folders(avshot, tmp_path):
    videos, labels = heard_videos(tmp_path / "videos", per_class=2)
    recipe = {"epochs": 1, "batches_per_epoch": 2}
    run = Recognizer("devise", folder=tmp_path / "kept", recipe=recipe).fit(videos, labels).run.path
    deep = tmp_path / "asked" / "more" / "and more"
    deep.mkdir(parents=True)
    shutil.copy(videos[0], deep / "a.mp4")
    shutil.copy(videos[1], tmp_path / "asked" / "b.mp4")
    code, out, err = avshot("predict", run, tmp_path / "asked", "--json")
    assert (code, len(out.splitlines()), err) == (0, 2, "")
    assert str(deep / "a.mp4") in out
    (tmp_path / "empty").mkdir()
    code, out, err = avshot("predict", run, tmp_path / "empty")
    assert (code, out) == (1, "")
    assert err == f"avshot: {tmp_path / 'empty'} holds no videos; pass another folder.\n"


@pytest.mark.parametrize("table", ["clips/labels.csv", "labels.csv", "clips/metadata.tsv", "clips/what is in them.csv"])
def test_a_flat_folder_with_a_table(avshot, tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    videos, labels = heard_videos(tmp_path / "clips", per_class=8)
    told = sentence(avshot("dataset", "clips", "own.toml"))
    assert "There is a table" not in told
    assert "holds 24 recordings and no labels" in told
    with Path(table).open("w", newline="") as file:
        write = csv.writer(file, delimiter="\t" if table.endswith("tsv") else ",")
        write.writerows([("filename", "label"), *zip((video.name for video in videos), labels, strict=True)])
    told = sentence(avshot("dataset", "clips", "own.toml"))
    assert f"There is a table {table}: pass that in place of the folder (avshot dataset " in told
    code, _, err = avshot("dataset", table, "own.toml", "--unseen-val", 0, "--unseen-test", 1)  # as it says
    assert code == 0, err


def test_help_lists_the_extractors_without_loading_any(avshot):
    code, out, _ = avshot("extract", "--help")
    assert code == 0
    listed = out.partition("Extractors: ")[2].partition(".")[0].replace("\n", " ").split(",")
    assert [name.strip() for name in listed] == EXTRACTORS.names()
    code = (
        "import sys\nfrom avshot.cli.app import main\n"
        "try:\n    main(['extract', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'av', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
