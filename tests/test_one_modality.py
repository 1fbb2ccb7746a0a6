"""Videos described by their sound alone, or by their picture alone, from files to report and prediction."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avshot.bench.trainings import why_not
from avshot.cli.app import main
from avshot.data.manifest import load_manifest
from avshot.data.rendered.world import Roster, demo_clip, render_world
from avshot.experiment import Experiment, resolve
from avshot.features.extract import extract
from avshot.features.store.store import FeatureStore
from avshot.media import write
from avshot.prediction.predictor import Predictor
from avshot.protocol import run
from avshot.run import load_run
from small_videos import FPS, RATE, picture, sound
from synthetic import synthetic_dataset

ROSTER = Roster(
    ("red growing ringing", "blue sliding drumming", "red growing drumming", "blue sliding ringing"),
    ("red sliding ringing", "blue growing ringing"),
    ("red sliding drumming", "blue growing drumming"),
)
LEFT_OUT = {"sound": "visual", "picture": "audio"}  # store: the extractor that it lacks
TRAINED = ("ez_avgzl", "tcaf", "perceiver", "attention_fusion", "gru", "devise", "eszsl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("one-modality")


@pytest.fixture(scope="module")
def toml(folder):
    return render_world(folder / "world", classes=ROSTER, clips_per_class=5, seconds=1.0, workers=1)


@pytest.fixture(scope="module")
def datasets(folder, toml):
    """The same clips with features of both modalities, of sound alone and of the picture alone."""
    clips, found = load_manifest(toml, features=False), {}
    for name, missing in {"both": None, **LEFT_OUT}.items():
        extract(clips.clips, str(folder / name), workers=1, **({} if missing is None else {missing: None}))
        found[name] = replace(clips, features=FeatureStore(str(folder / name)))
    return found


@pytest.fixture(scope="module")
def new_clip(folder):
    return demo_clip(folder / "new", "red sliding drumming")


@pytest.fixture(scope="module")
def half_clips(folder):
    """Files without sound and without a picture, by the name of what they have."""
    files = {"picture": folder / "mute.mp4", "sound": folder / "blind.m4a"}
    rng = np.random.default_rng(0)
    write(files["picture"], picture("red light", rng), FPS)
    write(files["sound"], None, waveform=sound("low humming", rng), rate=RATE)
    return files


def experiment(toml, method, **fields):
    recipe = {} if method == "eszsl" else {"epochs": 1, "batches_per_epoch": 3, "batch_size": 8, "passes_per_epoch": 0}
    return Experiment(dataset=str(toml), method=method, recipe=recipe, **fields)


@pytest.mark.parametrize("store", LEFT_OUT)
@pytest.mark.parametrize("method", TRAINED)
def test_it_trains_and_predicts(folder, toml, datasets, new_clip, store, method):
    found = run(experiment(toml, method), folder / "runs" / store / method, dataset=datasets[store])
    assert (found.inputs.audio == 0, found.inputs.visual == 0) == (store == "picture", store == "sound")
    assert found.scored("test").scores.isfinite().all()
    assert found.metrics["ZSL"] is not None
    said = Predictor(found).predict(str(new_clip))
    assert sum(guess.probability for guess in said.ranking) == pytest.approx(1.0)
    assert said.modality == {"audio": float(store == "sound"), "visual": float(store == "picture")}
    assert not any("no sound" in note or "no picture" in note for note in said.notes), "this Run needs neither"
    assert sum(moment.share for moment in said.moments) in (0, pytest.approx(1.0))  # 0: nothing spoke for the class


@pytest.mark.parametrize("store", LEFT_OUT)
def test_a_run_refuses_a_clip_without_what_it_learnt_from(folder, toml, datasets, half_clips, store):
    found = run(experiment(toml, "gru"), folder / "runs" / store / "gru", dataset=datasets[store])
    other = "picture" if store == "sound" else "sound"
    with pytest.raises(ValueError, match=rf"{half_clips[other].name} has no {store}, which this Run needs"):
        Predictor(found).predict(str(half_clips[other]))
    assert Predictor(found).predict(str(half_clips[store])).ranking


@pytest.mark.parametrize("store", LEFT_OUT)
def test_in_closed_form_it_is_the_model_with_the_other_modality_hidden(folder, toml, datasets, store):
    """Exactly so for plain penalties; `relative` ones are in units of a mean over all dimensions, hidden ones too."""
    kept = "audio" if store == "sound" else "visual"
    settings = {"config": {"relative": False, "gamma": 1.0, "lam": 1.0}}
    alone = run(experiment(toml, "eszsl", **settings), folder / f"alone-{store}", dataset=datasets[store])
    hidden = experiment(toml, "eszsl", modality=kept, **settings)
    hidden = run(hidden, folder / f"hidden-{store}", dataset=datasets["both"])
    for part in ("val", "test"):
        torch.testing.assert_close(alone.scored(part).scores, hidden.scored(part).scores, atol=1e-4, rtol=1e-4)
        assert alone.scored(part).ids == hidden.scored(part).ids
    assert alone.metrics["HM"] == pytest.approx(hidden.metrics["HM"])


@pytest.mark.parametrize("store", LEFT_OUT)
@pytest.mark.parametrize("method", ["ez_avgzl", "eszsl"])
def test_a_modality_that_is_not_there_cannot_be_asked_for(folder, toml, datasets, store, method, monkeypatch):
    missing = LEFT_OUT[store]
    asked = experiment(toml, method, modality=missing)
    sentence = rf"^The features have no {missing} part, and modality '{missing}' [^\n]*\.$"
    assert why_not(resolve(asked), datasets[store]).startswith(f"The features have no {missing}")
    monkeypatch.setattr(FeatureStore, "gather", lambda *_: pytest.fail("read features before it refused"))
    with pytest.raises(ValueError, match=sentence):
        run(asked, folder / "refused" / store / method, dataset=datasets[store])


def test_wide_features_that_no_clip_has_are_not_there_either(toml, datasets, new_clip, tmp_path):
    """An extractor for sound ran, and no video had any: the features are wide and every mask is False."""
    clips = [replace(clip, path=str(tmp_path / Path(clip.path).name)) for clip in datasets["both"].clips]
    for i, clip in enumerate(clips):
        write(clip.path, picture("red light", np.random.default_rng(i))[:6], FPS)
    extract(clips, str(tmp_path / "store"), workers=1)
    silent = replace(datasets["both"], features=FeatureStore(str(tmp_path / "store")))
    assert min(silent.features.dims) > 0
    with pytest.raises(ValueError, match=r"^The features have no audio part"):
        run(experiment(toml, "gru", modality="audio"), tmp_path / "run", dataset=silent)
    found = run(experiment(toml, "gru"), tmp_path / "other", dataset=silent)
    assert (found.shown, found.experiment.modality) == ("visual", "both")
    said = Predictor(found).predict(str(new_clip))
    assert said.modality == {"audio": 0.0, "visual": 1.0}, "nothing ever trained what would listen to it"
    assert "No training clip had anything but picture, so nothing else of this one was used." in said.notes


@pytest.mark.parametrize("method", ["gru", "ez_avgzl", "avca", "devise"])
def test_what_no_training_clip_had_has_no_say_in_the_test(method, tmp_path):
    """Test clips have sound and training clips have none: the scores are those of a Run that hides the sound."""
    data, rows = synthetic_dataset(), [0]
    for fold in ("train", "val_seen", "val_unseen"):
        rows += data.folds[fold].tolist()
    data.features.features.audio_mask[rows] = False
    settings = {"dataset": "synthetic", "method": method, "recipe": {"epochs": 2, "batches_per_epoch": 4}}
    silent = run(Experiment(**settings), tmp_path / "both", dataset=data)
    hidden = run(Experiment(modality="visual", **settings), tmp_path / "visual", dataset=data)
    assert (silent.shown, hidden.shown) == ("visual", "visual")
    for part in ("val", "test"):
        assert torch.equal(silent.scored(part).scores, hidden.scored(part).scores)


def test_the_commands(toml, new_clip, half_clips, tmp_path, monkeypatch, capsys):
    """extract, train (with its report) and predict with sound alone; a warning would be an error here."""
    monkeypatch.chdir(tmp_path)
    world = shutil.copytree(toml.parent, tmp_path / "world") / toml.name

    def call(*arguments, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert (stop.value.code or 0) == code
        return capsys.readouterr()

    call("extract", world, "--visual", "", "--workers", "1")
    quick = ["--set", "recipe.epochs=1", "--set", "recipe.passes_per_epoch=1"]
    told = call("train", world, "--method", "ez_avgzl,attention_fusion", "--out", "runs", *quick)
    assert "attention_fusion" in told.out
    assert Path("runs/report.html").exists(), "the report of these Runs"
    runs = sorted(path.parent for path in Path("runs").rglob("run.json"))
    assert [load_run(path).inputs.visual for path in runs] == [0, 0]
    said = json.loads(call("predict", runs[0], new_clip, "--json").out)
    assert said["modality"] == {"audio": 1.0, "visual": 0.0}
    assert "has no sound, which this Run needs" in call("predict", runs[0], half_clips["picture"], code=1).err
    refused = call("train", world, "--method", "ez_avgzl", "--modality", "visual", "--out", "refused", code=2).err
    assert refused.splitlines()[-1].startswith("avshot: The features have no visual part")
    assert "Traceback" not in refused
