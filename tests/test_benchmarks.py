"""The benchmark suite: what it computes, what it keeps and what it says; never how fast anything is."""

import ast
import json
import math
import operator
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))  # the sections import each other as scripts do
SECTIONS = ("growth", "measure", "report", "startup", "run", "training", "workload", "full_size")
growth, measure, report, startup, suite, training, workload, full_size = map(import_module, SECTIONS)

# --- figures ---------------------------------------------------------------------------------------------------------


@given(power=st.floats(-1, 3), factor=st.floats(1e-6, 10), first=st.floats(1, 100))
def test_exponent_of_an_exact_power(power, factor, first):
    sizes = [first * 2**i for i in range(4)]
    assert measure.exponent(sizes, [factor * size**power for size in sizes]) == pytest.approx(power, abs=1e-6)


def test_exponent_is_least_squares():
    sizes, seconds = [1, 10, 100], [1.0, 20.0, 150.0]
    x, y = (torch.tensor(values, dtype=torch.float64).log() for values in (sizes, seconds))
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    slope = torch.linalg.lstsq(design, y[:, None]).solution[0].item()
    assert measure.exponent(sizes, seconds) == pytest.approx(slope)


@pytest.mark.parametrize(("sizes", "seconds"), [([3], [1]), ([2, 2], [1, 2]), ([1, 2], [1]), ([1, 2], [0, 1])])
def test_exponent_says_what_it_needs(sizes, seconds):
    with pytest.raises(ValueError, match="expected"):
        measure.exponent(sizes, seconds)


def test_interleaved_takes_turns_and_medians(monkeypatch):
    clock, order = [0.0], []
    costs = {"a": [1, 100, 3], "b": [5, 5, 5]}  # the second "a" was disturbed
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])

    def work(name):
        clock[0] += costs[name][order.count(name)]
        order.append(name)

    assert measure.interleaved({name: lambda name=name: work(name) for name in costs}) == {"a": 3, "b": 5}
    assert order == list("ababab")


def test_interleaved_can_count_seconds_of_processor():
    ticks = iter([0.0, 2.0, 10.0, 13.0])
    assert measure.interleaved({"a": lambda: None, "b": lambda: None}, 1, lambda: next(ticks)) == {"a": 2, "b": 3}


def test_gflop_counts_both_passes():
    a, b = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7, requires_grad=True)
    product = 2 * 3 * 5 * 7
    assert measure.gflop(lambda: a @ b) * 1e9 == pytest.approx(product)
    assert measure.gflop(lambda: (a @ b).sum().backward()) * 1e9 == pytest.approx(3 * product)
    assert measure.gflop(lambda: a + a) == 0


def test_gflop_counts_fused_attention():
    q, k = torch.randn(2, 4, 10, 16, requires_grad=True), torch.randn(2, 4, 12, 16, requires_grad=True)
    product = 2 * 2 * 4 * 10 * 12 * 16
    attend = torch.nn.functional.scaled_dot_product_attention
    for mask in (None, torch.ones(10, 12, dtype=torch.bool)):
        assert measure.gflop(lambda m=mask: attend(q, k, k, attn_mask=m)) * 1e9 == pytest.approx(2 * product)
        # Backwards: the weights anew, then gradients of values, weights, queries and keys.
        whole = measure.gflop(lambda m=mask: attend(q, k, k, attn_mask=m).sum().backward()) * 1e9
        assert whole == pytest.approx(7 * product)


def test_gflop_of_a_loss_that_takes_a_gradient():
    layer, value = torch.nn.Linear(4, 6, bias=False), torch.randn(3, 4, requires_grad=True)

    def penalty():
        (slope,) = torch.autograd.grad(layer(value).sum(), value, create_graph=True)
        slope.square().sum().backward()

    assert measure.gflop(penalty) * 1e9 == pytest.approx(3 * 2 * 3 * 4 * 6)  # forward, slope, its backward pass


@pytest.fixture
def bare(monkeypatch):
    """Child processes without torch, which they need not have here."""
    monkeypatch.setattr(measure, "PRELOADED", [])


def test_peak_memory_is_that_of_the_process(bare):
    held = torch.ones(60_000_000)  # 240 MB here are none of the child's
    result, memory = measure.with_peak_memory(operator.add, 1, 2)
    assert result == 3
    assert 1 < memory < held.nbytes / 1e6


def test_a_process_that_dies_or_takes_too_long(bare):
    with pytest.raises(RuntimeError, match="died"):
        measure.with_peak_memory(os._exit, 3)
    with pytest.raises(TimeoutError, match=r"sleep\(60,\) took more than 0 s"):
        measure.with_peak_memory(time.sleep, 60, limit=0.1)


# --- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "wanted", "higher", "verdict"),
    [
        (20.0, 20, True, "reached"),
        (19.9, 20, True, "not reached"),
        (0.4, 0.5, False, "reached"),
        (0.51, 0.5, False, "not reached"),
        (math.nan, 1, True, "not reached"),
        (math.nan, 1, False, "not reached"),
    ],
)
def test_verdict(got, wanted, higher, verdict):
    assert measure.Target("work", got, wanted, higher_is_better=higher).verdict == verdict


def test_a_target_as_a_row():
    assert measure.Target("loss", 31.234, 20).cells == ["loss", "31.2 x", "at least 20 x", "reached"]
    limit = measure.Target("peak", 12345.6, 6000, "MB", higher_is_better=False)
    assert limit.cells == ["peak", "12346 MB", "at most 6000 MB", "not reached"]
    assert measure.Target("nothing", math.nan, 0.8).cells == ["nothing", "-", "at least 0.8 x", "not reached"]
    assert measure.Target("share", 0.9, 0.8, "").cells == ["share", "0.9", "at least 0.8", "reached"]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sections(monkeypatch, tmp_path):
    """A suite of three small sections, the second of which fails."""

    def fails():
        raise RuntimeError("no  such\nluck")

    works = {
        "first": lambda: print("a table") or [measure.Target("speed", 2.0, 3.0)],
        "second": fails,
        "third": lambda: print("another table"),
    }
    for name, work in works.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(run=work))
    monkeypatch.setattr(suite, "SECTIONS", tuple(works))
    monkeypatch.setattr(measure, "options", measure.Options())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def test_every_section_is_there_and_says_what_it_is():
    for name in suite.SECTIONS:
        tree = ast.parse((BENCHMARKS / f"{name}.py").read_text(encoding="utf-8"))
        assert suite.about(name).endswith((".", "?")), name
        assert "run" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_list_runs_nothing(sections, capsys):
    assert suite.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(suite.SECTIONS)


def test_an_unknown_section(capsys):
    with pytest.raises(SystemExit) as stopped:
        suite.main(["store", "stroe"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("No section 'stroe'; sections: ranking, ")
    assert said.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_a_sentence(capsys):
    with pytest.raises(SystemExit) as stopped:
        suite.main(["store", "--device", "cuda"])
    assert stopped.value.code == 2
    assert "no GPU" in capsys.readouterr().err


def test_a_section_that_fails_does_not_stop_the_others(sections, capsys):
    assert suite.main(["--keep", str(sections)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(measure.machine())
    line = next(line for line in said.splitlines() if line.startswith("second failed"))
    assert line.startswith("second failed at run.py:")
    assert line.endswith("RuntimeError: no such luck")
    assert said.index("a table") < said.index("second failed") < said.index("another table") < said.index("Targets")
    assert "not reached" in said.split("Targets")[1]


def test_what_was_printed_is_kept_beside_what_was_there(sections, capsys):
    suite.main(["third", "--keep", str(sections)])
    assert suite.main(["first", "--keep", str(sections)]) == 0
    kept = json.loads((sections / "tables.json").read_text())
    assert list(kept) == ["first", "third"]  # in the order of the suite
    assert kept["first"]["text"] == "a table\n"
    assert kept["first"]["machine"] == measure.machine()
    page = (sections / "tables.md").read_text()
    assert page.index("| first") < page.index("### first") < page.index("### third")
    assert "2 x" in page
    assert "at least 3 x" in page


def test_quick_figures_are_not_kept(sections, capsys):
    before = sorted(measure.Options().results.iterdir())
    assert suite.main(["third", "--quick"]) == 0
    assert not measure.options.results.exists()
    assert sorted(measure.Options().results.iterdir()) == before
    with pytest.raises(SystemExit):
        suite.main(["third", "--quick", "--write-readme"])


def test_keep_says_where_and_when(sections, monkeypatch):
    monkeypatch.setattr(measure.options, "results", sections / "new")
    content = json.loads(measure.keep("work", {"seconds": 1.5}).read_text())
    assert content.pop("date")
    assert content == {"machine": measure.machine(), "seconds": 1.5}


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_tables_are_replaced_and_nothing_else(sections, monkeypatch, capsys):
    page = sections / "README.md"
    page.write_text(f"before\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\nafter\n")
    monkeypatch.setattr(suite, "README", page)
    results = str(sections / "results")
    assert suite.main(["--write-readme", "--keep", results]) == 2
    assert "run the benchmarks first" in capsys.readouterr().err
    suite.main(["first", "--keep", results])
    assert suite.main(["--write-readme", "--keep", results]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\n\nafter\n")
    assert "old" not in text
    assert "```text\na table\n```" in text
    suite.main(["--write-readme", "--keep", results])
    assert page.read_text() == text


@pytest.mark.parametrize("text", ["none", report.BEGIN, report.END, f"{report.END} {report.BEGIN}", report.BEGIN * 2])
def test_a_page_without_one_pair_of_markers(text):
    with pytest.raises(ValueError, match="Expected one"):
        report.replace_block(text, "tables")


def test_the_page_of_the_benchmarks_has_a_place_for_tables():
    text = suite.README.read_text(encoding="utf-8")
    assert "NEW" in report.replace_block(text, "NEW")
    for name in suite.SECTIONS:
        assert f"`{name}`" in text


# --- sections --------------------------------------------------------------------------------------------------------


def test_slow_imports_come_first():
    head = "noise\nimport time: self [us] | cumulative | imported package\n"
    lines = "import time:  40 |  90 |   a.b\nimport time: 50 | 50 | c\n"
    assert startup.offenders(head + lines) == [
        ("c", 0.05),
        ("a.b", 0.04),
    ]


def test_growth_measures_what_its_curves_name(tmp_path):
    assert {curve.maker for curve in growth.CURVES} == set(growth.MAKERS)
    curve = growth.Curve("scores", "classes", (3, 5), "classes_scored", "devise")
    found = growth._measure(curve, curve.sizes, "cpu", 1)
    assert list(found) == [3, 5]
    assert all(point["seconds"] > 0 and point["peak_mb"] > 0 for point in found.values())
    assert growth._features("gru", 2, 9.6).audio.shape == (2, 10, 128)
    assert growth._scored("gru", growth._features("gru", 2, 9.6), growth._classes(7), "cpu")().shape == (2, 7)


def test_clips_are_trained_and_scored_as_the_protocol_does_it():
    made = workload.workload("devise", 150)
    assert len(made.source.classes) == 138
    assert made.judged.scored(torch.zeros(len(made.judged), 271)).seen.sum() == 138
    assert training._evaluation(made, 0.01, 1) > 0
    assert training._steps(made, 1, 0) > 0


def test_full_size_scores_what_it_trained():
    row = full_size.measure("devise", 0.002)
    assert 0 <= row["test HM after it"] <= 100
    assert row["clips/s"] > 0
