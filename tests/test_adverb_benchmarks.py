"""The tables of adverbs on rendered manners and on GRID: what they average, and what GRID's digits give away."""

import os
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))  # scripts import each other
adverb_table, grid_adverbs = (import_module(name) for name in ("adverb_table", "grid_adverbs"))

GRID = Path(os.environ.get("AVSHOT_DATA", ""), "grid", "labels.csv")


def run(seen, unseen):
    return SimpleNamespace(metrics={"seen": dict(zip(adverb_table.METRICS, seen, strict=True)), "unseen": unseen})


def test_sides_are_averaged_over_seeds_and_the_best_comes_first():
    good = [run((0.5, 0.9), {"mAP W": 0.3, "Acc-A cls": value}) for value in (0.7, 0.8)]
    poor = [run((0.6, 0.8), {"mAP W": 0.2, "Acc-A cls": 0.5})]
    rows = adverb_table.by_merit({"poor": adverb_table.sides_of(poor), "good": adverb_table.sides_of(good)})
    assert list(rows) == ["good", "poor"]
    head, _, first, second = adverb_table.table_of(rows).strip().splitlines()
    assert [cell.strip() for cell in head.split("|")[2:4]] == ["mAP W, seen pairs", "Acc-A cls, seen pairs"]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "good",
        "50.0 ± 0.0",
        "90.0 ± 0.0",
        "30.0 ± 0.0",
        "75.0 ± 7.1",
    ]
    assert [cell.strip() for cell in second.split("|")[1:-1]] == ["poor", "60.0", "80.0", "20.0", "50.0"]


def test_a_side_that_was_not_measured_is_left_open():
    rows = {
        "one": adverb_table.sides_of(
            [SimpleNamespace(metrics={"seen": None, "unseen": {"mAP W": 1.0, "Acc-A cls": 1.0}})]
        )
    }
    assert [cell.strip() for cell in adverb_table.table_of(rows).strip().splitlines()[2].split("|")[2:-1]] == [
        "-",
        "-",
        "100.0",
        "100.0",
    ]


def test_counts_of_training_clips_are_guessed_on_each_side():
    """By hand: two actions, two opposite adverbs; the second action trains with neither."""
    from avshot.task import Scored, get_task
    from avshot.types import Factor

    action = Factor(torch.tensor([0, 0, 1, 1]), ("cut", "stir"))
    adverb = Factor(torch.tensor([0, 1, 0, 1]), ("slowly", "quickly"), {}, torch.tensor([1, 0]))
    labels, names = torch.tensor([0, 1, 2, 3]), ("cut slowly", "cut quickly", "stir slowly", "stir quickly")
    seen = torch.tensor([True, True, False, False])
    factors, counts = {"action": action, "adverb": adverb}, torch.tensor([6, 2, 0, 0])
    scored = Scored(torch.zeros(4, 4), labels, seen, names, tuple("abcd"), factors, counts)
    found = adverb_table.guessers_of(get_task("adverb"), scored)["priors"]
    assert found["seen"]["Acc-A cls"] == found["unseen"]["Acc-A cls"] == [0.5]


@pytest.mark.skipif(not GRID.is_file(), reason="needs GRID: AVSHOT_DATA with grid/labels.csv")
def test_the_digit_answers_all_but_the_stand_ins_that_are_taken(tmp_path):
    """Its parity fixes half of the adverbs, so opposites must lie within a half."""
    known, found = grid_adverbs.cues(), {}
    for i, antonyms in enumerate((grid_adverbs.ANTONYMS, *grid_adverbs.OTHERS)):
        data = grid_adverbs.load_manifest(grid_adverbs.declared(tmp_path / str(i), antonyms), features=False)
        found[i] = grid_adverbs.tells(data, known)
        assert len(data.pairs.actions) == 16
        assert len(data.classes_of("test_unseen")) == 8
    assert found[0]["unseen"]["Acc-A cls"][0] < 0.6
    for i in (1, 2):
        assert [found[i][side]["Acc-A cls"] for side in grid_adverbs.SIDES] == [[1.0], [1.0]]
