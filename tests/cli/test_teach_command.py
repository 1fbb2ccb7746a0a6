"""`avshot teach`: a folder of clips for each class, and a Run whose every command says what it was taught."""

import json
import re
import shutil

import numpy as np
import pytest

from avshot import Recognizer
from avshot.media import write
from avshot.run import load_run
from small_videos import FPS, RATE, heard_videos, picture

RECIPE = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 12, "lr": 3e-3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A Run, and `clips/<class>/*.mp4` of two new classes: one tone, and two in turn."""
    folder, rng = tmp_path_factory.mktemp("teach"), np.random.default_rng(5)
    time = np.arange(round(1.2 * RATE)) / RATE
    for name, pitch in (("fire alarm", np.where(time % 0.3 < 0.15, 900.0, 5000.0)), ("class A", 450.0)):
        (folder / "clips" / name).mkdir(parents=True)
        for i in range(3):
            tone = (0.5 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
            write(folder / "clips" / name / f"{i}.mp4", picture(None, rng), FPS, tone, RATE)
    Recognizer("devise", folder=folder / "kept", recipe=RECIPE).fit(
        *heard_videos(folder / "videos", per_class=3), classes=["dog barking"]
    ).save(folder / "run")
    return folder


def test_a_folder_for_each_class(made, avshot):
    code, out, err = avshot("teach", made / "run", "--clips", made / "clips", "--out", made / "run2")
    assert code == 0, err
    assert "fire alarm       3            0" in out
    assert "6 classes; no weight moved" in out
    run = load_run(made / "run2")
    assert run.info["taught"] == [{"name": "class A", "clips": 3}, {"name": "fire alarm", "clips": 3}]
    assert "class A (3), fire alarm (3)" in (made / "run2" / "README.md").read_text()
    clip = made / "clips" / "fire alarm" / "1.mp4"
    code, out, _ = avshot("predict", made / "run2", clip)
    assert code == 0
    assert "taught by 3 clips" in out
    assert 'Taught 2 classes later: "class A" from 3 clips, "fire alarm" from 3 clips.' in out
    code, out, _ = avshot("predict", made / "run2", clip, "--json")
    first = json.loads(out)["ranking"][0]
    assert (first["name"], first["taught"], first["seen"]) == ("fire alarm", 3, False)


def test_the_report_says_that_its_numbers_are_from_before(made, avshot, tmp_path):
    avshot("teach", made / "run", "--clips", made / "clips", "--out", tmp_path / "run2")
    code, _, err = avshot("report", tmp_path / "run2", "--out", tmp_path / "report.html")
    assert code == 0, err
    text = (tmp_path / "report.html").read_text()
    assert "Taught 2 classes later" in text
    assert "These numbers are from before." in text


def test_bad_clips_are_named_and_the_others_used(made, avshot, tmp_path):
    clips = tmp_path / "clips"
    shutil.copytree(made / "clips" / "fire alarm", clips / "fire alarm")
    (clips / "fire alarm" / "broken.mp4").write_text("no video")
    (clips / "notes.txt").touch()
    code, out, err = avshot("teach", made / "run", "--clips", clips, "--out", tmp_path / "run2")
    assert code == 1
    assert "fire alarm       3            1" in out
    assert "broken.mp4 cannot be used" in err
    assert "1 files beside the folders of classes left out, the first notes.txt" in err


@pytest.mark.parametrize(
    ("clips", "more", "message"),
    [
        ("absent", (), "absent is not a folder"),
        ("empty", (), "empty holds no folders; make one for each class"),
        ("hollow", (), "bell holds no videos; put clips of 'bell' there"),
        ("humming", (), "'low humming': the Run in .* was trained on clips of that class"),
        ("good", ("--lose", "2"), "lose is 2.0; expected a share from 0 to 1"),
        ("good", ("--device", "moon"), "moon"),
    ],
)
def test_what_cannot_be_is_one_sentence(made, avshot, tmp_path, clips, more, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "bell").mkdir(parents=True)
    shutil.copytree(made / "clips" / "fire alarm", tmp_path / "humming" / "Low Humming")
    shutil.copytree(made / "clips" / "fire alarm", tmp_path / "good" / "fire alarm")
    code, _, err = avshot("teach", made / "run", "--clips", tmp_path / clips, "--out", tmp_path / "run2", *more)
    assert code == 2
    assert "Traceback" not in err
    assert re.search(message.replace("'low", "'Low").replace("humming'", "Humming'"), err), err
    assert not (tmp_path / "run2").exists()


def test_places_and_runs_that_do_not_do(made, avshot, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code, _, err = avshot("teach", made / "run", "--clips", made / "clips", "--out", tmp_path / "full")
    assert code == 2
    assert "full is not empty; teach into a new folder" in err
    code, _, err = avshot("teach", tmp_path / "nowhere", "--clips", made / "clips", "--out", tmp_path / "new")
    assert code == 2
    assert "nowhere is not there" in err
    avshot("teach", made / "run", "--clips", made / "clips", "--out", tmp_path / "new")
    code, _, err = avshot("teach", tmp_path / "new", "--clips", made / "clips", "--out", tmp_path / "newer")
    assert code == 2
    assert "was taught that class before" in err
    code, _, _ = avshot("teach", tmp_path / "new", "--clips", made / "clips", "--out", tmp_path / "newer", "--replace")
    assert code == 0
