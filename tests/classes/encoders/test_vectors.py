"""Word-vector files of every format, made by the test; and the released dictionaries."""

import gzip
import struct
import unicodedata

import numpy as np
import pytest
import torch

from avshot.classes.embed import create_text_encoder, embed_classes
from avshot.classes.encoders import _vector_files as vector_files

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
    assert set(encoder._encoder._found) == {"dog"}


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


def test_an_array_beside_its_names_and_a_zip_of_both_are_the_dictionary(tmp_path):
    names, vectors = ["Cut Kitchen", "rain"], np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    np.save(tmp_path / "d.npy", dict(zip(names, vectors, strict=True)), allow_pickle=True)
    np.save(tmp_path / "plain.npy", vectors)
    (tmp_path / "plain.names.txt").write_text("Cut Kitchen\n\nrain\n")
    np.savez(tmp_path / "both.npz", names=np.array(names), vectors=vectors.astype(np.float64))
    for file in ("d.npy", "plain.npy", "both.npz"):
        encoder = create_text_encoder(f"vectors:{tmp_path / file}")
        assert encoder.encode(["rain", "cut-kitchen"]).tolist() == [
            [0.0, 1.0],
            [pytest.approx(0.6), pytest.approx(0.8)],
        ]


BESIDE = {
    "no names": (None, r"array without names, .* expected a dictionary .*d\.names\.txt"),
    "too few": ("rain\n", "holds 2 vectors and .*names.txt 1 names"),
    "twice": ("rain\nRain\n", "'rain' / 'Rain'"),
    "one line": ("rain,wind\n", "one class name per line"),
    "no word": ("rain\n...\n", "line 2: .*no letter or digit"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_rows_are_never_joined_to_classes_by_position(tmp_path, case):
    names, said = BESIDE[case]
    np.save(tmp_path / "d.npy", np.ones((2, 3)))
    if names is not None:
        (tmp_path / "d.names.txt").write_text(names)
    with pytest.raises(ValueError, match=said):
        create_text_encoder(f"vectors:{tmp_path / 'd.npy'}")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"names": np.array(["a", "b"])}, "arrays names; expected names and vectors"),
        ({"names": np.array(["a"]), "vectors": np.ones((2, 3))}, "2 vectors and names 1 names"),
        ({"names": np.array(["a", "A"]), "vectors": np.ones((2, 3))}, "'a' / 'A'"),
        ({"names": np.array(["a", "b"], object), "vectors": np.ones((2, 3))}, "names is made of Python objects"),
        ({"names": np.array(["a", "b"]), "vectors": np.ones(2)}, r"shape \(2,\); expected class vectors"),
        ({"names": np.array(["a", "b"]), "vectors": np.array([[1, 1], [0, 0]])}, "'b': a vector of zeros"),
        ({"names": np.array(["a", "b"]), "vectors": np.array([[1, 1], [1, np.nan]])}, "'b': numbers that are not"),
        ({"names": np.array(["a", ""]), "vectors": np.ones((2, 3))}, "no letter or digit"),
    ],
)
def test_other_zips_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(ValueError, match=said) as error:
        create_text_encoder(f"vectors:{tmp_path / 'd.npz'}")
    assert str(tmp_path / "d.npz") in str(error.value)


def encoder_of(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return create_text_encoder(f"vectors:{path}")


PLAIN = "dog 1 2 3\ncat 4 5 6\nna\u00efve 7 8 9\nx y 1 1 1\n"
WANTED = (
    np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]) / np.linalg.norm([[1, 2, 3], [4, 5, 6], [7, 8, 9]], axis=1)[:, None]
)
WRITTEN = {
    "glove": PLAIN,
    "header": f"4 3\n{PLAIN}",
    "mark": f"\ufeff{PLAIN}",
    "mark and header": f"\ufeff4 3\n{PLAIN}",
    "tabs": f"4\t3\n{PLAIN}".replace(" ", "\t"),
    "tabs without header": PLAIN.replace(" ", "\t"),
    "several spaces": f"4  3 \n{PLAIN}".replace(" ", "   "),
    "lines of Windows": f"\ufeff4 3\n{PLAIN}".replace("\n", "\r\n"),
    "space at the ends": f"4 3\n{PLAIN}".replace("\n", " \n"),
    "no last line feed": PLAIN.rstrip(),
    "empty lines": f"4 3\n{PLAIN}".replace("\n", "\n\n"),
    "Latin-1": PLAIN.encode("latin-1"),
    "Latin-1 with header": f"4 3\n{PLAIN}".encode("latin-1"),
    "accents apart": unicodedata.normalize("NFD", PLAIN),
    "exponents": PLAIN.replace(" 1", " 1.0e+00").replace(" 4", " .4E1"),
    "more words than promised": f"3 3\n{PLAIN}",
}


@pytest.mark.parametrize("case", WRITTEN)
@pytest.mark.parametrize("packed", [False, True])
def test_however_it_is_written(tmp_path, case, packed):
    content = WRITTEN[case].encode() if isinstance(WRITTEN[case], str) else WRITTEN[case]
    path = tmp_path / ("v.txt.gz" if packed else "v.txt")
    encoder = encoder_of(path, gzip.compress(content) if packed else content)
    assert encoder.dim == 3
    assert np.allclose(encoder.encode(["dog", "cat", "na\u00efve"]).numpy(), WANTED, atol=1e-6)


WRONG = {
    "nan": ("dog 1 2 nan\n", "line 1 holds 'nan'"),
    "inf in line 3": ("cat 1 2 3\nox 1 2 3\ndog 1 inf 3\n", "line 3 holds 'inf'"),
    "beyond float32": ("cat 1 2 3\ndog 1 1e39 3\n", "line 2 holds '1e39', no finite"),
    "comma": ("cat 1 2 3\ndog 1 2,5 3\n", "line 2 holds '2,5' .*write decimals with a point"),
    "commas everywhere": ("cat 1,0 2,0 3,0\ndog 1,0 2,5 3,0\n", "line 1 holds '1,0' .*write decimals with a point"),
    "commas and a header": ("2 3\ncat 1,0 2,0 3,0\ndog 1,0 2,5 3,0\n", "line 2 holds '1,0' .*with a point"),
    "a word": ("cat 1 2 3\ndog 1 x 3\n", "line 2 holds 'x'"),
    "short": ("cat 1 2 3\ndog 1 2\n", "line 2 has 2 numbers for 'dog'; expected 3"),
    "long": ("cat 1 2 3\ndog 1 2 3 4\n", "line 2 has 4 numbers for 'dog'; expected 3"),
    "other width": ("2 4\ncat 1 2 3\ndog 1 2 3\n", "line 2 has 3 numbers for 'cat'; expected 4"),
    "fewer words": ("3 3\ncat 1 2 3\ndog 1 2 3\n", "holds 2 words and its first line promises 3"),
    "endless promise": ("999999999999 3\ncat 1 2 3\ndog 1 2 3\n", "promises 999999999999"),
    "endless width": ("2 999999999\ncat 1 2 3\n", "2 words of 999999999 numbers, which cannot be"),
    "digits": ("2 99999999999999999999999\ncat 1 2 3\n", "does not begin like word vectors"),
    "no width": ("2 0\ncat 1 2 3\n", "2 words of 0 numbers"),
    "below 0": ("-2 3\ncat 1 2 3\n", "-2 words"),
    "one number": ("2\ncat 1 2 3\n", "does not begin"),
    "commas between": ("cat,1,2,3\ndog,1,2,3\n", "does not begin like word vectors.*'cat,1,2,3'"),
    "old Mac": ("cat 1 2 3\rdog 1 2 3\r", "line 1 has|line 1 holds"),
    "two bytes a letter": ("cat 1 2 3\n".encode("utf-16"), "16 bits a letter"),
    "endless line": (b"cat 1 2 3\n" + b"dog" + b" 1" * 10**6, "line 2 is longer than 3 numbers can be"),
    "endless first line": (b"a" * 10**7, "does not begin like word vectors"),
    "cut gzip": (gzip.compress(PLAIN.encode() * 99)[:60], "not a whole gzip file"),
    "broken gzip": (gzip.compress(PLAIN.encode() * 99)[:30] + b"x" * 40, "not a whole gzip file"),
    "broken gzip header": (b"\x1f\x8bxxxxxxxx", "not a whole gzip file"),
    "binary cut": (b"2 3\ncat " + struct.pack("<3f", 1.5, 2.5, 3.5) + b"\ndog \0\0", "ends in the middle of a vector"),
    "binary with nan": (b"1 3\ndog " + struct.pack("<3f", 1.5, np.nan, 3.5), "nan or inf in the vector of 'dog'"),
    "binary with more": (
        b"1 3\n" + (b"dog " + struct.pack("<3f", 1.5, 2.5, 3.5)) * 2,
        "holds 2 words and .* promises 1",
    ),
    "binary with fewer": (
        b"3 3\n" + (b"dog " + struct.pack("<3f", 1.5, 2.5, 3.5)) * 2,
        "holds 2 words and .* promises 3",
    ),
    "endless word": (b"3 3\ndog " + struct.pack("<3f", 1.5, 2.5, 3.5) + b"x" * 10**7, "a word of more than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_lines_are_named(tmp_path, case):
    content, said = WRONG[case]
    with pytest.raises(ValueError, match=rf"v\.any.*({said})"):
        encoder_of(tmp_path / "v.any", content).encode(["dog"])


def test_words_with_spaces_are_not_taken_for_their_first(tmp_path):
    encoder = encoder_of(tmp_path / "v.txt", "the 1 1 1\nat name@domain.com 9 9 9\nat 1 2 3\n. . . 1 1 1\n")
    assert np.allclose(encoder.encode(["at"]).numpy(), WANTED[:1], atol=1e-6)


@pytest.mark.parametrize("first", [b"\n\n\n?", b" \n0?", b"1\n2?", b"\r\n\t?", b"\0\0\0\n"])
def test_binary_numbers_that_look_like_white_space(tmp_path, first):
    values = first + struct.pack("<2f", 2.5, np.pi)
    encoder = encoder_of(tmp_path / "v.bin", b"2 3\ndog " + values + b"cat " + values[::-1])
    wanted = np.frombuffer(values, "<f4").astype(float)
    assert np.allclose(encoder.encode(["dog"])[0].numpy(), wanted / np.linalg.norm(wanted), atol=1e-6)


def test_large_numbers_have_a_direction(tmp_path):
    encoder = encoder_of(tmp_path / "v.txt", "dog 3e38 3e38\ncat 1e-40 0\n")
    assert np.allclose(encoder.encode(["dog", "cat"]).numpy(), [[0.5**0.5, 0.5**0.5], [1, 0]], atol=1e-4)


def test_a_gzip_file_that_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "_FREE_BYTES", 1 << 20)
    content = gzip.compress(b"cat 1 2 3\n" * 10**6)  # 10 MB from 20 kB
    with pytest.raises(ValueError, match=r"v\.gz unpacks to more than 100 times its size"):
        encoder_of(tmp_path / "v.gz", content).encode(["dog"])


@pytest.mark.parametrize(("file", "count"), [("ucf", 101), ("activity", 200), ("vggsound", 309)])
def test_released_dictionaries(real_data, file, count):
    encoder = create_text_encoder(f"vectors:{real_data / 'text' / f'word_embeddings_{file}_normed.npy'}")
    assert encoder.dim == 300
    assert len(encoder._encoder._texts) == count
    names = list(encoder._encoder._texts.values())
    assert torch.equal(encoder.encode(names[::-1]).flip(0), encoder.encode(names))


def test_a_sign_that_tells_two_words_apart_belongs_to_the_word(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("c 1 0 0\nc# 0 1 0\nc++ 0 0 1\nr&b 1 1 0\n")
    found = create_text_encoder(f"vectors:{path}").encode(["C", "c#", "C++", "R&B"])
    wanted = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5**0.5, 0.5**0.5, 0]])
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="F#"):
        create_text_encoder(f"vectors:{path}").encode(["F#"])
