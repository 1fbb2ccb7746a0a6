"""Files of experiments: those of the thesis's figures, what is refused, and the table that comes of one."""

import csv
import io
from pathlib import Path

import pytest

from avshot.errors import AvshotError, BadSetting
from avshot.games.curves import curve_svg, running_mean
from avshot.games.experiment import resolve
from avshot.games.grid import HEAD, as_csv, p_value, run_plan, slug, table
from avshot.games.measures import paired_p, wilson
from avshot.games.plan import load_plan, only
from avshot.games.play import load_rounds

FILES = sorted((Path(__file__).parent.parent.parent / "experiments").glob("games-*.toml"))
PLAN = """
title = "Two rows"
seeds = [0, 1]
against = "zero-shot"
[play]
game = "rei?differ=shape,material,size"
source = "symbolic"
updates = 40
test = 60
[[rows]]
label = "zero-shot"
[[rows]]
label = "KTO"
learner = "kto"
stranger = "exact"
[[columns]]
label = "colour-blind"
listener = "exact?ignores=color"
[[published]]
row = "KTO"
column = "colour-blind"
value = 0.69
note = "somebody's"
"""


def written(tmp_path, text=PLAN):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_resolves(file):
    plan = load_plan(file)
    assert plan.source
    assert plan.title
    assert plan.against in plan.rows
    asked = [repr(sorted(vars(play).items())) for play in plan.cells.values()]
    assert len(set(asked)) == len(asked) >= 4
    assert len({slug(row).casefold() for row in plan.rows}) == len(plan.rows)
    for play in plan.cells.values():
        parts = resolve(play)
        assert (parts.learner is None) == (play.learner == "none")
        assert len(parts.game.draw(1, 0)) == 1
    for each in plan.published:
        assert 0 <= each.value <= 1
        assert each.note


def test_there_is_a_file_for_every_figure_that_small_players_can_play():
    names = {file.stem.removeprefix("games-figure-") for file in FILES}
    assert {"7.3", "7.5", "7.9", "7.10", "f1"} <= names


def test_printed_numbers_of_the_grey_and_blurred_listeners():
    """Against the prose of appendix F.3 and section 7.4.4, typed again here."""
    f1 = {(e.row, e.column, e.note): e.value for e in load_plan(_file("f1")).published}
    assert f1["all kinds", "blurred", "LLaVA-7B"] == 0.74
    assert f1["without colour", "colour-blind", "LLaVA-13B"] == 0.65
    res = {(e.row, e.column): e.value for e in load_plan(_file("7.9")).published}
    assert [res["KTO", column] for column in ("normal", "does not know materials", "colour-blind")] == [0.44, 0.41, 0.4]


def _file(name):
    (found,) = (file for file in FILES if file.stem == f"games-figure-{name}")
    return found


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    plan = load_plan(written(folder))
    return plan, run_plan(plan, folder / "out"), folder / "out"


def test_a_row_that_learns_nothing_is_played_once(played):
    _, cells, out = played
    assert [len(cell.records) for cell in cells] == [1, 2]
    assert (out / "KTO" / "colour-blind" / "seed-1" / "play.json").is_file()


def test_the_table_holds_means_intervals_and_a_paired_test(played):
    plan, (first, second), out = played
    lines = [dict(zip(HEAD, line, strict=True)) for line in table(plan, [first, second])]
    scores = [record["after"]["score"] for record in second.records]
    assert float(lines[1]["score"].split(" ± ")[0]) == pytest.approx(sum(scores) / 2, abs=6e-4)
    low, high = wilson(round(60 * scores[0]), 60)
    assert lines[1]["95 %"] == f"{low:.2f} to {high:.2f}"
    transcripts = [
        [each.score for each in load_rounds(out / slug(cell.row) / "colour-blind" / "seed-0" / "after.jsonl")]
        for cell in (second, first)
    ]
    assert p_value(second, [first, second], "zero-shot") == paired_p(*transcripts)
    assert lines[0]["p"] == "-"
    assert (lines[0]["printed"], lines[1]["printed"]) == ("-", "0.69")


def test_the_csv_has_a_line_for_each_experiment(played):
    plan, cells, _ = played
    lines = list(csv.DictReader(io.StringIO(as_csv(plan, cells))))
    assert [(line["row"], line["seed"]) for line in lines] == [("zero-shot", "0"), ("KTO", "0"), ("KTO", "1")]
    assert lines[1]["interactions"] == "120"
    assert float(lines[1]["stranger"]) == cells[1].records[0]["stranger"]["score"]
    scores = [point["score"] for point in cells[1].records[0]["curve"]]
    assert float(lines[1]["training_last"]) == pytest.approx(sum(scores[-30:]) / 30)
    assert float(lines[1]["training_peak"]) >= float(lines[1]["training_last"])
    assert (lines[0]["training_last"], lines[1]["checks_peak"]) == ("", "")
    assert float(lines[1]["score"]) == cells[1].records[0]["after"]["score"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title = "Two rows"', "title = ", "is no TOML"),
        ("seeds = [0, 1]", "seeds = 3", "seeds is 3; expected a list"),
        ("seeds = [0, 1]", "seed = 3", "has 'seed'; expected .*Did you mean 'seeds'"),
        (
            'learner = "kto"',
            'lerner = "kto"',
            r"KTO / colour-blind: Play has no field 'lerner'.*Did you mean 'learner'",
        ),
        ('learner = "kto"', "seed = 1", "sets seed; list seeds at the top"),
        ('label = "KTO"', 'label = "zero-shot"', "two of \\[\\[rows\\]\\] have the same label"),
        ('against = "zero-shot"', 'against = "zero"', "against is 'zero', which is no row; rows: zero-shot, KTO"),
        ('row = "KTO"', 'row = "PPO"', "stands at 'PPO' / 'colour-blind', which is no cell"),
        ("value = 0.69", "number = 0.69", "expected row, column, value"),
        ("[[columns]]", "[[colums]]", "has 'colums'"),
        ("updates = 40", "updates = -4", "updates is -4; expected 0 or more"),
    ],
)
def test_a_wrong_file_is_told_in_one_sentence(tmp_path, old, new, words):
    assert old in PLAN
    with pytest.raises(BadSetting, match=words):
        load_plan(written(tmp_path, PLAN.replace(old, new, 1)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AvshotError, match="There is no file"):
        load_plan(tmp_path / "absent.toml")


def test_some_rows_with_the_one_they_are_tested_against(tmp_path):
    plan = load_plan(written(tmp_path))
    assert only(plan, ["KTO"]).rows == ["zero-shot", "KTO"]
    assert only(plan, ["zero-shot"]).published == ()
    with pytest.raises(BadSetting, match="There is no row 'kto'; rows: zero-shot, KTO. Did you mean 'KTO'"):
        only(plan, ["kto"])


def test_running_means_by_a_loop():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    expected = [sum(values[max(0, i - 2) : i + 1]) / len(values[max(0, i - 2) : i + 1]) for i in range(5)]
    assert running_mean(values, 3) == pytest.approx(expected)


def test_a_curve_says_peak_and_last():
    curve = [{"update": i + 1, "score": float(i == 0)} for i in range(100)]
    drawn = curve_svg(curve, [(0, 0.5), (50, 0.25)])
    assert "peak 1.00 at 1, last 0.00" in drawn
    assert drawn.count("<circle") == 2
    assert "nan" not in drawn
