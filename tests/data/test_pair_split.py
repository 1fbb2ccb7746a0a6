"""The rule of unseen compositions, looked at by the checker, and what the checker finds in splits that break it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.data.pair_audit import PairRow, PairSplit, audit_pairs, broken, split_of
from avshot.data.pair_split import PairRule, split_pairs, units_of
from avshot.data.pairs import both_ways
from avshot.types import Clip
from synthetic import synthetic_dataset

ADVERBS = ("slowly", "quickly", "up", "down", "again")
ANTONYMS = both_ways({"slowly": "quickly", "up": "down"})


def clips_of(seed, actions, share, most=7):
    """Clips of some of all pairs, sometimes several adverbs for a video."""
    rng = np.random.default_rng(seed)
    pair_of, clips = {}, []
    for action in range(actions):
        for adverb in ADVERBS:
            if rng.random() < share:
                label = f"do{action} {adverb}"
                pair_of[label] = (f"do{action}", adverb)
                for i in range(int(rng.integers(1, most))):
                    video = f"{action}-{adverb}-{i}"
                    clips.append(Clip(video, label=label))
    return clips, pair_of


def as_split(clips, pair_of, fold_of):
    parts = {"train": "train", "val_seen": "train", "unlabelled": "unlabelled", "test_unseen": "test"}
    rows = {"train": [], "test": [], "unlabelled": []}
    for clip in clips:
        if fold_of.get(clip.id) in parts:
            rows[parts[fold_of[clip.id]]].append(PairRow(clip.key, *pair_of[clip.label]))
    return PairSplit(rows, ANTONYMS, True)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.3, 1.0), st.floats(0.2, 0.7), st.integers(0, 3))
def test_the_rule_is_kept_whatever_pairs_there_are(seed, actions, share, unseen, draw):
    clips, pair_of = clips_of(seed, actions, share)
    if not clips:
        return
    found = split_pairs(clips, pair_of, ANTONYMS, PairRule(unseen=unseen, seed=draw))
    assert broken(as_split(clips, pair_of, found.fold_of)) == []
    assert set(found.fold_of) == {clip.id for clip in clips}
    sides = {label: {found.fold_of[c.id] for c in clips if c.label == label} for label in pair_of}
    assert all(side == {"train"} or "train" not in side for side in sides.values())
    assert all("test_unseen" in side for label, side in sides.items() if label in found.unseen_test)
    units = units_of(pair_of, ANTONYMS)
    held = {unit for unit, labels in units.items() if set(labels) & set(found.unseen_test)}
    assert all(set(units[unit]) <= set(found.unseen_test) for unit in held)


def test_words_of_two_units_are_on_both_sides_of_a_full_table():
    clips, pair_of = clips_of(3, 8, 1.0)
    found = split_pairs(clips, pair_of, ANTONYMS, PairRule())
    for word in (0, 1):
        sides = {True: set(), False: set()}
        for label, pair in pair_of.items():
            sides[label in found.unseen_test].add(pair[word])
        assert sides[True] == sides[False]
    assert len(found.unseen_test) / len(pair_of) == pytest.approx(0.5, abs=0.05)
    assert found.warnings == ()
    by_fold = Counter((clip.label, found.fold_of[clip.id]) for clip in clips)
    for label in found.unseen_test:
        assert 0 <= by_fold[label, "test_unseen"] - by_fold[label, "unlabelled"] <= 1


def test_seen_compositions_alone_and_validation():
    clips, pair_of = clips_of(1, 6, 1.0, most=30)
    found = split_pairs(clips, pair_of, ANTONYMS, PairRule(unseen=0.0, test=0.2, val=0.1))
    assert set(found.fold_of.values()) == {"train", "val_seen", "test_seen"}
    trains = {clip.label for clip in clips if found.fold_of[clip.id] == "train"}
    assert trains == set(pair_of)
    assert Counter(found.fold_of.values())["test_seen"] / len(clips) == pytest.approx(0.2, abs=0.02)


def test_order_does_not_count_and_the_seed_does():
    clips, pair_of = clips_of(2, 8, 0.8)
    one = split_pairs(clips, pair_of, ANTONYMS, PairRule()).fold_of
    assert one == split_pairs(clips[::-1], dict(reversed(pair_of.items())), ANTONYMS, PairRule()).fold_of
    assert one != split_pairs(clips, pair_of, ANTONYMS, PairRule(seed=1)).fold_of


def test_a_video_that_trains_is_not_tested_with_another_adverb():
    clips, pair_of = clips_of(4, 6, 1.0)
    first = split_pairs(clips, pair_of, ANTONYMS, PairRule())
    trained = next(clip for clip in clips if first.fold_of[clip.id] == "train")
    tested = next(clip for clip in clips if first.fold_of[clip.id] == "test_unseen")
    other = [replace(c, stored_as=trained.id) if c is tested else c for c in clips]
    found = split_pairs(other, pair_of, ANTONYMS, PairRule())
    lost = {clip.id for clip in clips} - set(found.fold_of)
    assert lost <= {tested.id}
    if lost:
        assert "left out" in found.warnings[-1]
    assert broken(as_split(other, pair_of, found.fold_of)) == []


def test_words_with_too_few_pairs_are_named():
    pair_of = {"cut slowly": ("cut", "slowly"), "cut quickly": ("cut", "quickly"), "stir up": ("stir", "up")}
    pair_of |= {"cut up": ("cut", "up")}
    clips = [Clip(f"{label}-{i}", label=label) for label in pair_of for i in range(3)]
    found = split_pairs(clips, pair_of, ANTONYMS, PairRule())
    assert any("2 adverbs have no unseen pair" in said and "quickly, slowly" in said for said in found.warnings)


def test_rules_that_make_no_sense():
    for wrong, told in (
        ({"unseen": 1.2}, "expected a share from 0 to 1"),
        ({"test": 0.6, "val": 0.5}, "leave nothing to train"),
        ({"unseen": 0.0}, "Nothing would be tested"),
    ):
        with pytest.raises(ValueError, match=told):
            PairRule(**wrong)


def test_the_checker_says_what_is_broken():
    train = [PairRow("1", "cut", "slowly"), PairRow("2", "stir", "up"), PairRow("2", "stir", "up")]
    test = [PairRow("3", "cut", "quickly"), PairRow("2", "stir", "up"), PairRow("4", "pour", "again")]
    split = PairSplit({"train": train, "test": test}, ANTONYMS, True)
    assert broken(split) == [
        "1 pairs of the test train: stir up.",
        "1 pairs of the test train with the antonym of their adverb: cut quickly.",
        "1 actions of the test never train: pour.",
        "2 adverbs of the test never train: again, quickly.",
        "1 clips of the test train: 2.",
    ]
    found = {finding.item: (finding.found, finding.total) for finding in audit_pairs(split)}
    assert found["pairs in train and test"] == (1, 3)
    assert found["test rows with training rows"] == (1, 3)
    assert found["rows of train that repeat another"] == (1, 3)
    assert found["adverbs without antonym"] == (1, None)
    assert broken(replace(split, unseen=False)) == []
    with pytest.raises(ValueError, match="no pairs"):
        split_of(synthetic_dataset())
