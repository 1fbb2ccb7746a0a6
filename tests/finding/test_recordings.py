"""Which files of a folder are looked into."""

import os

import numpy as np
import pytest

from avshot.finding.recordings import natural, recordings
from avshot.media import write


@pytest.fixture
def folder(tmp_path):
    for name in ["b10.wav", "b2.mp4", "a.MP3", "notes.txt", ".hidden.wav", "Cache/x.wav", ".dot/y.wav", "sub/c.mkv"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"anything")
    return tmp_path


def names(found, folder):
    return [os.path.relpath(path, folder) for path in found.files]


def test_media_by_ending_in_natural_order_without_hidden_and_cache_folders(folder):
    found = recordings([folder])
    assert names(found, folder) == ["a.MP3", "b2.mp4", "b10.wav", "sub/c.mkv"]
    assert any("hidden" in note for note in found.notes)


def test_media_without_an_ending_are_known_by_how_they_begin(folder):
    write(folder / "film.mp4", None, 25, np.zeros(1600, np.float32), 16000)
    (folder / "film.mp4").rename(folder / "film")
    (folder / "readme").write_text("nothing to hear")
    assert names(recordings([folder]), folder) == ["a.MP3", "b2.mp4", "b10.wav", "film", "sub/c.mkv"]


def test_programs_that_end_as_transport_streams_do_are_left_out(folder):
    (folder / "program.ts").write_text("export const x: number = 1;\n" * 40)
    (folder / "film.ts").write_bytes((b"G" + bytes(187)) * 6)
    (folder / "camera.mts").write_bytes((bytes(4) + b"G" + bytes(187)) * 6)
    found = recordings([folder])
    assert {"film.ts", "camera.mts"} <= set(names(found, folder))
    assert "program.ts" not in names(found, folder)
    assert any("program.ts" in note for note in found.notes)


def test_what_is_named_is_taken_once_and_as_it_is(folder):
    found = recordings([folder / "notes.txt", folder / "b2.mp4", folder])
    assert names(found, folder) == ["notes.txt", "b2.mp4", "a.MP3", "b10.wav", "sub/c.mkv"]


def test_folders_that_are_left_out(folder):
    assert "sub/c.mkv" not in names(recordings([folder], without=[folder / "sub"]), folder)


@pytest.mark.parametrize(
    ("paths", "words"), [([], "No recording"), (["gone.mp4"], "not there"), (["empty"], "holds no")]
)
def test_nothing_is_an_error(tmp_path, monkeypatch, paths, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=words):
        recordings(paths)


def test_numbers_in_names_sort_by_size():
    assert sorted(["x10", "x9", "X1a", "x1", "7", "y"], key=natural) == ["7", "x1", "X1a", "x9", "x10", "y"]
