"""A video as bytes or as an open file: what is taken, what is refused, and that nothing is left behind."""

import io
import os
import stat
import tempfile
from pathlib import Path

import pytest

from avshot.errors import BadMedia, BadSetting, TooLarge
from avshot.prediction.upload import name_of, on_disk
from avshot.types import Clip


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """An empty folder in which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Slow(io.RawIOBase):
    """An open file that gives a few bytes at a time, and counts what was asked of it."""

    def __init__(self, size, name=None):
        self.left, self.read_in_all = size, 0
        if name is not None:
            self.name = name

    def read(self, count=-1):
        part = b"x" * min(7, count, self.left)
        self.left -= len(part)
        self.read_in_all += len(part)
        return part


def test_content_is_on_disk_while_the_block_runs_and_nobody_else_can_read_it(temporary):
    for video, name in (
        (b"abcdefg", "<bytes>"),
        (memoryview(b"abcdefg"), "<bytes>"),
        (bytearray(b"abcdefg"), "<bytes>"),
    ):
        with on_disk(video) as (clip, told):
            assert Path(clip.path).read_bytes() == b"abcdefg"
            assert (told, clip.id) == (name, name)
            assert stat.S_IMODE(os.stat(Path(clip.path).parent).st_mode) == 0o700
        assert list(temporary.iterdir()) == []
    with on_disk(Slow(50, "a.mp4")) as (clip, told):
        assert Path(clip.path).stat().st_size == 50
        assert told == "a.mp4"


def test_it_is_removed_when_the_block_fails(temporary):
    seen = []

    def fails():
        with on_disk(b"abc"):
            seen.extend(temporary.iterdir())
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert len(seen) == 1
    assert list(temporary.iterdir()) == []


def test_an_open_file_is_read_from_where_it_stands_and_left_open(temporary, tmp_path_factory):
    path = tmp_path_factory.mktemp("open") / "a.mp4"
    path.write_bytes(b"0123456789")
    with open(path, "rb") as file:
        file.seek(4)
        with on_disk(file) as (clip, name):
            assert Path(clip.path).read_bytes() == b"456789"
            assert name == str(path)
        assert not file.closed


def test_no_byte_beyond_the_bound_is_taken(temporary):
    for video in (b"x" * 11, bytearray(11), io.BytesIO(b"x" * 11), Slow(10**9)):
        with pytest.raises(TooLarge, match="is larger than 10 bytes; pass a smaller file"), on_disk(video, largest=10):
            pass
        assert list(temporary.iterdir()) == []
    endless = Slow(10**9)
    with pytest.raises(TooLarge), on_disk(endless, largest=10):
        pass
    assert endless.read_in_all == 11
    with on_disk(b"x" * 10, largest=10) as (clip, _):
        assert Path(clip.path).stat().st_size == 10
    with on_disk(memoryview(b"x" * 16).cast("i"), largest=16):  # bytes are counted, not items
        pass
    for largest in (0, -1, 1.5, None):
        with pytest.raises(BadSetting, match="expected a number of bytes"), on_disk(b"x", largest=largest):
            pass


def test_open_files_that_cannot_be_read_are_a_sentence(temporary, tmp_path_factory):
    path = tmp_path_factory.mktemp("closed") / "a.mp4"
    path.write_bytes(b"abc")
    closed, text, written = open(path, "rb"), open(path), open(path, "ab")  # noqa: SIM115
    closed.close()
    for file, message in (
        (closed, "cannot be read .*closed"),
        (text, 'gives str and not bytes; open it with mode "rb"'),
        (written, "cannot be read"),
        (Waiting(), "gives NoneType and not bytes"),
    ):
        with pytest.raises(BadMedia, match=message) as caught, on_disk(file):
            pass
        assert "\n" not in str(caught.value)
        assert list(temporary.iterdir()) == []
    text.close()
    written.close()


class Waiting:
    """A pipe that has nothing yet and does not wait."""

    def read(self, count):
        return None


def test_paths_and_clips_stay_where_they_are(temporary):
    with on_disk("a.mp4") as (clip, name):
        assert (clip.path, name) == ("a.mp4", "a.mp4")
    with on_disk(Path("a.mp4")) as (clip, name):
        assert (clip.path, name) == ("a.mp4", "a.mp4")
    with on_disk(Clip("id", "file:///v/a%20b.mp4", start=1.0)) as (clip, name):
        assert (clip.path, clip.start, name) == ("/v/a b.mp4", 1.0, "/v/a b.mp4")
    assert list(temporary.iterdir()) == []


def test_what_a_video_is_called():
    with tempfile.TemporaryFile() as unnamed:
        assert name_of(unnamed) == "<open file>"  # its name is a number
    assert name_of(io.BytesIO(b"")) == "<open file>"
    assert name_of(None) == "None"
    assert name_of(Clip("id", "a.mp4")) == "a.mp4"
