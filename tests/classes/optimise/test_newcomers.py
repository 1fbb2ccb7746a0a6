"""The inductive form of class-embedding optimisation: trained classes move together, each other one by itself."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.classes.candidates import candidates_of_stage
from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.newcomers import _gradient, place
from avshot.classes.optimise.optimise import optimise, optimise_classes
from avshot.types import Classes

SEEN = OptimiseConfig(scope="seen")


def related(count, dim=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(1, dim, generator=generator, dtype=torch.float64)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64) + 1.5 * common, dim=1)


def first(count, total):
    return torch.arange(total) < count


def apart(a, b, kind):
    if kind == "cosine":
        return 1 - a @ b / (a.norm() * b.norm())
    return (a - b).norm() if kind == "l2" else (a - b).abs().sum()


def naive(w, start, before, after, config):
    """Eq. 4 with one newcomer as the anchor, in loops."""
    kind = config.distance if config.semantic_distance is None else config.semantic_distance
    loss = -config.alpha * min(apart(w, k, config.distance) for k in after)
    weight = len(after) if config.semantic_weight == "classes" else config.semantic_weight
    if config.semantic == "proximity":
        return loss + (1 - config.alpha) * weight * apart(w, start, kind)
    if config.semantic == "none":
        return loss
    total, count = 0.0, len(after)
    for i in range(count):
        for j in range(count):
            if i != j:
                sign = torch.sign(apart(start, before[i], kind) - apart(start, before[j], kind))
                change = apart(w, after[i], kind) - apart(w, after[j], kind)
                total = total + torch.clamp(config.margin - sign * change, min=0) * (sign != 0)
    return loss + (1 - config.alpha) * weight * total / (count * (count - 1))


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"margin": 0.0, "semantic_weight": "classes"}, {"semantic": "proximity"}, {"semantic": "none"}],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
def test_gradient_is_that_of_the_formula(distance, changes):
    config = dataclasses.replace(SEEN, distance=distance, **changes)
    before, after, new = related(6), related(6, seed=1), related(3, seed=2)
    now = F.normalize(new + 0.1 * related(3, seed=3), dim=1)
    from avshot.classes.optimise.losses import pairwise_distance

    order = pairwise_distance(new, before, config.ordering)
    got = _gradient(now, new, after, order, config)
    for row, (w, start) in enumerate(zip(now, new, strict=True)):
        w = w.clone().requires_grad_()
        expected = torch.autograd.grad(naive(w, start, before, after, config), w)[0]
        assert torch.allclose(got[row], expected, atol=1e-9)


def test_trained_classes_do_not_hear_of_the_others():
    vectors = related(14)
    alone, outcome = optimise(vectors[:9])
    among, _ = optimise(vectors, SEEN, seen=first(9, 14))
    others = vectors.clone()
    others[9:] = related(5, seed=7)
    among_others, _ = optimise(others, SEEN, seen=first(9, 14))
    assert outcome.steps > 1
    assert torch.equal(among[:9], alone)
    assert torch.equal(among_others[:9], alone)
    jointly, _ = optimise(vectors)
    assert not torch.allclose(jointly[:9], alone, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), semantic=st.sampled_from(["ranking", "proximity", "none"]))
def test_a_newcomer_goes_where_it_goes_alone(seed, semantic):
    config = dataclasses.replace(SEEN, semantic=semantic)
    settled, new = related(7, seed=seed), related(4, seed=seed + 1)
    moved, outcome = optimise(settled, dataclasses.replace(config, scope="all"))
    together = place(new, settled, moved, config, outcome.steps)
    one_by_one = torch.cat([place(row[None], settled, moved, config, outcome.steps) for row in new])
    assert torch.allclose(together, one_by_one, atol=1e-9)
    assert torch.allclose(together.norm(dim=1), torch.ones(4, dtype=torch.float64))


def test_newcomers_move_away_as_far_as_the_others_did():
    vectors = related(40, dim=24)
    moved, outcome = optimise(vectors, SEEN, seen=first(30, 40))
    before = (1 - vectors[30:] @ vectors[:30].T).amin(dim=1)
    after = (1 - moved[30:] @ moved[:30].T).amin(dim=1)
    grown = float(after.mean() / before.mean())
    assert outcome.stopped == "growth"
    assert 1.2 < grown < 1.5
    assert (after > before).all()


def test_a_newcomer_with_the_vector_of_a_settled_class_goes_with_it():
    vectors = related(9)
    vectors[8] = vectors[2]
    moved, outcome = optimise(vectors, SEEN, seen=first(8, 9))
    assert torch.equal(moved[8], moved[2])
    assert outcome.duplicates == (8,)


@pytest.mark.parametrize("seen", [None, torch.zeros(6, dtype=torch.bool), torch.ones(6, dtype=torch.bool)])
def test_without_a_division_all_move_together(seen):
    vectors = related(6)
    assert torch.equal(optimise(vectors, SEEN, seen=seen)[0], optimise(vectors)[0])


def test_one_trained_class_leaves_all_where_they_are():
    vectors = related(4)
    moved, outcome = optimise(vectors, SEEN, seen=first(1, 4))
    assert outcome.steps == 0
    assert torch.allclose(moved, vectors)


def test_of_a_stage_the_trained_classes_are_the_seen_ones():
    names = tuple("abcdefgh")
    raw = Classes(names, {"e": related(8).float()}, torch.zeros(8, dtype=torch.bool))
    used, plain, outcomes = candidates_of_stage(raw, names, names[:5], SEEN)
    alone, _ = optimise_classes(plain.select(names[:5]))
    assert torch.equal(used.text["e"][:5], alone.text["e"])
    assert outcomes["e"]["settings"]["scope"] == "seen"
    jointly, _, _ = candidates_of_stage(raw, names, names[:5], OptimiseConfig())
    assert not torch.allclose(jointly.text["e"], used.text["e"], atol=1e-4)


def test_an_unknown_scope_is_refused():
    with pytest.raises(ValueError, match="scope is 'unseen'; expected one of all, seen"):
        OptimiseConfig(scope="unseen")
