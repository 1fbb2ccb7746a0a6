import dataclasses

import numpy as np
import pytest
import torch

from avshot.data.dataset import FOLDS, Dataset, FeatureSource, MemoryFeatures
from avshot.data.load import load_dataset
from avshot.data.sources import as_indices, first_few
from avshot.types import Clip, Features

LABELS = {"a0": "ant", "a1": "ant", "b0": "bee", "b1": "bee", "c0": "cow", "d0": "dog"}
FOLD_IDS = {"train": ["a0"], "val_seen": ["a1"], "val_unseen": ["b0"], "test_seen": ["b1"], "test_unseen": ["c0"]}


def source(ids, status=None):
    rows = torch.tensor([float(10 * "abcd".index(id[0]) + int(id[1])) for id in ids])
    found = MemoryFeatures(ids, Features.averaged(rows[:, None], -rows[:, None].repeat(1, 2)), {"made": "here"})
    if status is not None:
        object.__setattr__(found, "status", status)
    return found


def dataset(features=None, **changes):
    clips = tuple(Clip(id, label=label) for id, label in LABELS.items())
    index = {id: i for i, id in enumerate(LABELS)}
    folds = {fold: np.array([index[id] for id in ids]) for fold, ids in FOLD_IDS.items()}
    given = {"name": "zoo", "clips": clips, "names": ("dog", "cow", "bee", "ant"), "folds": folds, "features": features}
    return Dataset(**(given | changes))


def test_features_are_joined_by_id_whatever_the_order_of_the_source():
    shuffled = ["c0", "a1", "d0", "b1", "a0", "b0"]
    found = dataset(source(shuffled))
    gathered = found.gather([0, 3, 4, 0])
    assert gathered.audio[:, 0, 0].tolist() == [0.0, 11.0, 20.0, 0.0]
    assert gathered.visual[:, 0].tolist() == [[-0.0, -0.0], [-11.0, -11.0], [-20.0, -20.0], [-0.0, -0.0]]
    assert found.missing == ()


def test_labels_index_the_class_names():
    found = dataset()
    assert found.labels(np.arange(6)).tolist() == [3, 3, 2, 2, 1, 0]
    assert found.labels(torch.tensor([5])).dtype == torch.long
    assert found.labels([]).shape == (0,)


def test_unlabelled_clip_is_named():
    found = dataset(clips=(*dataset().clips, Clip("x9")))
    with pytest.raises(ValueError, match="'x9' has no label"):
        found.labels([6])


def test_classes_of_a_fold_come_in_the_order_of_names_and_from_the_list_where_there_is_one():
    folds = dict(dataset().folds) | {"train": np.array([0, 5])}
    assert dataset(folds=folds).classes_of("train") == ("dog", "ant")
    listed = dataset(candidates={"test_unseen": ("cow", "dog")})
    assert listed.classes_of("test_unseen") == ("dog", "cow")


def test_unknown_fold_lists_the_folds():
    with pytest.raises(ValueError, match=r"'val' is not in dataset 'zoo'; folds: train, val_seen, val_unseen"):
        dataset().classes_of("val")


def test_clips_without_features_lose_their_fold_and_are_reported():
    found = dataset(source(["a0", "b0", "b1", "c0", "d0"], {"a1": "error: moov atom", "c0": "error: empty"}))
    assert found.missing == (("a1", "error: moov atom"), ("c0", "error: empty"))
    assert {fold: len(rows) for fold, rows in found.folds.items()} == dict(zip(FOLDS, (1, 0, 1, 1, 0), strict=True))
    told = " ".join(found.warnings())
    assert "2 clips are left out" in told
    assert "a1 (error: moov atom)" in told
    assert "Fold val_seen is empty" in told


def test_a_clip_that_was_never_extracted_is_reported_too():
    found = dataset(source(["a0", "a1", "b0", "b1"]))
    assert found.missing == (("c0", "not extracted"),)  # d0 has no features either, but is in no fold
    with pytest.raises(ValueError, match="'d0' has no features"):
        found.gather([5])


def test_truncated_clips_stay():
    found = dataset(source(list(LABELS), {"a0": "truncated", "b0": "no_audio"}))
    assert found.missing == ()


def test_gather_without_features_says_what_to_do():
    with pytest.raises(ValueError, match="avshot extract"):
        dataset().gather([0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": {"train": [6]}}, "outside the 6 clips"),
        ({"folds": {"train": [0.5]}}, "expected integers"),
        ({"names": ("ant", "bee", "cow")}, "not class names of dataset 'zoo': dog"),
        ({"names": ("ant", "bee", "cow", "dog", "ant")}, "names a class twice: ant"),
        ({"clips": (Clip("a", label="ant"), Clip("a", label="bee")), "folds": {}}, "repeated: a"),
        ({"text": {"w2v": torch.zeros(3, 2)}}, r"shape \(3, 2\); expected \[4, dim\]"),
    ],
)
def test_unsound_datasets_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataset(**changes)


def test_classes_seen_in_stage_two_may_be_tested_as_seen():
    assert dataset().classes_of("test_seen") == ("bee",)  # bee is in val_unseen, which stage 2 trains on


def test_sources_in_training_and_test_are_reported():
    clips = tuple(dataclasses.replace(clip, group=clip.id[0]) for clip in dataset().clips)
    found = dataset(clips=clips)
    assert found.straddling() == ("b",)  # b0 in val_unseen, b1 in test_seen; a0 and a1 are both training
    assert "1 sources have clips both in training and in test folds: b." in found.warnings()


def test_notes_are_warnings():
    assert "look out" in dataset(notes=("look out",)).warnings()


def test_fingerprint_changes_with_what_matters_and_only_with_that():
    base = dataset(source(list(LABELS))).fingerprint()
    assert base == dataset(source(list(LABELS)[::-1])).fingerprint()
    moved = tuple(dataclasses.replace(clip, path="/elsewhere/x.mp4") for clip in dataset().clips)
    assert dataset(source(list(LABELS)), clips=moved, notes=("n",)).fingerprint() == base
    others = [
        dataset(),
        dataset(source(list(LABELS)), folds=dict(dataset().folds) | {"train": np.array([0, 5])}),
        dataset(source(list(LABELS)), phrases={"ant": "black ant"}),
        dataset(source(list(LABELS)), text={"w2v": torch.zeros(4, 2)}),
        dataset(source(list(LABELS)), candidates={"train": ("ant", "dog")}),
        dataset(MemoryFeatures(list(LABELS), source(list(LABELS)).features, {"made": "there"})),
        dataset(source(list(LABELS)), shots=1),
        dataset(source(list(LABELS)), shots=5),
    ]
    assert len({base, *(other.fingerprint() for other in others)}) == 1 + len(others)


def test_memory_features_are_a_feature_source():
    found = source(list(LABELS))
    assert isinstance(found, FeatureSource)
    assert found.dims == (1, 2)
    assert len(found.gather(np.array([], dtype=np.int64))) == 0
    with pytest.raises(ValueError, match="1 clip ids for features of 6 clips"):
        MemoryFeatures(["a"], found.features)


def test_indices_accept_masks_tensors_and_lists():
    assert as_indices([True, False, True]).tolist() == [0, 2]
    assert as_indices(torch.tensor([3, 1])).tolist() == [3, 1]
    assert as_indices([]).dtype == np.int64


def test_first_few():
    assert first_few("abc") == "a, b, c"
    assert first_few("abcdefg", 2) == "a, b, ..."


def test_load_dataset_names_the_forms_it_knows():
    with pytest.raises(ValueError, match="avshot dataset.*simulated.*official"):
        load_dataset("somewhere/else")
    with pytest.raises(ValueError, match="is not there"):
        load_dataset("somewhere/else.toml")
