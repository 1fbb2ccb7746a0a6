"""EZ-AVGZL's Table 8 against the released vectors: its column before optimisation fits the positional join alone."""

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
table_8 = import_module("table_8")


@pytest.fixture(scope="module")
def folder():
    if not os.environ.get("AVSHOT_DATA"):
        pytest.skip("AVSHOT_DATA is not set; it names the folder of real data")
    return Path(os.environ["AVSHOT_DATA"])


@pytest.fixture(scope="module")
def found(folder):
    return {join: table_8.training_classes(folder, join) for join in table_8.JOINS}


def fits(found, row):
    return [join for join, (names, vectors) in found.items() if table_8.matches(row, names, vectors)]


def test_the_classes_are_those_of_stage_1(found):
    for names, vectors in found.values():
        assert len(names) == len(vectors) == 138
        assert vectors.norm(dim=1).numpy() == pytest.approx(1)
    shifted = (found["position"][1] != found["name"][1]).any(dim=1)
    assert int(shifted.sum()) == 84


def test_all_ten_rows(found):
    rows = {row.name: fits(found, row) for row in table_8.TABLE_8}
    assert len(rows) == 10
    only = {name for name, joins in rows.items() if joins == ["position"]}
    assert only == {"alligators, crocodiles hissing", "bee, wasp, etc. buzzing", "bird squawking", "bowling impact"}
    assert {name for name, joins in rows.items() if joins == []} == {"canary calling"}  # cannot be read
    assert sum(joins == ["position", "name"] for joins in rows.values()) == 5


@pytest.mark.parametrize(
    ("name", "neighbour", "distance"),
    [
        ("alligators, crocodiles hissing", "cat hissing", 0.345),
        ("bee, wasp, etc. buzzing", "fly, housefly buzzing", 0.233),
        ("bird squawking", "warbler chirping", 0.449),
        ("bowling impact", "striking bowling", 0.350),
    ],
)
def test_by_name_they_would_be_others(found, name, neighbour, distance):
    names, vectors = found["name"]
    apart, index = table_8.nearest(vectors)
    place = names.index(name)
    assert names[int(index[place])] == neighbour
    assert float(apart[place]) == pytest.approx(distance, abs=5e-4)


@pytest.mark.parametrize("row", [row for row in table_8.TABLE_8 if row.after_neighbour], ids=lambda row: row.name)
def test_separation_cannot_make_the_neighbours_of_the_column_after_from_positional_vectors(found, row):
    apart = {}
    for join, (names, vectors) in found.items():
        a, b = names.index(row.name), names.index(row.after_neighbour)
        apart[join] = 1 - float(vectors[a] @ vectors[b])
    assert apart["position"] > row.after + 0.1  # they would have had to come nearer, and separation moves apart
    assert 1.2 < row.after / apart["name"] < 1.45  # the growth of the rows that both joins share


def test_the_tables_name_both_joins(folder):
    before, after = table_8.before_table(folder), table_8.after_table(folder, "ranking", 1.2)
    last = [line.strip("| ").rpartition("|")[2].strip() for line in before.splitlines()[2:]]
    assert [last.count(text) for text in ("position only", "either", "neither")] == [4, 5, 1]
    assert [sum(f"| {join} " in line for line in after.splitlines()) for join in ("position", "name")] == [2, 2]


def test_a_repaired_join_is_worth_more_than_optimisation(folder):
    text = table_8.recognition(folder, ["eszsl"], draws=1, scale=0.03, noise=2.0)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    hm = {(join, on): float(value) for _, join, on, _, _, value, _ in cells}
    repaired = hm["name", "off"] - hm["position", "off"]
    assert repaired > 30
    assert abs(hm["name", "on"] - hm["name", "off"]) < repaired / 3
