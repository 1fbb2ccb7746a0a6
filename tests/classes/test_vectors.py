"""Word-vector files of every format, made by the test; and the released dictionaries."""

import gzip
import struct

import numpy as np
import pytest
import torch

from avshot.classes import vector_files
from avshot.classes.embed import create_text_encoder, embed_classes

WORDS = {
    "playing": [1, 0, 0, 0],
    "flute": [0, 2, 0, 0],
    "guitar": [0, 1, 1, 0],
    "dog": [0, 0, 0, 3],
    "Paris": [1, 1, 1, 1],
    "air_guitar": [0, 0, 1, 0],
    "naïve": [1, 2, 3, 4],
    "zero": [0, 0, 0, 0],
}


def text_file(path, header, end="\n"):
    lines = [f"{word} {' '.join(map(str, map(float, v)))}" for word, v in WORDS.items()]
    path.write_text((f"{len(WORDS)} 4\n" if header else "") + end.join(lines) + end, encoding="utf-8")


def binary_file(path, newline=b"\n"):
    entries = [word.encode() + b" " + struct.pack("<4f", *v) + newline for word, v in WORDS.items()]
    path.write_bytes(f"{len(WORDS)} 4\n".encode() + b"".join(entries))


@pytest.fixture(params=["word2vec text", "glove", "fasttext", "binary", "binary without newlines", "gzip"])
def vector_file(request, tmp_path):
    path = tmp_path / "words.any"
    if request.param == "word2vec text":
        text_file(path, header=True)
    elif request.param == "glove":
        text_file(path, header=False)
    elif request.param == "fasttext":
        text_file(path, header=True, end=" \n")
    elif request.param == "gzip":
        binary_file(tmp_path / "plain")
        path = tmp_path / "words.bin.gz"
        path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    else:
        binary_file(path, newline=b"" if "without" in request.param else b"\n")
    return str(path)


def test_every_format_gives_the_mean_of_unit_vectors(vector_file):
    encoder = create_text_encoder(f"vectors:{vector_file}")
    assert encoder.dim == 4
    got = encoder.encode(["playing flute", "Playing the Guitar", "paris", "air guitar", "naïve dog"])
    half = 0.5**0.5
    naive = np.array([1, 2, 3, 4]) / 30**0.5 + [0, 0, 0, 1]
    wanted = [
        [half, half, 0, 0],  # unit vectors: the longer one does not win
        np.array([1, half, half, 0]) / 2**0.5,  # small letters; "the" is left out
        [0.5, 0.5, 0.5, 0.5],  # capitalised
        [0, 0, 1, 0],  # an entry for the whole text wins
        naive / np.linalg.norm(naive),
    ]
    assert np.allclose(got.numpy(), np.array(wanted), atol=1e-6)
    assert torch.equal(encoder.encode(["dog"]), torch.tensor([[0.0, 0, 0, 1]]))
    assert encoder.encode([]).shape == (0, 4)


def test_blocks_may_end_anywhere(tmp_path, monkeypatch):
    binary_file(tmp_path / "w")
    encoder = create_text_encoder(f"vectors:{tmp_path / 'w'}")
    whole = encoder.encode(list(WORDS)[:-1])
    for block in (1, 3, 7, 20, 41):
        monkeypatch.setattr(vector_files, "_BLOCK", max(block, 1))
        again = object.__new__(type(encoder))
        again.__dict__.update(encoder.__dict__, _found={}, _sought=set())
        assert torch.equal(again.encode(list(WORDS)[:-1]), whole)


def test_missing_words(tmp_path):
    text_file(tmp_path / "w", header=False)
    encoder = create_text_encoder(f"vectors:{tmp_path / 'w'}")
    with pytest.raises(ValueError, match=r"'playing sitar' \(no vector for sitar\)"):
        encoder.encode(["playing flute", "playing sitar"])
    with pytest.raises(ValueError, match=r"'of the' \(no word with a vector\)"):
        encoder.encode(["of the"])
    with pytest.raises(ValueError, match=r"'zero' \(no vector for zero\)"):  # a zero vector is no vector
        encoder.encode(["zero"])
    three_of_four = encoder.encode(["playing flute guitar sitar"])
    assert torch.allclose(three_of_four, encoder.encode(["playing flute guitar"]))
    assert torch.allclose(encoder.encode(["dog 7"]), encoder.encode(["dog"]))


def test_only_wanted_words_are_kept(tmp_path):
    text_file(tmp_path / "w", header=True)
    encoder = create_text_encoder(f"vectors:{tmp_path / 'w'}")
    encoder.encode(["dog"])
    assert set(encoder._found) == {"dog"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin like word vectors"),
        (b"hello world\nfoo bar\n", "does not begin like word vectors"),
        (bytes.fromhex("ba164f2f") + b"\x0c\x00", "fastText's own binary model"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        create_text_encoder(f"vectors:{tmp_path / 'w'}")


def test_truncated_and_damaged_files_are_refused(tmp_path):
    binary_file(tmp_path / "w")
    (tmp_path / "cut").write_bytes((tmp_path / "w").read_bytes()[:-9])
    with pytest.raises(ValueError, match="ends in the middle of a vector"):
        create_text_encoder(f"vectors:{tmp_path / 'cut'}").encode(["dog"])
    (tmp_path / "bad").write_text("cat 1 2 3 4\ndog 1 2 x 4\n")
    with pytest.raises(ValueError, match="bad line 2 holds 'x' where a number should be"):
        create_text_encoder(f"vectors:{tmp_path / 'bad'}").encode(["dog"])
    with pytest.raises(FileNotFoundError):
        create_text_encoder(f"vectors:{tmp_path / 'none'}")


def test_dictionary_is_joined_by_name_and_names_what_is_near(tmp_path):
    entries = {"Cut Kitchen": np.array([3, 4.0]), "Playing Flute": np.array([0, 1.0], dtype=np.float32)}
    np.save(tmp_path / "d.npy", np.array(entries, dtype=object), allow_pickle=True)
    spec = f"vectors:{tmp_path / 'd.npy'}"
    classes = embed_classes(["PlayingFlute", "cut_kitchen"], [spec])
    assert torch.allclose(classes.text["vectors"], torch.tensor([[0.0, 1.0], [0.6, 0.8]]))
    with pytest.raises(ValueError, match=r"'CuttingInKitchen: cutting in kitchen' \(nearest: 'Cut Kitchen'\)"):
        embed_classes(["PlayingFlute", "CuttingInKitchen"], [spec])
    classes = embed_classes(["CuttingInKitchen"], [spec], phrases={"CuttingInKitchen": "Cut Kitchen"})
    assert torch.allclose(classes.text["vectors"], torch.tensor([[0.6, 0.8]]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((2, 3)), "expected a dictionary"),
        (np.array({}, dtype=object), "expected a dictionary"),
        (np.array({"a": np.ones(2), "b": np.ones(3)}, dtype=object), "3 numbers for 'b' and 2 for the first"),
        (np.array({"a b": np.ones(2), "A_B": np.ones(2)}, dtype=object), "differ in case or spaces alone"),
    ],
)
def test_other_dictionaries_are_refused(tmp_path, value, message):
    np.save(tmp_path / "d.npy", value, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        create_text_encoder(f"vectors:{tmp_path / 'd.npy'}")


@pytest.mark.parametrize(("file", "count"), [("ucf", 101), ("activity", 200), ("vggsound", 309)])
def test_released_dictionaries(real_data, file, count):
    encoder = create_text_encoder(f"vectors:{real_data / 'text' / f'word_embeddings_{file}_normed.npy'}")
    assert encoder.dim == 300
    assert len(encoder._texts) == count
    names = list(encoder._texts.values())
    assert torch.equal(encoder.encode(names[::-1]).flip(0), encoder.encode(names))
