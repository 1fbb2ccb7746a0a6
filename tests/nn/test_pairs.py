"""Pairs by their factors, groups by action, and wrong pairs, against loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avshot.nn.pair_negatives import antonym, one_of, other_action, other_adverb
from avshot.nn.pairs import ActionGroups, class_of_pair, factor, parts_of, rows_of, trained_pairs, word_vectors
from avshot.types import Classes, Factor
from pair_classes import ACTIONS, ADVERBS, pairs

SOME = [(2, 1), (0, 0), (2, 3), (1, 1), (0, 2), (2, 0)]
subsets = st.lists(st.sampled_from([(a, v) for a in range(3) for v in range(4)]), min_size=1, unique=True)


@given(subsets)
def test_pairs_and_classes_find_each_other(rows):
    classes = pairs(rows, seen={0, 2})
    table, there = class_of_pair(classes), trained_pairs(classes)
    for a in range(3):
        for v in range(4):
            place = rows.index((a, v)) if (a, v) in rows else -1
            assert table[a, v] == place
            assert there[a, v] == (place in (0, 2))
    labels = torch.arange(len(rows)).flip(0)
    assert list(zip(*(part.tolist() for part in parts_of(classes, labels)), strict=True)) == rows[::-1]


@given(subsets, st.integers(1, 3))
def test_groups_give_every_pair_its_own_score(rows, clips):
    classes, generator = pairs(rows), torch.Generator().manual_seed(1)
    groups = ActionGroups.of(classes)
    assert groups.actions.tolist() == sorted({a for a, _ in rows})
    seen = torch.randn(clips, len(groups.actions), 5, generator=generator)
    texts = torch.randn(len(rows), 5, generator=generator)
    dots, distances = groups.dots(seen, texts), groups.distances(seen, texts)
    for i in range(clips):
        for j, (a, _) in enumerate(rows):
            clip = seen[i, groups.actions.tolist().index(a)]
            assert dots[i, j].item() == pytest.approx(float(clip @ texts[j]), rel=1e-4, abs=1e-5)
            assert distances[i, j].item() == pytest.approx(float((clip - texts[j]).norm()), rel=1e-5)


def test_plain_classes_and_several_texts_are_refused():
    plain = Classes(("a",), {"words": torch.ones(1, 2)}, torch.ones(1, dtype=torch.bool))
    with pytest.raises(ValueError, match="The classes have no adverb: they are plain"):
        factor(plain, "adverb")
    index = torch.tensor([0])
    for text, words in (({}, "got 0: none"), ({"a": torch.ones(1, 2), "b": torch.ones(1, 2)}, "got 2: a, b")):
        both = Classes(("a",), {}, torch.ones(1, dtype=torch.bool), {"action": Factor(index, ("cut",), text)})
        with pytest.raises(ValueError, match=f"actions must be embedded by one text encoder; {words}"):
            word_vectors(both, "action")


def test_values_without_weights_are_refused_where_a_class_has_them():
    found = factor(pairs([(0, 1), (2, 3)]), "adverb")
    assert rows_of(found, ("badly", "quickly"), "adverb").tolist() == [-1, 1, -1, 0]
    with pytest.raises(ValueError, match="no weights for the adverb 'badly': .* ask for one of slowly, quickly"):
        rows_of(found, ("slowly", "quickly"), "adverb")


# --- wrong pairs ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 6), st.integers(0, 5), st.integers(0, 1000))
def test_one_of_draws_what_is_allowed(rows, width, seed):
    generator = torch.Generator().manual_seed(seed)
    allowed = torch.rand(rows, width, generator=generator) < 0.4
    found, there = one_of(allowed)
    assert found.shape == there.shape == (rows,)
    for i in range(rows):
        assert there[i] == bool(allowed[i].any())
        assert allowed[i, found[i]] if there[i] else found[i] == 0


def test_one_of_draws_all_alike():
    torch.manual_seed(0)
    found, _ = one_of(torch.tensor([[True, False, True, True]]).expand(30000, -1))
    assert (torch.bincount(found, minlength=4) / 30000).tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.01)


@given(st.integers(0, 1000))
def test_wrong_pairs_differ_in_one_part_and_are_allowed(seed):
    torch.manual_seed(seed)
    allowed = torch.rand(len(ACTIONS), len(ADVERBS)) < 0.5
    action, adverb = torch.randint(3, (20,)), torch.randint(4, (20,))
    opposite = torch.tensor([1, 0, -1, -1])
    other, has_other = other_action(action, adverb, allowed)
    drawn, has_drawn = other_adverb(action, adverb, allowed)
    opposed, has_opposed = antonym(action, adverb, opposite, allowed)
    for i in range(20):
        a, v = int(action[i]), int(adverb[i])
        assert has_other[i] == any(allowed[b, v] for b in range(3) if b != a)
        assert has_drawn[i] == any(allowed[a, w] for w in range(4) if w != v)
        if has_other[i]:
            assert other[i] != a
            assert allowed[other[i], v]
        if has_drawn[i]:
            assert drawn[i] != v
            assert allowed[a, drawn[i]]
        if v < 2:  # its antonym, whether or not that pair is allowed
            assert (opposed[i], has_opposed[i]) == (1 - v, True)
        elif has_opposed[i]:
            assert opposed[i] != v
            assert allowed[a, opposed[i]]
    torch.manual_seed(seed)
    assert not antonym(action, adverb, None, torch.zeros_like(allowed))[1].any()


def test_a_single_action_has_no_other():
    zero = torch.zeros(3, dtype=torch.long)
    assert not other_action(zero, zero, torch.ones(1, 4, dtype=torch.bool))[1].any()
