"""Average precision against scikit-learn and a loop over thresholds, accuracy against antonyms by hand, priors."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from avshot.metrics.priors import NAMES, priors
from avshot.metrics.retrieval import against_antonym, antonym_accuracy, average_precision, mean_average_precision

COUNTS = Path(__file__).parent.parent / "data" / "official" / "adverbs" / "air_counts.csv"
ANTONYMS = (("finely", "coarsely"), ("completely", "partially"), ("quickly", "slowly"), ("gently", "vigorously"))
ANTONYMS += (("loosely", "tightly"),)


def drawn(seed, clips, adverbs, levels):
    """Scores with many ties, and a label for each clip."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (clips, adverbs)) / 4
    return torch.from_numpy(scores), torch.from_numpy(rng.integers(0, adverbs, clips))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 7), st.integers(1, 9))
def test_average_precision_is_that_of_scikit_learn_ties_included(seed, clips, adverbs, levels):
    scores, labels = drawn(seed, clips, adverbs, levels)
    positive = torch.nn.functional.one_hot(labels, adverbs).bool()
    found = average_precision(scores, positive)
    for column in range(adverbs):
        if positive[:, column].any():
            expected = average_precision_score(positive[:, column].numpy(), scores[:, column].numpy())
            assert found[column] == pytest.approx(expected, abs=1e-12)
        else:
            assert found[column].isnan()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 9))
def test_neither_the_order_of_clips_nor_that_of_adverbs_counts(seed, clips, levels):
    scores, labels = drawn(seed, clips, 4, levels)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(clips))
    turned = torch.tensor([2, 0, 3, 1])
    place = turned.argsort()
    assert mean_average_precision(scores[order], labels[order]) == pytest.approx(mean_average_precision(scores, labels))
    assert mean_average_precision(scores[:, turned], place[labels]) == pytest.approx(
        mean_average_precision(scores, labels)
    )


def test_means_weight_adverbs_by_their_clips_or_not():
    scores = torch.tensor([[3.0, 0.0, 9.0], [2.0, 1.0, 9.0], [1.0, 2.0, 9.0]])
    # adverb 0: clips 0 and 2 at places 1 and 3, (1 + 2/3) / 2; adverb 1: clip 1 at place 2; adverb 2 has no clip
    weighted, plain = mean_average_precision(scores, torch.tensor([0, 1, 0]))
    assert weighted == pytest.approx((2 * 5 / 6 + 1 / 2) / 3)
    assert plain == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert mean_average_precision(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)) == (None, None)
    assert average_precision(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool)).isnan().all()


def test_a_candidate_that_is_none_comes_last():
    scores = torch.tensor([[-torch.inf, 1.0], [0.0, 0.0]])
    assert average_precision(scores, torch.tensor([[True, False], [False, True]])).tolist() == [0.5, 0.5]


def test_antonyms_by_hand():
    opposite = torch.tensor([1, 0, -1])
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.1, 0.2, 0.9], [0.3, 0.7, 0.0]])
    labels = torch.tensor([0, 0, 1, 2, 0])
    whole, half = against_antonym(scores, labels, opposite)
    assert whole[[0, 1, 2, 4]].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert half[[0, 1, 2, 4]].tolist() == [1.0, 0.5, 0.5, 0.0]
    assert whole[3].isnan()
    assert antonym_accuracy(whole, labels) == pytest.approx((0.5, (2 / 3 + 0) / 2))
    assert antonym_accuracy(half, labels) == pytest.approx((0.5, (0.5 + 0.5) / 2))
    assert antonym_accuracy(torch.tensor([torch.nan]), torch.tensor([2])) == (None, None)


def test_priors_by_hand():
    counts, action, adverb = torch.tensor([3, 1, 0, 0, 2]), torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 0])
    found = priors(counts, action, adverb, 3, 2)
    assert list(found) == list(NAMES)
    assert found["priors"].tolist() == [[3, 1], [0, 0], [2, 0]]
    assert found["p(adverb | action)"].tolist() == [[0.75, 0.25], [0, 0], [1, 0]]
    spread = [5 / 6, 1 / 6]
    smoothed = [[(3 + spread[0]) / 5, (1 + spread[1]) / 5], spread, [(2 + spread[0]) / 3, spread[1] / 3]]
    assert torch.allclose(found["p smoothed"], torch.tensor(smoothed, dtype=torch.float64))
    assert torch.allclose(found["p(adverb)"], torch.tensor([spread] * 3, dtype=torch.float64))
    assert all(not table.sum() for table in priors(torch.zeros(5), action, adverb, 3, 2).values())


def test_the_counts_of_air_give_the_published_priors_and_better_ones():
    rows = list(csv.DictReader(COUNTS.read_text(encoding="utf-8").splitlines()))
    adverbs = [name for name in rows[0] if name not in ("fold", "action")]
    place = {name: i for i, name in enumerate(adverbs)}
    opposite = torch.full((len(adverbs),), -1)
    for one, two in ANTONYMS:
        opposite[place[one]], opposite[place[two]] = place[two], place[one]
    table = {
        fold: torch.tensor([[int(row[name]) for name in adverbs] for row in rows if row["fold"] == fold])
        for fold in ("train", "test")
    }
    actions = len(table["train"])
    assert (actions, table["train"].sum(), table["test"].sum()) == (48, 5602, 1401)
    every = torch.cartesian_prod(torch.arange(actions), torch.arange(len(adverbs)))
    found = priors(table["train"].flatten(), *every.T, actions, len(adverbs))
    clips = every.repeat_interleave(table["test"].flatten(), dim=0)
    numbers = {}
    for name, scores in found.items():
        of_clip = scores[clips[:, 0]]
        whole, _ = against_antonym(of_clip, clips[:, 1], opposite)
        numbers[name] = (*mean_average_precision(of_clip, clips[:, 1]), *antonym_accuracy(whole, clips[:, 1]))
    assert numbers["priors"] == pytest.approx((0.491, 0.263, 0.854, 0.5317), abs=6e-4)  # thesis Table 6.2
    assert numbers["p(adverb | action)"] == pytest.approx((0.6568, 0.3242, 0.8544, 0.5317), abs=6e-5)
    assert numbers["p smoothed"] == pytest.approx((0.6568, 0.3244, 0.8544, 0.5317), abs=6e-5)
    assert numbers["p(adverb)"] == pytest.approx((0.3350, 0.1000, 0.8351, 0.5), abs=6e-5)
