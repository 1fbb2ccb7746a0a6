"""What a Run keeps of the scores of each class, against loops over clips."""

import numpy as np
import pytest
import torch

import avshot.training.class_statistics as module
from avshot.method import Inputs
from avshot.registry import create_method
from avshot.training.class_statistics import class_statistics
from avshot.training.clips import ClipSource
from avshot.types import Classes
from synthetic import WORDS, synthetic_dataset


@pytest.fixture(scope="module")
def data():
    return synthetic_dataset()


def classes_of(data, names):
    rows = [WORDS.index(name) for name in names]
    return Classes(tuple(names), {"made": data.text["made"][rows]}, torch.ones(len(names), dtype=torch.bool))


def statistics(data, trained, candidates, rows, view="both"):
    torch.manual_seed(0)
    classes = classes_of(data, candidates)
    source = ClipSource(data, rows, classes.select(trained), "both")
    model = create_method("devise", Inputs.of(data.gather([0]), classes)).eval()
    return class_statistics(model, source, classes, view), model, classes


def by_hand(data, model, scored, rows, view="both"):
    with torch.no_grad():
        scores = model.score(data.gather(rows).prefer(view), scored).double().numpy()
    labels = [str(data.clips[i].label) for i in rows]
    mean = np.stack(
        [np.mean([s for s, label in zip(scores, labels, strict=True) if label == n], axis=0) for n in scored.names]
    )
    covariance = np.zeros((len(scored), len(scored)))
    for s, label in zip(scores, labels, strict=True):
        off = s - mean[scored.names.index(label)]
        covariance += np.outer(off, off) / (len(rows) - len(scored))
    return [labels.count(n) for n in scored.names], mean, covariance


@pytest.mark.parametrize("view", ["both", "audio"])
def test_counts_means_and_covariance_of_the_classes_that_have_clips(data, view):
    """Candidates in another order than the trained classes, one of them without clips."""
    trained = ["dog barking", "cat meowing", "bird singing"]
    rows = np.array([i for i, c in enumerate(data.clips) if c.label in trained][:-3])
    candidates = ["bird singing", "man speaking", "dog barking", "cat meowing"]
    found, model, classes = statistics(data, trained, candidates, rows, view)
    count, mean, covariance = by_hand(
        data, model, classes.select(["bird singing", "dog barking", "cat meowing"]), rows, view
    )
    assert found["class/count"].tolist() == [count[0], 0, *count[1:]] == [9, 0, 12, 12]
    np.testing.assert_allclose(found["class/mean"], mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["class/covariance"], covariance, rtol=1e-3, atol=1e-4)


def test_classes_with_one_clip_say_nothing_of_their_spread(data):
    found, _, _ = statistics(data, WORDS[:3], WORDS[:4], np.array([0, 12, 24]))
    assert found == {}


def test_a_single_class_with_two_clips_gives_a_spread(data):
    found, _, _ = statistics(data, WORDS[:2], WORDS[:2], np.array([0, 1, 12]))
    assert found["class/count"].tolist() == [2, 1]
    assert found["class/covariance"].isfinite().all()
    assert found["class/covariance"].trace() > 0


def test_of_very_many_clips_some_of_all_classes_are_scored(data, monkeypatch):
    monkeypatch.setattr(module, "MOST", 24)
    found, _, _ = statistics(data, WORDS[:4], WORDS[:4], np.arange(48))
    assert int(found["class/count"].sum()) == 24
    assert int(found["class/count"].min()) > 1
