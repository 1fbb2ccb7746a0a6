"""The table of weights that can be fetched, and the cache that keeps them."""

import hashlib
import re

import pytest

from avshot.files import pins as module
from avshot.files.pins import Pin, cache_folder, find_pin, pins, pull, weights_file

CONTENT = b"weights" * 1000


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A table of one small file, an empty cache, and a copy of the file elsewhere."""
    pin = Pin("tiny", "ear", "audio", "tiny.pt", len(CONTENT), "MIT", "random weights",
              hashlib.sha256(CONTENT).hexdigest(), "http://127.0.0.1:1/tiny.pt", "made here")  # fmt: skip
    monkeypatch.setattr(module, "pins", lambda: {"tiny": pin})
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "given.pt").write_bytes(CONTENT)
    return pin


def test_every_entry_of_the_table_is_complete():
    assert {"mn04_as", "mn10_as", "yamnet"} <= set(pins())
    for name, pin in pins().items():
        assert pin.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256)
        assert pin.url.startswith("https://")
        assert pin.modality in ("audio", "visual")
        assert pin.checked in ("real weights", "random weights")
        assert pin.bytes > 0
        assert all((pin.licence, pin.source, pin.file, pin.extractor))


def test_digests_of_the_files_at_hand(real_data):
    for name in ("mn04_as", "yamnet"):
        content = (real_data / "encoders" / pins()[name].file).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (pins()[name].sha256, pins()[name].bytes)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("AVSHOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "avshot"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "avshot"


def test_a_given_file_is_taken_once_and_found_by_its_name(pinned, tmp_path):
    with pytest.raises(FileNotFoundError, match="avshot encoders pull tiny"):
        weights_file("tiny", "ear")
    path = pull("tiny", from_file=tmp_path / "given.pt")
    assert path.read_bytes() == CONTENT
    assert weights_file("tiny", "ear") == path
    (tmp_path / "given.pt").unlink()
    assert pull("tiny", from_file=tmp_path / "given.pt") == path  # it is there: nobody is asked
    assert pull("tiny") == path


def test_a_damaged_copy_in_the_cache_is_replaced(pinned, tmp_path):
    path = pull("tiny", from_file=tmp_path / "given.pt")
    path.write_bytes(b"x" + CONTENT[1:])
    assert pull("tiny", from_file=tmp_path / "given.pt").read_bytes() == CONTENT


def test_a_given_file_of_another_digest_is_refused_and_left_alone(pinned, tmp_path):
    (tmp_path / "given.pt").write_bytes(CONTENT + b"!")
    with pytest.raises(ValueError, match="its sha256 differs"):
        pull("tiny", from_file=tmp_path / "given.pt")
    assert (tmp_path / "given.pt").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
    with pytest.raises(FileNotFoundError, match="There is no file"):
        pull("tiny", from_file=tmp_path / "nowhere.pt")


def test_names_are_of_one_extractor(pinned, tmp_path):
    assert weights_file(str(tmp_path / "given.pt"), "eye") == tmp_path / "given.pt"
    with pytest.raises(ValueError, match="there is no file tiny"):
        weights_file("tiny", "eye")
    with pytest.raises(ValueError, match="Did you mean 'tiny'"):
        weights_file("tinny", "ear")
    with pytest.raises(ValueError, match="Did you mean 'tiny'"):
        find_pin("tinny")


def test_the_folder_of_real_data_is_never_looked_into(monkeypatch, tmp_path):
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="not on this machine"):
        weights_file("mn04_as", "efficientat")
