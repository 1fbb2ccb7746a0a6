"""What a generator is told of a class: the right vector whatever the order of classes, or a wrong one on purpose."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot.nn.class_condition import ClassCondition, in_set_order, of_another
from avshot.types import Classes
from few_shot_clips import AUDIO, LABELS, NAMES, TEXT, VISUAL, some_batch, some_classes

SIZES = {"text": TEXT, "audio": AUDIO, "visual": VISUAL}


def condition(kind, names=NAMES):
    return ClassCondition(kind, names, **SIZES)


@pytest.mark.parametrize("kind", ["text", "one_hot", "prototypes"])
def test_a_class_is_told_by_its_own_vector_in_any_order(kind):
    made, classes = condition(kind), some_classes()
    made.see(some_batch().features, torch.tensor(LABELS), classes)
    told = made(classes)
    assert told.shape == (4, made.dim)
    assert len(torch.unique(told, dim=0)) == 4
    order = [2, 0, 3, 1]
    assert torch.equal(made(classes.select([NAMES[i] for i in order])), told[order])
    if kind == "text":
        assert torch.equal(told, classes.text["w2v"])
    if kind == "one_hot":
        assert torch.equal(told, torch.eye(4))


def test_prototypes_against_the_loop_over_clips():
    made, batch = condition("prototypes"), some_batch()
    assert not made(batch.classes).any()  # nothing seen yet
    for _ in range(2):  # each clip twice: the means stay
        made.see(batch.features, batch.labels, batch.classes)
    features = batch.features
    for row in range(4):
        halves = []
        for value, mask in ((features.audio, features.audio_mask), (features.visual, features.visual_mask)):
            clips = [i for i, label in enumerate(LABELS) if label == row and mask[i].any()]
            means = [sum(value[i][mask[i]]) / int(mask[i].sum()) for i in clips]
            mean = sum(means) / len(means) if means else torch.zeros(value.shape[2])
            length = float(mean.square().sum().sqrt())
            halves.append(mean / length if length else mean)
        torch.testing.assert_close(made(batch.classes)[row], torch.cat(halves))
    assert made(batch.classes)[3, :AUDIO].eq(0).all()  # its only clip has no sound


def test_shuffled_vectors_are_all_there_and_nobodys_own():
    told, text = condition("shuffled")(some_classes()), some_classes().text["w2v"]
    assert sorted(told.tolist()) == sorted(text.tolist())
    assert (told != text).any(dim=1).all()
    assert torch.equal(told, condition("shuffled")(some_classes()))  # the same in each step


@given(st.integers(2, 300))
def test_nobody_keeps_its_own(count):
    given_to = of_another(count)
    assert sorted(given_to) == list(range(count))
    assert all(i != other for i, other in enumerate(given_to))


def program(names, seen):
    """The lookup of AVDIFF-GFSL: vectors of a set of clips by class number, found at a place in a Python set."""
    numbers = {name: number for number, name in enumerate(sorted(names))}
    found = {}
    for kind in (True, False):
        targets = sorted(numbers[name] for name, base in zip(names, seen, strict=True) if base is kind)
        text = [name for name in sorted(names) if numbers[name] in targets]
        for name, base in zip(names, seen, strict=True):
            if base is kind:
                found[name] = text[list(set(targets)).index(numbers[name])]
    return [found[name] for name in names]


@given(st.permutations(range(40)), st.integers(0, 40))
def test_set_order_is_that_of_the_program(order, novel):
    names = tuple(f"class {i:03d}" for i in order)
    seen = tuple(i >= novel for i in range(40))
    assert [names[i] for i in in_set_order(names, seen)] == program(names, seen)


def test_two_novel_classes_whose_hashes_swap_them():
    """8 stands before 1 in a set: its table has 8 places."""
    assert list({1, 8}) == [8, 1]
    names = tuple("abcdefghi")
    seen = tuple(name not in "bi" for name in names)
    assert in_set_order(names, seen) == (0, 8, 2, 3, 4, 5, 6, 7, 1)
    assert in_set_order(names, (True,) * 9) == tuple(range(9))
    text = torch.eye(9, TEXT)
    classes = Classes(names, {"w2v": text}, torch.tensor(seen))
    assert torch.equal(condition("set_order", names)(classes), text[[0, 8, 2, 3, 4, 5, 6, 7, 1]])


def test_what_is_refused():
    stranger = Classes(("owl",), {"w2v": torch.zeros(1, TEXT)}, torch.tensor([True]))
    for kind in ("one_hot", "prototypes"):
        with pytest.raises(ValueError, match="'owl' is none of the 4 trained"):
            condition(kind)(stranger)
    with pytest.raises(ValueError, match="expected one of text, shuffled, one_hot, prototypes, set_order"):
        condition("words")
