"""`Recognizer`: fit on own videos, predict, save, load."""

import gc
import shutil
import tempfile
from dataclasses import replace

import numpy as np
import pytest

import avshot.features.describe as describe
from avshot import Recognizer
from avshot.data.dataset import MemoryFeatures
from avshot.errors import BadMedia, TooLarge
from avshot.media import write
from avshot.prediction.labelled import own_dataset
from avshot.types import Clip, Features
from small_videos import FPS, RATE, heard_videos, picture, sound

RECIPE = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 12, "lr": 3e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recognizer")


@pytest.fixture(scope="module")
def videos(folder):
    return heard_videos(folder / "videos", per_class=3)


@pytest.fixture(scope="module")
def fitted(folder, videos):
    return Recognizer("devise", folder=folder / "kept", recipe=RECIPE).fit(*videos, classes=["dog barking"])


def test_it_learns_and_knows_the_further_classes(fitted, videos):
    found = fitted.predict(videos[0][0])
    assert {guess.name for guess in found.ranking} == {*videos[1], "dog barking"}
    assert fitted.predict(videos[0][0], ["rain", "low humming"], top=1).label in ("rain", "low humming")
    assert not fitted.run.classes().seen[fitted.run.classes().index("dog barking")]


def test_a_second_fit_on_the_same_videos_reads_no_file_again(fitted, videos, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a video was decoded again")

    monkeypatch.setattr(describe, "read", forbidden)
    stages = []
    again = Recognizer("devise", folder=fitted.folder, recipe=RECIPE, seed=1)
    again.fit(*videos, progress=lambda stage, done, total, numbers: stages.append((stage, done, total)))
    assert again.run.path != fitted.run.path
    assert again.run.experiment.seed == 1
    assert stages[0] == ("extract", 9, 9)
    assert {stage for stage, *_ in stages} == {"extract", "stage1", "stage2"}
    same = Recognizer("devise", folder=fitted.folder, recipe=RECIPE).fit(*videos, classes=["dog barking"])
    assert same.run.path == fitted.run.path  # the same experiment is not trained again


def test_a_replaced_video_is_described_again(fitted, videos, folder, monkeypatch):
    copies = folder / "copies"
    shutil.copytree(videos[0][0].parent, copies)
    paths = [copies / video.name for video in videos[0]]
    first = Recognizer("devise", folder=folder / "other", recipe=RECIPE).fit(paths, videos[1])
    rng = np.random.default_rng(8)
    write(paths[0], picture(None, rng), FPS, sound("low humming", rng), RATE)
    read, original = [], describe.read
    monkeypatch.setattr(describe, "read", lambda path, **k: read.append(path) or original(path, **k))
    second = Recognizer("devise", folder=folder / "other", recipe=RECIPE).fit(paths, videos[1])
    assert read == [str(paths[0])]
    assert second.run.path != first.run.path


def test_saved_and_loaded_it_predicts_the_same_without_the_videos_it_learnt_from(fitted, videos, folder):
    new = folder / "new.mp4"
    shutil.copy(videos[0][4], new)
    before = fitted.predict(new)
    saved = fitted.save(folder / "saved")
    moved = folder / "moved"
    shutil.move(saved, moved)
    videos[0][0].parent.rename(folder / "away")
    fitted.folder.rename(folder / "kept-away")
    try:
        loaded = Recognizer.load(moved)
        assert loaded.predict(new) == before
        assert loaded.predict(new, ["rain", "low humming"]).ranking[0].probability > 0
        assert (loaded.audio, loaded.visual) == (loaded._ready()._job.audio, loaded._ready()._job.visual)
        assert loaded.experiment.recipe == RECIPE
        assert loaded.folder != moved  # a later fit does not write into the Run
    finally:
        (folder / "away").rename(folder / "videos")
        (folder / "kept-away").rename(folder / "kept")
    with pytest.raises(ValueError, match="is not empty"):
        fitted.save(moved)
    with pytest.raises(ValueError, match="not a Run folder"):
        Recognizer.load(folder)


def test_videos_that_cannot_be_used_are_left_out_with_a_warning(videos, folder):
    broken = folder / "broken.mp4"
    broken.write_text("no video")
    paths, labels = [*videos[0], broken, folder / "absent.mp4"], [*videos[1], "low humming", "bell ringing"]
    recognizer = Recognizer("devise", folder=folder / "kept", recipe=RECIPE)
    with pytest.warns(UserWarning, match="2 of 11 videos cannot be used.*No video is left of: bell ringing"):
        recognizer.fit(paths, labels)
    assert "bell ringing" not in recognizer.run.classes().names
    with pytest.raises(ValueError, match=r"usable videos of 1 class;.*1 of 4 videos cannot be used.*broken"):
        recognizer.fit([*videos[0][:3], broken], [*videos[1][:3], "rain"])


def test_one_modality_alone(videos, folder):
    recognizer = Recognizer("devise", visual=None, folder=folder / "kept", recipe=RECIPE).fit(*videos)
    found = recognizer.predict(videos[0][0])
    assert not any("picture" in note for note in found.notes)  # it was not asked for, so it is not missing
    assert found.modality == {"audio": 1.0, "visual": 0.0}
    silent = folder / "silent.mp4"
    write(silent, picture(None, np.random.default_rng(0)), FPS, None, RATE)
    with pytest.raises(ValueError, match="silent.mp4"):
        recognizer.predict(silent)


def test_wrong_use_is_one_sentence(videos, folder):
    recognizer = Recognizer("devise", recipe=RECIPE)
    with pytest.raises(ValueError, match="not learnt anything yet"):
        recognizer.predict("a.mp4")
    with pytest.raises(ValueError, match="9 videos but 2 labels"):
        recognizer.fit(videos[0], ["a", "b"])
    with pytest.raises(ValueError, match="1 videos are given more than once"):
        recognizer.fit([videos[0][0], videos[0][0]], ["a", "b"])
    with pytest.raises(ValueError, match="usable videos of 1 class;"):
        recognizer.fit(videos[0][:2], ["a", "a"])
    with pytest.raises(ValueError, match="usable videos of 0 classes;"):
        recognizer.fit([], [])
    with pytest.raises(ValueError, match="label of .* is ''"):
        recognizer.fit(videos[0][:2], ["a", ""])
    with pytest.raises(ValueError, match="methods: .*devise"):
        Recognizer("divise")
    with pytest.raises(ValueError, match="no field 'epoch'"):
        Recognizer("devise", recipe={"epoch": 3})
    with pytest.raises(ValueError, match="colour"):
        Recognizer("devise", colour="red")


def test_names_follow_one_rule(videos, folder, monkeypatch):
    import avshot.features.extract as extract

    recognizer = Recognizer("devise", folder=folder / "kept", recipe=RECIPE)
    labels = [{"low humming": "C", "high beeping": "C#"}.get(label, "D") for label in videos[1]]
    names = recognizer.fit(iter(videos[0]), np.array(labels), classes=("D#", "C", "D#")[:2]).run.classes().names
    assert sorted(names) == ["C", "C#", "D", "D#"]
    monkeypatch.setattr(extract, "extract", None)  # what follows is said before anything is computed
    for wrong, message in (
        ({"classes": "dog"}, "pass a list of names"),
        ({"classes": ["c"]}, "'C' / 'c'; name each class once and spell each one way"),
        ({"classes": ["rain", "Rain"]}, "spell each one way"),
        ({"classes": ["👍"]}, "holds no letter or digit"),
        ({"labels": ["Dog", "dog", *labels[2:]]}, "'Dog' / 'dog'"),
        ({"labels": ["dog barking", "dog_barking", *labels[2:]]}, "spell each one way"),
        ({"labels": [None, *labels[1:]]}, "is None; expected a class name in words"),
        ({"labels": [float("nan"), *labels[1:]]}, "is nan; expected a class name"),
        ({"labels": [3, *labels[1:]]}, "is 3; expected a class name"),
        ({"labels": ["👍", *labels[1:]]}, "expected a class name in words"),
        ({"labels": "x" * 9}, "as labels; pass a list"),
        ({"videos": str(videos[0][0])}, "as videos; pass a list"),
        ({"videos": [folder, *videos[0][1:]]}, "is a folder"),
        ({"videos": ["http://a/b.mp4", *videos[0][1:]]}, "is not on this machine"),
        ({"videos": [b"abc", *videos[0][1:]]}, "the content of a file"),
        ({"videos": [Clip("a", "a.mp4"), *videos[0][1:]]}, "Got a Clip among the videos"),
    ):
        with pytest.raises(ValueError, match=message):
            recognizer.fit(**({"videos": videos[0], "labels": labels} | wrong))


def test_a_video_given_twice_through_a_link_is_refused(videos, folder):
    link = folder / "link.mp4"
    link.symlink_to(videos[0][0])
    with pytest.raises(ValueError, match="1 videos are given more than once"):
        Recognizer("devise", recipe=RECIPE).fit([*videos[0], link], [*videos[1], "rain"])


def test_predict_wants_one_video(fitted, videos):
    for wrong in (videos[0][:2], None, 3, videos[0][0].parent, np.zeros((8, 48, 64, 3), np.uint8)):
        with pytest.raises(BadMedia, match="pass (its|the) path"):
            fitted.predict(wrong)


def test_predict_takes_content_and_says_what_it_was_called(fitted, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = videos[0][0]
    expected = fitted.predict(file, top=1)
    with open(file, "rb") as opened:
        from_open = fitted.predict(opened, top=1)
    from_bytes = fitted.predict(file.read_bytes(), top=1)
    assert (from_open.video, from_bytes.video) == (str(file), "<bytes>")
    assert replace(from_open, video="") == replace(from_bytes, video="") == replace(expected, video="")
    assert fitted.predict(file.as_uri(), top=1) == expected
    assert fitted.predict(Clip("a", file.as_uri()), top=1) == expected
    with pytest.raises(TooLarge, match="<bytes> is larger than 100 bytes"):
        fitted.predict(file.read_bytes(), largest=100)
    for wrong, message in ((b"", "<bytes> cannot be used: the file is empty"), (b"no video", "<bytes> cannot be used")):
        with pytest.raises(BadMedia, match=message) as caught:
            fitted.predict(wrong)
        assert str(tmp_path) not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_run_outlives_its_recogniser(videos):
    def trained():
        return Recognizer("devise", recipe=RECIPE).fit(*videos).run

    made = trained()
    gc.collect()
    assert set(made.classes().names) == set(videos[1])
    assert made.method() is not None
    folder = made.path.parent
    del made
    gc.collect()
    assert not folder.exists()


def test_a_device_that_is_not_there_is_said_at_once():
    with pytest.raises(ValueError, match="Device 'gpu' does not exist"):
        Recognizer("devise", device="gpu")


def test_a_temporary_folder_goes_with_the_recogniser():
    recognizer = Recognizer("devise")
    folder = recognizer.folder
    assert folder.is_dir()
    del recognizer
    assert not folder.exists()


def folds_of(counts, extra=()):
    clips = [Clip(f"{name}{i}", label=name) for name, count in counts.items() for i in range(count)]
    import torch

    zeros = torch.zeros(len(clips), 2)
    return own_dataset(
        clips, extra, MemoryFeatures([clip.id for clip in clips], Features.averaged(zeros, zeros), {}), 3
    )


def test_what_is_held_out_to_choose_epochs_and_calibration():
    many = folds_of(dict.fromkeys("abcdefghij", 10), ("K", "a", "K "))
    assert many.names == (*"abcdefghij", "K")  # further classes once each, and not those that are learnt
    assert len(many.classes_of("val_unseen")) == 2
    assert len(many.folds["val_seen"]) == 8 * 2
    assert len(many.folds["train"]) == 8 * 8
    assert many.classes_of("test_unseen") == ("K",)
    few = folds_of({"a": 4, "b": 9})
    assert len(few.folds["val_unseen"]) == 0
    assert len(few.folds["val_seen"]) == 1
    assert len(few.folds["train"]) == 12


@pytest.fixture(scope="module")
def alarms(folder):
    """Clips of a sound that no class of the training has: a high and a low tone in turn."""
    rng, files = np.random.default_rng(5), []
    for i in range(6):
        files.append(folder / f"alarm-{i}.mp4")
        time = np.arange(round(1.2 * RATE)) / RATE
        tone = 0.5 * np.sin(2 * np.pi * np.where(time % 0.3 < 0.15, 900.0, 5000.0) * time)
        write(files[-1], picture(None, rng), FPS, tone.astype(np.float32), RATE)
    return files


def test_it_is_taught_a_class_and_keeps_it(fitted, videos, alarms, folder):
    recognizer = Recognizer.load(fitted.run.path)
    recognizer.predict(videos[0][0])
    told = []
    same = recognizer.teach(
        {"fire alarm": alarms[:4]}, progress=lambda stage, done, total, numbers: told.append((stage, done, total))
    )
    assert same is recognizer
    assert told == [("teach", i, 4) for i in range(1, 5)]
    found = recognizer.predict(alarms[5])
    assert (found.label, found.ranking[0].taught, found.ranking[0].seen) == ("fire alarm", 4, False)
    assert found.about.endswith('Taught 1 class later: "fire alarm" from 4 clips.')
    assert {guess.taught for guess in found.ranking[1:]} == {0}
    loaded = Recognizer.load(recognizer.save(folder / "with-alarm"))
    assert loaded.predict(alarms[5]) == found
    assert "fire alarm" not in fitted.run.classes().names  # the Run of before stays
    assert loaded.predict(alarms[5], ["Fire-alarm", "rain"]).ranking[0].taught == 4


def test_clips_that_cannot_be_used_teach_nothing(fitted, alarms, folder):
    recognizer = Recognizer.load(fitted.run.path)
    with pytest.warns(UserWarning, match="1 clips cannot be used, the first .*absent.mp4"):
        recognizer.teach({"fire alarm": [alarms[0], folder / "absent.mp4"]})
    assert recognizer.run.info["taught"] == [{"name": "fire alarm", "clips": 1}]
    before = recognizer.run.path
    for examples, message in (
        ({"bell": [folder / "absent.mp4"]}, "None of the 1 clips of 'bell' can be used; the first: .*absent.mp4"),
        ({"bell": []}, "Got no clip of 'bell'"),
        ({"bell": str(alarms[0])}, "as the clips of 'bell'; pass a list of videos"),
        ({}, "Got no classes to teach"),
        ([alarms[0]], "Got no classes to teach"),
        ({"low humming": alarms}, "was trained on clips of that class"),
        ({"fire alarm": alarms}, "was taught that class before"),
    ):
        with pytest.raises(ValueError, match=message):
            recognizer.teach(examples)
    assert recognizer.run.path == before
    recognizer.teach({"fire alarm": alarms[:3]}, replace=True)
    assert recognizer.run.info["taught"] == [{"name": "fire alarm", "clips": 3}]
    with pytest.raises(ValueError, match="has not learnt anything yet"):
        Recognizer("devise").teach({"fire alarm": alarms})
