"""Vectors that are kept: made once, made again where they cannot be read, and never of other texts."""

import pytest
import torch
from safetensors.torch import save_file

from avshot.classes import kept
from avshot.classes.encoder import TextEncoder
from avshot.classes.kept import encode_kept


class Counted(TextEncoder):
    """Counts how often it is asked; `spec` says whose weights it pretends to have."""

    dim = 2

    def __init__(self, spec="wordllama"):
        self.spec = self.name = spec
        self.asked = 0

    def encode(self, texts):
        self.asked += 1
        return torch.tensor([[float(len(text)), float(self.asked)] for text in texts]).reshape(-1, 2)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "version", lambda package: "1.0")
    return tmp_path / "cache" / "texts"


def test_texts_are_encoded_once(cache):
    encoder = Counted()
    first = encode_kept(encoder, ["dog", "rain"])
    torch.testing.assert_close(encode_kept(encoder, ("dog", "rain")), first)
    torch.testing.assert_close(encode_kept(Counted(), ["dog", "rain"]), first)
    assert encoder.asked == 1
    assert len(list(cache.iterdir())) == 1


def test_other_texts_orders_encoders_and_versions_are_others(cache, monkeypatch):
    encoder = Counted()
    for texts in (["dog"], ["dog", "rain"], ["rain", "dog"], ["dograin"], []):
        assert len(encode_kept(encoder, texts)) == len(texts)
    encode_kept(Counted("minilm"), ["dog"])
    monkeypatch.setattr(kept, "version", lambda package: "1.1")
    encode_kept(encoder, ["dog"])
    assert encoder.asked == 6
    assert len(list(cache.iterdir())) == 7


@pytest.mark.parametrize("damage", ["rubbish", "shape", "name", "cut"])
def test_what_cannot_be_read_is_made_again(cache, damage):
    encoder = Counted()
    encode_kept(encoder, ["dog"])
    (path,) = cache.iterdir()
    if damage == "rubbish":
        path.write_bytes(b"no tensors")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        vectors = torch.zeros(1, 3) if damage == "shape" else torch.zeros(1, 2)
        save_file({"vectors" if damage == "shape" else "other": vectors}, path)
    assert encode_kept(encoder, ["dog"]).tolist() == [[3, 2]]
    assert encode_kept(encoder, ["dog"]).tolist() == [[3, 2]]  # and is kept again
    assert encoder.asked == 2


def test_weights_that_may_change_are_not_kept(cache):
    encoder = Counted("vectors:/my/words.csv")
    for _ in range(2):
        encode_kept(encoder, ["dog"])
    assert encoder.asked == 2
    assert not cache.exists()


def test_a_library_without_a_version_is_not_kept(tmp_path, monkeypatch):
    cache = tmp_path / "texts"
    monkeypatch.setenv("AVSHOT_CACHE", str(tmp_path))
    monkeypatch.setitem(kept.PACKAGES, "wordllama", "no-such-package")
    encoder = Counted()
    encode_kept(encoder, ["dog"])
    assert encoder.asked == 1
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_to_is_done_without(cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where a folder belongs")
    assert encode_kept(Counted(), ["dog"]).tolist() == [[3, 1]]
