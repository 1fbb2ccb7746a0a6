"""`avshot bench` from file to table: what it trains, what it leaves out, what it prints, that it resumes."""

import csv
import io

import numpy as np
import pytest

from avshot.bench.command import run_bench
from avshot.bench.plan import load_plan
from avshot.bench.table import as_csv, as_latex, as_markdown, results
from avshot.bench.trainings import train_plan
from avshot.run import find_runs

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
    latex = (out / "bench.tex").read_text()
    assert r"Two \& more" in latex
    assert latex.count(r"\\") == 5  # head and four rows


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
    assert lines[2].seeds == 0
    assert "nonsense" in lines[2].reason
    text = as_markdown(plan, block, lines, caption="")
    assert "Not run: " in text
    assert "nonsense" in as_csv(plan, [(block, lines)])
    assert "no picture encoder" in as_latex(plan, block, lines)
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
