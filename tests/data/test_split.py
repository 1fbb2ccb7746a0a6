import random
from collections import Counter

import pytest

from avshot.data.split import SplitRule, split_clips
from avshot.types import Clip


def clips_of(counts, group=None):
    return [
        Clip(f"{label}{i:02d}", label=label, group=None if group is None else group(label, i))
        for label, count in counts.items()
        for i in range(count)
    ]


def test_split_depends_on_the_seed_and_not_on_the_order():
    clips = clips_of({"ant": 30, "bee": 30, "cow": 30, "dog": 30, "eel": 30})
    mixed = random.Random(1).sample(clips, len(clips))
    rule = SplitRule(unseen_val=1, unseen_test=1, seed=3)
    assert split_clips(clips, rule) == split_clips(mixed, rule)
    others = [split_clips(clips, SplitRule(unseen_val=1, unseen_test=1, seed=seed)) for seed in range(10)]
    assert len({other.unseen_test for other in others}) > 2
    assert len({tuple(sorted(other.fold_of.items())) for other in others}) == 10


def test_adding_a_clip_moves_few_others():
    rule = SplitRule(unseen_val=("cow",), unseen_test=("dog",), val=6, test=8)
    counts = {"ant": 50, "bee": 50, "cow": 5, "dog": 5}
    before = split_clips(clips_of(counts), rule).fold_of
    after = split_clips(clips_of(counts | {"ant": 51}), rule).fold_of
    assert sum(after[id] != fold for id, fold in before.items()) <= 2


def test_counts_that_a_label_cannot_meet():
    clips = clips_of({"ant": 10, "bee": 5, "cow": 5, "dog": 5})
    with pytest.raises(ValueError, match="'bee' has 5 clips, too few for 4 for training, 1 for validation and 2 for"):
        split_clips(clips, SplitRule(4, 1, 2, unseen_val=("cow",), unseen_test=("dog",)))


def test_labels_of_few_clips_train_first():
    clips = clips_of({"ant": 1, "bee": 2, "cow": 3, "dog": 9, "eel": 9, "fox": 9})
    found = split_clips(clips, SplitRule(unseen_val=("eel",), unseen_test=("fox",)))
    got = {label: sorted(found.fold_of[c.id] for c in clips if c.label == label) for label in ("ant", "bee", "cow")}
    assert got == {"ant": ["train"], "bee": ["test_seen", "train"], "cow": ["test_seen", "train", "val_seen"]}
    assert any("single clip, which only trains: ant" in warning for warning in found.warnings)
    assert any("too few clips for validation: bee" in warning for warning in found.warnings)


def test_clips_that_the_rule_does_not_use_are_reported():
    clips = clips_of({"ant": 10, "bee": 10, "cow": 10, "dog": 10})
    found = split_clips(clips, SplitRule(3, 2, 1, unseen_val=("cow",), unseen_test=("dog",), unseen_cap=4))
    assert Counter(found.fold_of.values()) == {
        "train": 6,
        "val_seen": 4,
        "test_seen": 2,
        "val_unseen": 4,
        "test_unseen": 4,
    }
    assert found.warnings == ("20 of 40 clips are in no fold: the rule does not ask for them.",)


def test_groups_stay_whole():
    clips = clips_of(dict.fromkeys(("ant", "bee", "cow", "dog", "eel"), 40), lambda label, i: f"tape{i // 4}")
    rule = SplitRule(unseen_val=("dog",), unseen_test=(), val=0.2, test=0.2, group_disjoint=True)
    # Every tape has clips of the class unseen in validation, so none could train; give that class tapes of its own.
    clips = [Clip(c.id, label=c.label, group=f"own-{c.group}" if c.label == "dog" else c.group) for c in clips]
    found = split_clips(clips, rule)
    folds = {}
    for clip in clips:
        folds.setdefault(clip.group, set()).add(found.fold_of[clip.id])
    assert all(len(found) == 1 for found in folds.values())
    got = Counter(found.fold_of[clip.id] for clip in clips if clip.label == "ant")
    assert got == {"train": 24, "val_seen": 8, "test_seen": 8}


def test_a_group_of_an_unseen_test_label_does_not_train():
    clips = clips_of({"ant": 12, "bee": 12, "cow": 3}, lambda label, i: f"tape{i}")
    found = split_clips(clips, SplitRule(unseen_val=(), unseen_test=("cow",), group_disjoint=True))
    assert {found.fold_of[f"{label}{i:02d}"] for label in ("ant", "bee") for i in range(3)} == {"test_seen"}


def test_drawn_labels_leave_named_ones_alone():
    clips = clips_of(dict.fromkeys("abcdefghij", 5))
    found = split_clips(clips, SplitRule(unseen_val=0.3, unseen_test=("a", "b")))
    assert found.unseen_test == ("a", "b")
    assert len(found.unseen_val) == 3
    assert not set(found.unseen_val) & {"a", "b"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"unseen_test": ("emu",)}, "no clip has: emu; labels: ant, bee, cow, dog"),
        ({"unseen_test": ("ant",), "unseen_val": ("ant",)}, "both in validation and in testing: ant"),
        ({"unseen_test": 2, "unseen_val": 1}, "leave 1 to train on"),
    ],
)
def test_impossible_unseen_labels(rule, message):
    with pytest.raises(ValueError, match=message):
        split_clips(clips_of({"ant": 5, "bee": 5, "cow": 5, "dog": 5}), SplitRule(**rule))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"val": 1.5}, "val is 1.5; expected a count"),
        ({"train": -1}, "train is -1"),
        ({"train": 0.8, "val": 0.2, "test": 0.2}, "add up to 1.2"),
        ({"unseen_cap": 0}, "unseen_cap is 0"),
        ({"unseen_val": -1}, "unseen_val is -1; expected a list of labels, or how many"),
        ({"unseen_test": 1.5}, "unseen_test is 1.5"),
        ({"unseen_test": "dog"}, "unseen_test is 'dog'; expected a list of labels"),
        ({"unseen_test": ("dog", "Dog")}, "spell each one way"),
        ({"val": float("nan")}, "val is nan"),
    ],
)
def test_impossible_rules(rule, message):
    with pytest.raises(ValueError, match=message):
        SplitRule(**rule)


def test_unseen_labels_are_found_however_they_are_spelt():
    clips = [Clip(f"{name}{i}", label=name) for name in ("Dog barking", "C#", "rain", "wind") for i in range(3)]
    found = split_clips(clips, SplitRule(unseen_val=["dog_barking"], unseen_test=("c#",), val=1, test=1))
    assert (found.unseen_val, found.unseen_test) == (("Dog barking",), ("C#",))
