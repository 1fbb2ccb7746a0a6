"""`avshot bench` from file to table: what it trains, what it leaves out, what it prints, that it resumes."""

import csv
import io
import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from avshot.bench import trainings
from avshot.bench.latex import as_latex
from avshot.bench.paired import p_of_pairs
from avshot.bench.plan import load_plan
from avshot.bench.table import amount, as_csv, as_markdown, results
from avshot.bench.trainings import folder_names, train_plan
from avshot.cli.bench import run_bench
from avshot.report.rows import remarks as report_remarks
from avshot.report.rows import summarise
from avshot.run import Run, find_runs
from avshot.task import Scored

DATA = "simulated:ucf-main?scale=0.02"
PLAN = f"""
title = "Two & more"
source = "Somebody, Table 1"
datasets = ["{DATA}"]
seeds = [0, 1]
metrics = ["S", "HM"]
against = "plain"
references = []
[common]
method = "devise"
recipe = {{epochs = 2, batches_per_epoch = 4, passes_per_epoch = 0}}
[[rows]]
label = "plain"
note = "a note"
[rows.published]
"ucf-main" = {{S = 50.0, HM = 27.15}}
[[rows]]
label = "wide margin"
config = {{margin = 1.0}}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "plan.toml"
    file.write_text(PLAN)
    run_bench(file, folder / "out")
    return file, folder / "out"


def test_every_row_and_seed_is_a_run(bench):
    _, out = bench
    assert len(find_runs(out)) == 4
    assert (out / "simulated-ucf-main-scale=0.02" / "plain" / "seed-1" / "run.json").exists()


def test_the_table_holds_what_the_runs_measured(bench):
    _, out = bench
    rows = {(r["row"], r["metric"]): r for r in csv.DictReader(io.StringIO((out / "bench.csv").read_text()))}
    measured = [run.metrics["HM"] for run in find_runs(out / "simulated-ucf-main-scale=0.02" / "wide-margin")]
    row = rows["wide margin", "HM"]
    assert float(row["mean"]) == pytest.approx(np.mean(measured), abs=1e-6)
    assert float(row["deviation"]) == pytest.approx(np.std(measured, ddof=1), abs=1e-6)
    assert row["selected_on"] == "val_seen + val_unseen"
    assert 0 < float(row["p_HM"]) <= 1
    assert float(rows["plain", "HM"]["printed"]) == 0.2715
    assert rows["chance", "S"]["mean"] == f"{1 / 51:.6f}"
    assert rows["majority", "S"]["mean"] == f"{1 / 42:.6f}"
    text = (out / "bench.md").read_text()
    assert "| wide margin" in text
    assert "27.15" in text
    assert "[1] a note" in text
    assert "simulated: its numbers and the printed ones are of different data" in text
    assert "of 42 classes; tested on" in text
    assert (out / "bench.tex").read_text().count(r"Two \& more") == 2  # in the list of tables, too


def test_numbers_of_parameters_are_said_as_people_say_them():
    assert [amount(n) for n in (None, 0, 64, 300, 4096, 369_345, 12_000_000)] == [
        "-", "-", "64", "0.3 k", "4.1 k", "0.37 M", "12.00 M",
    ]  # fmt: skip


def test_a_report_of_the_bench_has_its_labels_and_notes(bench, tmp_path):
    """Also where the folder was moved; one by one, and where the file is gone or nonsense, settings name the Run."""
    _, out = bench
    moved = tmp_path / "elsewhere"
    shutil.copytree(out, moved)
    rows = [row for row in summarise(find_runs(moved)) if row.runs]
    assert {row.label for row in rows} == {"plain", "wide margin"}
    assert "plain: a note" in report_remarks(rows)
    derived = rows[0].runs[0].experiment.label()
    folders = [run.path for run in find_runs(moved) if run.path.parent.name == "plain"]
    (folders[0] / "row.json").unlink()  # a seed of an older bench: the other one knows
    assert {row.label for row in summarise(find_runs(moved)) if row.runs} == {"plain", "wide margin"}
    for nonsense in ("{", "[]", '{"label": " "}', '{"label": 3}'):
        for folder in folders:
            (folder / "row.json").write_text(nonsense)
        rows = [row for row in summarise(find_runs(moved)) if row.runs]
        labels = {run.path.parent.name: row.label for row in rows for run in row.runs}
        assert labels == {"plain": derived.replace("-margin=1.0", ""), "wide-margin": "wide margin"}
        assert any("called by its settings" in remark for remark in report_remarks(rows))


def test_rows_of_two_benches_that_share_a_label_are_told_apart(bench, tmp_path):
    file, out = bench
    other = tmp_path / "plan.toml"
    other.write_text(file.read_text().replace("config = {margin = 1.0}", "config = {margin = 0.5}"))
    run_bench(other, tmp_path / "out")
    rows = [row for row in summarise([*find_runs(out), *find_runs(tmp_path / "out")]) if row.runs]
    labels = {row.label for row in rows}
    assert labels == {"plain", "wide margin (margin=1.0)", "wide margin (margin=0.5)"}


def test_a_folder_that_holds_another_experiment_keeps_its_name(bench, tmp_path):
    file, out = bench
    moved = tmp_path / "out"
    shutil.copytree(out, moved)
    names = {path: path.read_text() for path in moved.rglob("row.json")}
    changed = tmp_path / "plan.toml"
    changed.write_text(file.read_text().replace("margin = 1.0", "margin = 2.0").replace("a note", "another note"))
    with pytest.raises(ValueError, match=r"another experiment .*margin"):
        run_bench(changed, moved)
    for path, before in names.items():
        assert (path.read_text() == before) == (path.parts[-3] == "wide-margin")


def test_a_second_call_trains_nothing(bench, capsys):
    file, out = bench
    before = {run.path: (run.path / "run.json").stat().st_mtime_ns for run in find_runs(out)}
    run_bench(file, out)
    assert {run.path: (run.path / "run.json").stat().st_mtime_ns for run in find_runs(out)} == before
    assert "wide margin" in capsys.readouterr().out


def test_what_does_not_fit_is_left_out_with_the_reason(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        PLAN + '[[rows]]\nlabel = "no picture encoder"\nmethod = "tcaf"\nconfig = {audio_scaling = "nonsense"}\n'
    )
    plan = load_plan(file)
    outcome = train_plan(plan, tmp_path / "out", [DATA])
    (block,) = outcome.blocks
    lines = results(plan, block)
    assert lines[2].runs == ()
    assert "nonsense" in lines[2].reason
    text = as_markdown(plan, block, lines, caption="")
    assert "Not run: " in text
    assert "nonsense" in as_csv(plan, [(block, lines)])
    assert r"\textsuperscript{2} Not run: " in as_latex(plan, [(block, lines)], date(2026, 11, 30))
    assert outcome.trainings == 4


def test_a_bench_without_data_says_what_to_do(tmp_path):
    file = tmp_path / "plan.toml"
    rows = '[[rows]]\nmethod = "devise"\n'
    file.write_text(f'title = "T"\n{rows}')
    with pytest.raises(ValueError, match="pass --dataset SPEC"):
        run_bench(file, tmp_path / "out")
    file.write_text(f'title = "T"\ndatasets = ["ucf-cls", "ucf-main"]\n{rows}')
    with pytest.raises(ValueError, match="ucf-cls is a released benchmark: pass --root"):
        run_bench(file, tmp_path / "out")
    with pytest.raises(ValueError, match="nowhere"):
        run_bench(file, tmp_path / "out", root=tmp_path / "nowhere")


def test_a_dataset_that_cannot_be_loaded_stops_no_other(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.replace("seeds = [0, 1]", "seeds = [0]").replace(f'["{DATA}"]', f'["nothing.toml", "{DATA}"]'))
    with pytest.raises(ValueError, match=r"1 of 3 trainings failed .*nothing"):
        run_bench(file, tmp_path / "out")
    assert "simulated-ucf-main" in (tmp_path / "out" / "bench.md").read_text()


def test_legacy_rows_read_the_data_as_the_released_programs_do(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.replace("seeds = [0, 1]", "seeds = [0]"))
    run_bench(file, tmp_path / "out", legacy=True)
    runs = {run.path.parent.name: run for run in find_runs(tmp_path / "out")}
    assert set(runs) == {"plain", "plain-legacy", "wide-margin", "wide-margin-legacy"}
    assert runs["plain-legacy"].experiment.legacy
    assert runs["plain-legacy"].experiment.dataset == f"{DATA}&shifted=true"
    right, shifted = (runs[name].classes() for name in ("plain", "plain-legacy"))
    assert right.names == shifted.names
    vectors, moved = (next(iter(classes.text.values())) for classes in (right, shifted))
    assert not (vectors == moved).all()  # names and vectors are joined otherwise
    assert (out := (tmp_path / "out" / "bench.md").read_text()).index("| plain ") < out.index("| plain (legacy)")


def test_rows_and_datasets_that_would_share_a_folder_do_not():
    labels = ["a b", "a-b", "A b", "x" * 90, "y" + "x" * 89, "c"]
    names = folder_names({label: label for label in labels})
    assert len({name.casefold() for name in names.values()}) == 6
    assert names["c"] == "c"
    assert folder_names({"a b": "a b"}) == {"a b": "a-b"}


def test_a_row_on_other_data_is_not_averaged_with_the_new_ones(tmp_path, monkeypatch):
    """The data change between two calls: rows of the old data are refused by name, and stand in no table."""
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.replace("seeds = [0, 1]", "seeds = [0]"))
    run_bench(file, tmp_path / "out")
    real = trainings.load_described

    def changed(spec):
        dataset = real(spec)
        return replace(dataset, folds={**dataset.folds, "test_unseen": dataset.folds["test_unseen"][::2]})

    monkeypatch.setattr(trainings, "load_described", changed)
    with pytest.raises(ValueError, match=r"2 of 2 trainings failed.*fold test_unseen"):
        run_bench(file, tmp_path / "out")
    rows = [r for r in csv.DictReader(io.StringIO((tmp_path / "out" / "bench.csv").read_text())) if r["row"] == "plain"]
    assert [row["mean"] for row in rows] == ["", ""]
    file.write_text(PLAN)  # seed 1 is new: it alone stands in the table
    with pytest.raises(ValueError, match="2 of 4 trainings failed"):
        run_bench(file, tmp_path / "out")
    rows = [r for r in csv.DictReader(io.StringIO((tmp_path / "out" / "bench.csv").read_text())) if r["row"] == "plain"]
    assert {row["seeds"] for row in rows} == {"1"}
    assert all("fold test_unseen" in row["note"] for row in rows)


def test_p_pairs_clips_by_id_and_refuses_other_clips_labels_and_classes(bench):
    _, out = bench
    one, two = (find_runs(out / "simulated-ucf-main-scale=0.02" / row)[0] for row in ("plain", "wide-margin"))
    test = two.scored("test")

    class Reordered(Run):
        def scored(self, part):
            return given

    other = Reordered(two.path, two.experiment, two.info, two.metrics)
    turned = list(range(len(test.ids)))[::-1]
    given = Scored(test.scores[turned], test.labels[turned], test.seen, test.names, tuple(test.ids[i] for i in turned))
    assert p_of_pairs([(one, other)]) == p_of_pairs([(one, two)])
    given = replace(test, ids=("nobody", *test.ids[1:]))
    with pytest.raises(ValueError, match="same clips"):
        p_of_pairs([(one, other)])
    given = replace(test, labels=test.labels.roll(1))
    with pytest.raises(ValueError, match="other labels"):
        p_of_pairs([(one, other)])
    given = replace(test, names=test.names[::-1])
    with pytest.raises(ValueError, match="same classes"):
        p_of_pairs([(one, other)])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds = [0, 1]", "seeds = [0, true]", "seeds.2"), ("seeds = [0, 1]", "seeds = [-1]", "seeds.1"),
        ("references = []", "references = 5", "references"), ("references = []", 'references = ["nobody"]', "nobody"),
        ('metrics = ["S", "HM"]', 'metrics = "HM"', "metrics"), ("S = 50.0", "S = nan", "published"),
        ("config = {margin = 1.0}", "config = 3", "config"), ("epochs = 2", "epochs = 0", "epochs is 0"),
        ("epochs = 2", "lr = nan", "lr is nan"), ('title = "Two & more"', "title = []", "title"),
    ],
)  # fmt: skip
def test_a_bench_file_with_another_kind_of_value_is_a_sentence(tmp_path, old, new, words):
    file = tmp_path / "plan.toml"
    assert old in PLAN
    file.write_text(PLAN.replace(old, new))
    with pytest.raises(ValueError, match=rf"plan\.toml.*{words}") as caught:
        load_plan(file)
    assert "\n" not in str(caught.value)
