"""Readers beside loops over steps and names."""

import math
import pickle

import pytest
import torch
from made_taggers import Known, Looker, Loud, Quick

import joint_models
from avshot.features.extractor import create_extractor
from avshot.untrained.readers import BACKGROUND, JointReader, LabelReader, first_word
from avshot.untrained.resemblance import LEAST, Reading, weights

READING = Reading(temperature=0.3, words=True, slope=1.5, offset=4.0)
NAMES = ("dog barking", "rain")


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr("avshot.untrained.readers.create_text_encoder", lambda spec: Known())


def logits(count, dim, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_names_are_the_geometric_mean_of_taggers(known):
    taggers = (Loud(), Quick())
    reader = LabelReader.of(taggers, NAMES, "known", READING)
    vectors = logits(4, 5)
    got = reader(vectors)
    each = [weights(NAMES, tagger.labels, Known(), READING) for tagger in taggers]
    for i, row in enumerate(vectors.tolist()):
        for c in range(2):
            scores = [
                math.log(sum(sigmoid(x) * float(w) for x, w in zip(part, weight[c], strict=True)) + LEAST)
                for part, weight in zip((row[:2], row[2:]), each, strict=True)
            ]
            assert float(got[i, c]) == pytest.approx(sigmoid(1.5 * sum(scores) / 2 + 4.0), abs=1e-5)


def test_exclusive_labels_share_their_probability(known):
    reader = LabelReader.of((Looker(),), ("dog",), "known", Reading(1e-3, True, 1.0, 0.0))
    got = reader(torch.tensor([[2.0, 2.0], [5.0, 0.0]]))  # "dog" is a word of the first label
    expected = [p / (1 + p) for p in (0.5, sigmoid(5))]  # the sigmoid of the logarithm of p
    assert got[:, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_labels_are_read_as_they_are():
    reader = LabelReader.of_labels((Loud(), Quick()), ("dog", "rain", "guitar", "tench"))
    vectors = logits(3, 5)
    dog, rain, rain_too, guitar, dog_too = vectors.sigmoid().T
    expected = torch.stack([(dog * dog_too).sqrt(), (rain * rain_too).sqrt(), guitar, 0 * dog], dim=1)
    torch.testing.assert_close(reader(vectors), expected)


def test_labels_of_one_first_word_are_added(monkeypatch):
    monkeypatch.setattr(Looker, "labels", ("crane, bird", "Crane (machine)", "dog"))
    got = LabelReader.of_labels((Looker(),), ("crane", "dog"))(torch.tensor([[1.0, 2.0, 0.0]]))
    torch.testing.assert_close(got.sum(dim=1), torch.ones(1))
    monkeypatch.setattr(Loud, "labels", ("crane, bird", "crane"))  # each of its own: no more than certain
    assert LabelReader.of_labels((Loud(),), ("crane",))(torch.tensor([[9.0, 9.0]])).item() == 1


def test_no_steps_give_no_probabilities(known):
    assert LabelReader.of((Loud(),), NAMES, "known", READING)(torch.zeros(0, 2)).shape == (0, 2)
    assert LabelReader.of_labels((Loud(),), NAMES)(torch.zeros(0, 2)).shape == (0, 2)


def test_readers_pickle(known):
    reader = LabelReader.of((Loud(), Quick()), NAMES, "known", READING)
    torch.testing.assert_close(pickle.loads(pickle.dumps(reader))(logits(3, 5)), reader(logits(3, 5)))


@pytest.mark.parametrize(("label", "word"), [("goldfish, Carassius", "goldfish"), ("Bark", "Bark"), (",", ",")])
def test_first_word(label, word):
    assert first_word(label) == word


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return create_extractor("siglip:" + joint_models.save_siglip(tmp_path_factory.mktemp("siglip")))


@pytest.fixture(scope="module")
def xclip(tmp_path_factory):
    return create_extractor("xclip:" + joint_models.save_xclip(tmp_path_factory.mktemp("xclip")))


def test_names_with_a_bias_stand_for_themselves(siglip):
    from avshot.classes.embed import create_text_encoder

    reader = JointReader.of(siglip, ("dog", "rain"))
    scale, bias = siglip.scale_and_bias()
    assert (reader.count, len(reader.text), reader.bias) == (2, 2, bias)
    vectors = torch.nn.functional.normalize(logits(3, reader.text.shape[1]), dim=1)
    text = create_text_encoder(siglip.text_spec()).encode(["dog", "rain"])
    for i in range(3):
        for c in range(2):
            wanted = sigmoid(scale * float(vectors[i] @ text[c]) + bias)
            assert float(reader(vectors)[i, c]) == pytest.approx(wanted, abs=1e-5)
    alone = JointReader.of(siglip, ("rain",))(vectors)
    torch.testing.assert_close(alone[:, 0], reader(vectors)[:, 1])


def test_names_without_a_bias_compete_with_what_is_usual(xclip):
    reader = JointReader.of(xclip, ("dog", "rain"))
    assert (reader.count, len(reader.text), reader.bias) == (2, 2 + len(BACKGROUND), None)
    vectors = torch.nn.functional.normalize(logits(3, reader.text.shape[1]), dim=1)
    got = reader(vectors)
    powers = torch.exp(reader.scale * vectors @ reader.text.T)
    torch.testing.assert_close(got, powers[:, :2] / powers.sum(dim=1, keepdim=True))
    assert (got.sum(dim=1) < 1).all()


def test_a_name_of_the_background_is_no_rival_of_itself_however_it_is_spelt(xclip):
    reader = JointReader.of(xclip, ("Speech", "Background_Noise"))
    assert len(reader.text) == len(BACKGROUND)
