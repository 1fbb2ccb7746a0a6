"""Running means of classes against a loop over clips."""

import pytest
import torch

from avshot.nn.batch_means import Share, sharing
from avshot.nn.class_means import ClassMeans
from avshot.types import Classes

NAMES = ("dog", "cat", "bell")


def classes_of(names):
    return Classes(tuple(names), {"made": torch.zeros(len(names), 1)}, torch.ones(len(names), dtype=torch.bool))


def drawn(seed, count=9):
    generator = torch.Generator().manual_seed(seed)
    value, labels = torch.randn(count, 4, generator=generator), torch.randint(0, 2, (count,), generator=generator)
    mask = (torch.rand(count, 2, generator=generator) < 0.7).repeat_interleave(2, dim=1)
    return value * mask, mask, labels


def test_means_are_those_of_all_clips_so_far():
    means, known = ClassMeans(NAMES, 4), classes_of(NAMES)
    batches = [drawn(seed) for seed in range(3)]
    for value, mask, labels in batches:
        means.add(value, mask, labels, known)
    found = means(known)
    for row in (0, 1):
        for k in range(4):
            own = [v[i, k].item() for v, m, y in batches for i in range(len(y)) if y[i] == row and m[i, k]]
            assert found[row, k].item() == pytest.approx(sum(own) / len(own), rel=1e-4, abs=1e-6)
    assert not found[2].any()  # no clip of this class was drawn


def test_classes_go_by_name():
    means, (value, mask, labels) = ClassMeans(NAMES, 4), drawn(0)
    means.add(value, mask, labels, classes_of(("bell", "dog")))
    found = means(classes_of(("dog", "cat", "bell")))
    assert found[0].any()
    assert not found[1].any()
    assert torch.equal(means(classes_of(("bell",)))[0], found[2])
    with pytest.raises(ValueError, match="Class 'owl' is none of the 3 trained classes"):
        means(classes_of(("owl",)))


def test_the_means_are_saved():
    means, (value, mask, labels) = ClassMeans(NAMES, 4), drawn(0)
    means.add(value, mask, labels, classes_of(NAMES))
    other = ClassMeans(NAMES, 4)
    other.load_state_dict(means.state_dict())
    assert torch.equal(other(classes_of(NAMES)), means(classes_of(NAMES)))


def test_slices_of_a_batch_make_the_means_of_the_batch():
    """Two processes, one after the other: each hears the sum over both."""
    known, (value, mask, labels) = classes_of(NAMES), drawn(0)
    whole, one = ClassMeans(NAMES, 4), ClassMeans(NAMES, 4)
    whole.add(value, mask, labels, known)
    other = ClassMeans(NAMES, 4)
    other.add(value[4:], mask[4:], labels[4:], known)
    sums = iter((other.total, other.count))
    with sharing(Share(4 / 9, lambda own: own + next(sums))):
        one.add(value[:4], mask[:4], labels[:4], known)
    torch.testing.assert_close(one(known), whole(known))
