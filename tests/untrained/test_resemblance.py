"""The reading of labels beside loops over names, labels and words."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_taggers import Known

from avshot.untrained.resemblance import LEAST, READINGS, Reading, conse, read, resemblance, weights, words_of

NAMES = ["dog barking", "Rain", "PlayingGuitar"]
LABELS = ["dog", "rain", "guitar, string", "Bark (of a dog)", "a, b, c"]
PLAIN = Reading(temperature=0.1, words=False, slope=1.0, offset=0.0)
BY_WORDS = Reading(temperature=0.1, words=True, slope=1.0, offset=0.0)


def cosine(a, b):
    return float(Known().encode([a])[0] @ Known().encode([b])[0])


def expected_weights(labels, reading):
    rows = []
    for name in ("dog barking", "rain", "playing guitar"):  # as they are spoken
        alike = [
            max(cosine(name, word) for word in words_of(label)) if reading.words else cosine(name, label)
            for label in labels
        ]
        powers = [math.exp(value / reading.temperature) for value in alike]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows)


@pytest.mark.parametrize("reading", [PLAIN, BY_WORDS])
def test_weights_are_a_softmax_of_cosines(reading):
    got = weights(NAMES, LABELS, Known(), reading)
    torch.testing.assert_close(got, expected_weights(LABELS, reading), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.sum(dim=1), torch.ones(3))


def test_a_name_that_is_a_label_weighs_it_most():
    for words in (False, True):
        alike = resemblance(["rain", "c"], LABELS, Known(), words=words)
        assert alike[0].argmax() == 1
        assert alike[0, 1] == pytest.approx(1, abs=1e-6)
        assert (alike[1, 4] == pytest.approx(1, abs=1e-6)) == words  # "c" is a word of "a, b, c", not the whole


def test_weights_are_flat_where_nothing_is_alike_and_sharp_where_cold():
    same = weights(["rain"], ["dog", "dog", "dog"], Known(), PLAIN)
    torch.testing.assert_close(same, torch.full((1, 3), 1 / 3))
    cold = weights(["rain"], LABELS, Known(), Reading(1e-3, False, 1.0, 0.0))
    torch.testing.assert_close(cold, torch.tensor([[0.0, 1, 0, 0, 0]]))


def test_weights_take_a_spec_as_well():
    pytest.importorskip("wordllama")
    reading = READINGS["wordllama"]
    got = weights(["dog barking"], ["Bark", "Rain"], "wordllama", reading)
    assert got[0, 0] > 0.9


@given(label=st.text(max_size=20))
def test_words_of_a_label(label):
    words = words_of(label)
    assert words  # every label offers something, be it itself
    if words != [label]:
        assert all(word == word.strip() != "" and not set(word) & set(",()") for word in words)
    kept = [c for c in label if c not in ",()" and not c.isspace()]
    if kept:
        assert [c for word in words for c in word if not c.isspace()] == kept


@given(seed=st.integers(0, 99), clips=st.integers(0, 3), labels=st.integers(1, 5), names=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_read_is_the_logarithm_of_a_mean(seed, clips, labels, names):
    generator = torch.Generator().manual_seed(seed)
    told = torch.rand(clips, labels, generator=generator)
    weight = torch.rand(names, labels, generator=generator).softmax(dim=1)
    got = read(told, weight)
    assert got.shape == (clips, names)
    for i in range(clips):
        for c in range(names):
            mean = sum(float(told[i, j]) * float(weight[c, j]) for j in range(labels))
            assert float(got[i, c]) == pytest.approx(math.log(mean + LEAST), abs=1e-4)
            assert float(told[i].min()) - 1e-5 <= math.exp(float(got[i, c])) <= float(told[i].max()) + 1e-5


def test_read_of_nothing_heard_is_finite():
    assert read(torch.zeros(2), torch.ones(1, 2) / 2).tolist() == pytest.approx([math.log(LEAST)])


def test_conse_beside_a_loop():
    generator = torch.Generator().manual_seed(0)
    told = torch.rand(4, 7, generator=generator)
    labels, names = (torch.nn.functional.normalize(torch.randn(n, 5, generator=generator), dim=1) for n in (7, 3))
    got = conse(told, labels, names, likeliest=3)
    for i in range(4):
        best = sorted(range(7), key=lambda j: -told[i, j])[:3]
        mean = sum(told[i, j] * labels[j] for j in best) / sum(told[i, j] for j in best)
        for c in range(3):
            wanted = float(mean @ names[c]) / float(mean.norm())
            assert float(got[i, c]) == pytest.approx(wanted, abs=1e-5)
    torch.testing.assert_close(conse(told, labels, names, likeliest=99), conse(told, labels, names, likeliest=7))


def test_conse_of_nothing_heard_says_nothing():
    got = conse(torch.zeros(1, 3), torch.eye(3), torch.eye(3))
    assert got.tolist() == [[0, 0, 0]]
