"""Class-embedding optimisation: the regime of the paper's Table 8, the stop rule, small and degenerate vocabularies."""

import csv
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise, optimise_classes
from avshot.classes.optimise.outcome import nearest, rank_correlation
from avshot.classes.optimise.text import report
from avshot.files.unpickle import restricted_load
from avshot.types import Classes

# Paper, Table 8: class, nearest neighbour before, distance before, distance after.
TABLE_8 = [
    ("basketball bounce", "playing volleyball", 0.324, 0.465),
    ("bouncing on trampoline", "basketball bounce", 0.416, 0.494),
    ("barn swallow calling", "black capped chickadee calling", 0.307, 0.394),
    ("bull bellowing", "eagle screaming", 0.449, 0.532),
]


def related(count, dim=16, seed=0):
    """Random directions with a common part, so that some are near each other."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) + 0.8 * torch.randn(1, dim, generator=generator)


@pytest.fixture(scope="module")
def vggsound():
    """The 138 stage-1 training classes of VGGSound-GZSL and their released vectors."""
    import os
    from pathlib import Path

    if not os.environ.get("AVSHOT_DATA"):
        pytest.skip("AVSHOT_DATA is not set; it names the folder of real data")
    root = Path(os.environ["AVSHOT_DATA"])
    lists = root / "splits" / "VGGSound" / "class-split"
    with open(lists / "vggsound_w2v_class_names.csv", encoding="utf-8", newline="") as file:
        words = {row["original"]: row["manual"] for row in csv.DictReader(file)}
    names = (lists / "main_split" / "stage_1_train.txt").read_text(encoding="utf-8").split("\n")
    names = [name.strip() for name in names if name.strip()]
    released = restricted_load(root / "text" / "word_embeddings_vggsound_normed.npy")
    vectors = torch.stack([torch.from_numpy(released[words[name]]) for name in names])
    assert len(names) == 138
    return names, vectors, *optimise(vectors, names=names)


def test_table_8_before(vggsound):
    names, _, _, outcome = vggsound
    for name, neighbour, before, _ in TABLE_8:
        i = names.index(name)
        assert outcome.nearest_before[i] == pytest.approx(before, abs=5e-4)
        assert names[outcome.neighbour_before[i]] == neighbour


def test_defaults_land_in_the_regime_of_table_8(vggsound):
    names, vectors, optimised, outcome = vggsound
    assert outcome.stopped == "growth"
    assert outcome.growth == pytest.approx(1.35, abs=1e-4)
    assert outcome.correlation > 0.985
    assert outcome.kept_near > 0.75  # four of five new neighbours were among the five nearest of 137
    for name, _, _, after in TABLE_8:
        assert outcome.nearest_after[names.index(name)] == pytest.approx(after, abs=0.05)
    assert min(outcome.nearest_after) > 2 * min(outcome.nearest_before)
    assert torch.allclose(optimised.norm(dim=1), torch.ones(138), atol=1e-5)
    assert outcome.correlation == pytest.approx(rank_correlation(vectors.double(), optimised.double()), abs=1e-5)


def test_to_convergence_the_printed_loss_forgets_the_names(vggsound):
    names, vectors, _, default = vggsound
    settings = OptimiseConfig(growth=None, correlation=None, max_steps=30, turn=2.0)
    _, outcome = optimise(vectors, settings, names=names)
    assert outcome.stopped == "max_steps"
    assert outcome.growth > 2.2
    assert outcome.correlation < default.correlation - 0.05


@pytest.mark.parametrize("count", [9, 16, 30])
def test_growth_is_met_exactly_for_small_vocabularies(count):
    vectors = related(count)
    optimised, outcome = optimise(vectors, OptimiseConfig(growth=1.2))
    assert outcome.stopped == "growth"
    assert outcome.growth == pytest.approx(1.2, abs=1e-5)
    assert outcome.growth <= 1.2 + 1e-9
    assert torch.allclose(optimised.norm(dim=1), torch.ones(count), atol=1e-6)
    assert len(outcome.history) == outcome.steps
    assert outcome.history[-1]["nearest"] == pytest.approx(outcome.mean_after)


def test_correlation_is_a_floor():
    _, outcome = optimise(related(12), OptimiseConfig(semantic="none", growth=None, correlation=0.97))
    assert outcome.stopped == "correlation"
    assert outcome.correlation >= 0.97


def test_few_classes_may_exchange_one_pair_of_neighbours_each():
    from scipy.stats import spearmanr

    from avshot.classes.optimise.descent import _one_exchange

    for others in (3, 4, 7):
        exchanged = [1, 0, *range(2, others)]
        assert _one_exchange(others + 1) == pytest.approx(spearmanr(range(others), exchanged).statistic)
    _, outcome = optimise(related(4, seed=3), OptimiseConfig(growth=None, correlation=1.0))
    assert 0.5 <= outcome.correlation < 1


def test_descent_without_stops_converges_near_the_simplex():
    _, outcome = optimise(related(5), OptimiseConfig(semantic="none", growth=None, correlation=None, turn=2.0))
    assert outcome.stopped == "converged"
    assert outcome.mean_after == pytest.approx(5 / 4, abs=0.02)  # cosine distance in a regular simplex: n / (n - 1)


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("semantic", ["ranking", "proximity", "none"])
def test_every_form_separates_and_keeps_more_order_than_chance(distance, semantic):
    _, outcome = optimise(related(10), OptimiseConfig(distance=distance, semantic=semantic, growth=1.15, turn=0.3))
    assert outcome.growth > 1.02
    assert outcome.correlation >= 0.9


def test_the_semantic_loss_may_have_a_distance_of_its_own():
    vectors = F.normalize(related(5).double(), dim=1)
    mixed = OptimiseConfig(distance="l2", semantic_distance="cosine", margin=0.5, max_steps=1)
    _, outcome = optimise(vectors, mixed)
    first = outcome.history[0]  # terms before the first step, at the vectors themselves
    others = [[j for j in range(5) if j != c] for c in range(5)]
    apart = [min(float((vectors[c] - vectors[j]).norm()) for j in others[c]) for c in range(5)]
    assert first["separation"] == pytest.approx(-sum(apart) / 5, rel=1e-9)
    d = 1 - vectors @ vectors.T
    hinges = [
        max(0.0, 0.5 - abs(float(d[c, i] - d[c, j]))) for c in range(5) for i in others[c] for j in others[c] if i != j
    ]
    assert first["semantic"] == pytest.approx(sum(hinges) / len(hinges), rel=1e-9)
    (same, _), (named, _) = (
        optimise(vectors, OptimiseConfig(distance="l2", semantic_distance=distance)) for distance in (None, "l2")
    )
    assert torch.equal(same, named)
    assert not torch.allclose(same, optimise(vectors, OptimiseConfig(distance="l2", semantic_distance="l1"))[0])


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1"])
def test_proximity_alone_leaves_every_class_where_it_is(distance):
    """Eq. 2 is at its minimum at the start, so the second row of the paper's Table 5 is its first.

    Only rounding moves them; Adam makes a step of that, and the next one undoes it.
    """
    vectors = related(6)
    alone, outcome = optimise(vectors, OptimiseConfig(semantic="proximity", alpha=0.0, distance=distance))
    torch.testing.assert_close(alone, F.normalize(vectors, dim=1), atol=0.003, rtol=0)
    assert outcome.growth == pytest.approx(1, abs=2e-4)
    assert outcome.stopped == "converged"


def test_ranking_loss_keeps_more_order_than_none():
    vectors = related(20)
    stiff, free = (
        optimise(vectors, OptimiseConfig(semantic=semantic, margin=0.0, semantic_weight=20.0, growth=1.3))[1]
        for semantic in ("ranking", "none")
    )
    assert stiff.correlation > free.correlation + 0.01


def test_vectors_at_right_angles_are_left_alone():
    vectors = torch.eye(4)
    optimised, outcome = optimise(vectors)
    assert (outcome.stopped, outcome.steps) == ("nothing to do", 0)
    assert torch.equal(optimised, vectors)
    _, close = optimise(related(4, seed=1) + 0.2, OptimiseConfig(growth=100.0, correlation=None))
    assert close.mean_after <= 1 + 1e-9


def test_one_two_and_three_classes():
    alone, outcome = optimise(torch.tensor([[3.0, 4.0]]))
    assert torch.allclose(alone, torch.tensor([[0.6, 0.8]]))
    assert (outcome.stopped, outcome.correlation, outcome.growth) == ("nothing to do", 1.0, 1.0)
    assert outcome.to_dict()["neighbour_before"] == [None]
    for count in (2, 3):
        vectors = F.normalize(related(count), dim=1)
        optimised, outcome = optimise(vectors)
        assert outcome.growth >= 1
        assert bool(torch.isfinite(optimised).all())
        json.dumps(outcome.to_dict(), allow_nan=False)


def test_copies_stay_together_and_the_rest_separates():
    vectors = related(8)
    vectors = torch.cat([vectors, 2.0 * vectors[2:3], vectors[5:6]])  # the same directions again
    optimised, outcome = optimise(vectors, names=[f"class {i}" for i in range(10)])
    assert outcome.duplicates == (8, 9)
    assert torch.equal(optimised[8], optimised[2])
    assert torch.equal(optimised[9], optimised[5])
    assert torch.allclose(optimised[:8], optimise(vectors[:8])[0], atol=1e-6)
    assert outcome.to_dict()["duplicates"] == ["class 8", "class 9"]
    assert "left together: class 8, class 9" in report(outcome)
    only_copies, outcome = optimise(torch.ones(3, 4))
    assert outcome.stopped == "nothing to do"
    assert torch.allclose(only_copies, torch.full((3, 4), 0.5))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9))
def test_order_of_classes_does_not_matter(seed, count):
    vectors = related(count, dim=6, seed=seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    config = OptimiseConfig(turn=2.0, max_steps=40)
    straight, outcome = optimise(vectors, config)
    permuted, permuted_outcome = optimise(vectors[order], config)
    assert torch.allclose(permuted, straight[order], atol=1e-4)
    assert permuted_outcome.growth == pytest.approx(outcome.growth, abs=1e-4)


def test_deterministic_and_input_untouched():
    vectors = related(12)
    copy = vectors.clone()
    with torch.no_grad():  # as the protocol may call it
        first, second = optimise(vectors)[0], optimise(vectors)[0]
    assert torch.equal(first, second)
    assert torch.equal(vectors, copy)
    assert first.dtype == vectors.dtype
    assert not first.requires_grad


def test_width_does_not_change_the_result_much():
    """The first turn is stated as an angle, so empty columns cost no resolution: 60 steps become 60 others."""
    vectors = related(10)
    narrow = optimise(vectors)[1]
    wide = optimise(torch.cat([vectors @ torch.linalg.qr(related(16, 16, 3))[0], torch.zeros(10, 240)], dim=1))[1]
    assert wide.growth == pytest.approx(narrow.growth, abs=1e-4)


def test_optimise_classes_keeps_names_and_flags_and_takes_every_encoder():
    seen = torch.tensor([True, False, True, False, True])
    classes = Classes(tuple("abcde"), {"one": related(5), "two": related(5, 8, 1)}, seen)
    optimised, outcomes = optimise_classes(classes, OptimiseConfig(growth=1.1))
    assert optimised.names == classes.names
    assert torch.equal(optimised.seen, seen)
    assert list(outcomes) == ["one", "two"]
    assert torch.equal(optimised.text["two"], optimise(classes.text["two"], OptimiseConfig(growth=1.1))[0])
    assert outcomes["one"].names == classes.names


def test_outcome_measures_against_loops():
    vectors = related(7).double()
    optimised, outcome = optimise(vectors)
    unit, moved = F.normalize(vectors, dim=1), F.normalize(optimised, dim=1)
    kept = 0
    for c in range(7):
        before = {k: 1 - float(unit[c] @ unit[k]) for k in range(7) if k != c}
        after = {k: 1 - float(moved[c] @ moved[k]) for k in range(7) if k != c}
        assert outcome.nearest_before[c] == pytest.approx(min(before.values()))
        assert outcome.neighbour_after[c] == min(after, key=after.get)
        kept += min(after, key=after.get) == min(before, key=before.get)
    assert outcome.kept == pytest.approx(kept / 7)
    data = json.loads(json.dumps(outcome.to_dict(), allow_nan=False))
    assert data["settings"]["growth"] == 1.35
    assert data["mean_after"] == pytest.approx(sum(outcome.nearest_after) / 7)


def test_rank_correlation_is_scipys_with_ties():
    from scipy.stats import spearmanr

    before, after = related(9).double(), related(9, seed=2).double()
    before[3] = before[4]  # ties in every row
    rho = []
    for c in range(9):
        rows = [
            [float(d) for k, d in enumerate(1 - F.normalize(v, dim=1) @ F.normalize(v[c], dim=0)) if k != c]
            for v in (before, after)
        ]
        rho.append(spearmanr([round(x, 9) for x in rows[0]], [round(x, 9) for x in rows[1]]).statistic)
    assert rank_correlation(before, after) == pytest.approx(sum(rho) / 9, abs=1e-9)
    assert rank_correlation(torch.eye(5).double(), before[:5]) == 1.0  # no order to lose
    assert nearest(before[:1])[1].tolist() == [-1]


def test_report_lists_the_wanted_classes():
    _, outcome = optimise(related(4), OptimiseConfig(growth=1.05), names=["dog", "cat", "rain on a roof", "guitar"])
    text = report(outcome, ["guitar", "dog"])
    table = text.split("\n\n")[1].split("\n")
    assert table[0].split() == ["class", "nearest", "before", "distance", "nearest", "after", "distance"]
    assert [line.split()[0] for line in table[1:]] == ["guitar", "dog"]
    assert f"{outcome.nearest_before[3]:.3f}" in table[1]
    assert len(report(outcome).split("\n\n")[1].split("\n")) == 5
    with pytest.raises(ValueError, match="No class 'cow'"):
        report(outcome, ["cow"])


def test_bad_vectors_and_settings_are_refused():
    with pytest.raises(ValueError, match=r"Class vectors \[1\] are zero"):
        optimise(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="not finite"):
        optimise(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match="expected \\[class, dim\\]"):
        optimise(torch.ones(3))
    for wrong in (
        {"semantic": "rank"},
        {"distance": "dot"},
        {"semantic_distance": "dot"},
        {"reduction": "none"},
        {"alpha": 2.0},
        {"growth": 0.9},
        {"correlation": 2.0},
        {"turn": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OptimiseConfig(**wrong)
