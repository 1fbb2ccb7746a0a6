"""`avshot encoders` and `avshot encoders pull`."""

import json
import re

import numpy as np
import pytest
import torch

from avshot.features.extractors._mobilenet import MobileNet
from avshot.files import pins as module
from avshot.files.atomic import file_digest
from avshot.files.pins import Pin
from avshot.media import write


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a table that pins one small EfficientAT with random weights."""
    torch.manual_seed(0)
    path = tmp_path / "mn01.pt"
    torch.save(MobileNet(0.1, 527).state_dict(), path)
    pin = Pin("mn01", "efficientat", "audio", "mn01.pt", path.stat().st_size, "MIT", "random weights",
              file_digest(path), "http://127.0.0.1:1/mn01.pt", "made here")  # fmt: skip
    table = {"mn01": pin}
    monkeypatch.setattr(module, "pins", lambda: table)
    monkeypatch.setattr("avshot.encoders.pins", lambda: table)
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path / "cache"))
    return path


def listed(avshot, *more):
    code, out, err = avshot("encoders", "--json", *more)
    assert code == 0, err
    return {(e["name"], e["reads"]): e for e in map(json.loads, out.splitlines())}


def test_all_that_the_registry_knows_is_listed(cache, avshot):
    from avshot.registry import EXTRACTORS, TEXT_ENCODERS

    found = listed(avshot)
    names = [name.partition(":")[0] for name, _ in found]
    assert sorted(names) == sorted([*EXTRACTORS.names(), *TEXT_ENCODERS.names()])
    assert found["logmel", "sound"]["here"] == "ready"
    assert found["wordllama", "text"] | {"licence": "MIT", "checked": "real weights"} == found["wordllama", "text"]
    assert found["clip:...", "picture"]["joint"] is True
    assert found["efficientat:mn01", "sound"]["here"] == "avshot encoders pull mn01"
    code, out, _ = avshot("encoders")
    assert code == 0
    assert re.search(r"clip:\.\.\. +picture, text .*random weights +name a checkpoint", out)
    assert re.search(r"efficientat:mn01 +sound .*MIT .*pull mn01", out)


def test_pulled_weights_make_the_encoder_ready_and_fast_to_ask(cache, avshot):
    code, out, err = avshot("encoders", "pull", "mn01", "--from", cache)
    assert code == 0, err
    assert torch.load(out.strip(), weights_only=True).keys() == MobileNet(0.1, 527).state_dict().keys()
    found = listed(avshot, "--measure")
    assert found["efficientat:mn01", "sound"]["here"] == "ready"
    for key in (("efficientat:mn01", "sound"), ("pixels", "picture"), ("wordllama", "text")):
        assert found[key]["speed"] > 0
    assert found["clip:...", "picture"]["speed"] is None


def test_what_cannot_be_pulled_is_a_sentence(cache, avshot, tmp_path):
    code, _, err = avshot("encoders", "pull", "mn1")
    assert code == 2
    assert "Did you mean 'mn01'" in err
    (tmp_path / "other.pt").write_bytes(b"other")
    code, _, err = avshot("encoders", "pull", "mn01", "--from", tmp_path / "other.pt")
    assert code == 2
    assert "its sha256 differs" in err
    write(tmp_path / "a.mp4", np.zeros((5, 32, 32, 3), np.uint8), 5)
    code, _, err = avshot("extract", tmp_path / "a.mp4", "--audio", "efficientat:mn01", "--visual", "")
    assert code == 2
    assert "avshot encoders pull mn01" in err


def test_a_package_that_is_broken_is_listed_with_the_reason(cache, avshot, monkeypatch):
    from avshot.registry import EXTRACTORS, Shelf

    def broken(self, name, base, *, of=""):
        if name == "logmel":
            raise ValueError("logmel cannot be loaded")
        return whole(self, name, base, of=of)

    whole = Shelf.get_class
    monkeypatch.setattr(Shelf, "get_class", broken)
    assert EXTRACTORS.names()
    assert listed(avshot)["logmel", ""]["here"] == "logmel cannot be loaded"
