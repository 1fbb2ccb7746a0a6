"""Bench files: what they may say, and what each row becomes."""

from pathlib import Path

import pytest

from avshot.bench.plan import benchmark_of, experiment_of, load_plan, locate, task_of

PLAN = """
title = "T"
datasets = ["simulated:ucf-main?scale=0.02"]
seeds = [0, 1]
against = "a"
references = ["devise"]
[common]
method = "avca"
preset = "auto"
config = {margin = 0.5}
[[rows]]
label = "a"
[[rows]]
label = "b"
config = {hidden = 32}
optimise_classes = true
[rows.published]
"ucf-main" = {HM = 27.15}
"""


def written(tmp_path, text):
    file = tmp_path / "plan.toml"
    file.write_text(text)
    return file


def test_rows_take_over_what_is_common(tmp_path):
    plan = load_plan(written(tmp_path, PLAN))
    assert [row.label for row in plan.rows] == ["a", "b", "devise"]
    experiment = experiment_of(plan.rows[1], "simulated:ucf-main?scale=0.02", seed=3)
    assert (experiment.method, experiment.preset, experiment.seed) == ("avca", "ucf-main", 3)
    assert experiment.config == {"margin": 0.5, "hidden": 32}
    assert experiment.optimise_classes is True
    assert plan.rows[1].published == {"ucf-main": {"HM": 27.15}}
    assert plan.rows[2].reference
    assert "config" not in plan.rows[2].settings  # a reference has its own


def test_auto_takes_the_default_preset_on_other_data(tmp_path):
    row = load_plan(written(tmp_path, PLAN)).rows[0]
    assert experiment_of(row, "my/world.toml", seed=0, name="world").preset == "default"
    assert experiment_of(row, "x", seed=0, name="ucf-cls-legacy").preset == "ucf-cls"


def test_legacy_doubles_every_row_but_references(tmp_path):
    plan = load_plan(written(tmp_path, PLAN)).with_legacy()
    assert [row.label for row in plan.rows] == ["a", "a (legacy)", "b", "b (legacy)", "devise"]
    assert experiment_of(plan.rows[1], "x", seed=0).legacy
    assert not experiment_of(plan.rows[2], "x", seed=0).legacy


def test_another_task_for_every_row(tmp_path):
    plan = load_plan(written(tmp_path, PLAN))
    few = plan.with_task("gfsl?shots=2")
    assert [task_of(row).title for row in few.rows] == ["gfsl?shots=2"] * 3
    assert few.metrics == task_of(few.rows[0]).metrics
    assert experiment_of(few.rows[0], "simulated:ucf-cls", seed=0).task == "gfsl"
    back = few.with_task("gzsl")
    assert [task_of(row).title for row in back.rows] == ["gzsl"] * 3
    assert [experiment_of(row, "x", seed=0) for row in back.rows] == [
        experiment_of(row, "x", seed=0) for row in plan.rows
    ]
    with pytest.raises(ValueError, match="gzls"):
        plan.with_task("gzls")
    closed = load_plan(written(tmp_path, 'title = "T"\n[common]\ntask = "gfsl"\n[[rows]]\nmethod = "devise"\n'))
    with pytest.raises(ValueError, match="shots"):
        closed.with_task("gfsl?shots=none")


def test_settings_of_the_task_add_up(tmp_path):
    text = (
        'title = "T"\n[common]\ntask = "gfsl"\ntask_config = {shots = 2}\n[[rows]]\nmethod = "devise"\n'
        "task_config = {draws = 1}\n"
    )
    with pytest.raises(ValueError, match="a table is of one"):  # the references have the common settings alone
        load_plan(written(tmp_path, text))
    plan = load_plan(written(tmp_path, "references = []\n" + text))
    assert task_of(plan.rows[0]).title == "gfsl?shots=2&draws=1"


def test_only_some_methods(tmp_path):
    plan = load_plan(written(tmp_path, PLAN))
    only = plan.only(["devise"])
    assert [row.label for row in only.rows] == ["devise"]
    assert only.against == ""
    with pytest.raises(ValueError, match="this bench has avca, devise"):
        plan.only(["devise", "tcaf"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title = ", "titel = "), "has the key 'titel'"),
        (('label = "b"', 'label = "a"'), "two rows are labelled 'a'"),
        (('against = "a"', 'against = "z"'), "against is 'z'; expected a label of a row: a, b"),
        (("hidden = 32", "hiden = 32"), "row 'b': .*no field 'hiden'"),
        (("optimise_classes = true", "optimize = true"), "row 'b': .*optimize"),
        (("seeds = [0, 1]", 'metrics = ["F1"]'), "no metric F1; expected some of S, U, HM, ZSL, AUSUC"),
        (("[[rows]]", "[[rows]"), "is not TOML"),
        (('method = "avca"', ""), "a row has no method"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_plan(written(tmp_path, PLAN.replace(*change)))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no bench file"):
        load_plan(tmp_path / "nothing.toml")


def test_where_a_dataset_is():
    root = Path("data")
    assert locate("ucf-cls", root) == "official:data?name=UCF&split=cls"
    assert locate("vggsound-main?features=own", root, legacy=True) == (
        "official:data?name=VGGSound&split=main&features=own&legacy=true"
    )
    assert locate("vatex-adverbs", root) == "adverbs:data?name=vatex-adverbs&split=seen"
    assert locate("vatex-adverbs-unseen?features=clip", root) == (
        "adverbs:data?name=vatex-adverbs&split=unseen&features=clip"
    )
    assert locate("simulated:ucf", None) == "simulated:ucf"
    assert locate("simulated:ucf?scale=0.1", None, legacy=True) == "simulated:ucf?scale=0.1&shifted=true"
    assert locate("a/b.toml", None, legacy=True) == "a/b.toml"
    with pytest.raises(ValueError, match="pass --root FOLDER"):
        locate("ucf-cls", None)


def test_which_benchmark_a_dataset_is():
    for name in ("ucf-cls", "ucf-cls-legacy", "simulated-ucf-cls", "simulated:ucf-cls?scale=1", "UCF-cls?features=x"):
        assert benchmark_of(name) == "ucf-cls"
