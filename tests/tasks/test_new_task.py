"""A new task is one file: the command line, the report and the bench find it without another edit."""

import csv
import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

import avshot.protocol as protocol
from avshot.cli.app import main
from avshot.data.dataset import MemoryFeatures
from avshot.experiment import Experiment
from avshot.method import Phase, Turn
from avshot.prediction.teach import teach
from avshot.registry import get_method
from avshot.report.rows import summarise
from avshot.run import find_runs, load_run
from avshot.settings import replace_fields
from avshot.task import Stage, Task, Trial, Verdict, get_task, split_task
from avshot.tasks.gzsl import GZSL
from synthetic import synthetic_dataset

FILE = Path(__file__).with_name("retrieval.py")
DATA = "simulated:ucf?scale=0.02"
QUICK = ("--set", "recipe.epochs=2", "--set", "recipe.batches_per_epoch=5")


@pytest.fixture
def retrieval(tmp_path):
    """The task in a file of somebody's own."""
    return Path(shutil.copy(FILE, tmp_path / "retrieval.py"))


def avshot(*arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code in (0, None)


def test_it_is_short():
    assert len(FILE.read_text().splitlines()) < 60


def test_the_command_line_the_report_and_the_bench_find_it(retrieval, tmp_path, capsys):
    avshot("train", DATA, "--task", retrieval, "--method", "devise", "--out", tmp_path / "runs", *QUICK)
    told = capsys.readouterr().out
    assert told.split("method")[1].split()[:3] == ["mAP", "P@1", "seeds"]
    (run,) = find_runs(tmp_path / "runs")
    test = run.scored("test")
    expected = [
        average_precision_score((test.labels == c).numpy(), test.scores[:, c].numpy())
        for c in test.labels.unique().tolist()
    ]
    assert run.metrics["mAP"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert run.settings.keys() == {"view"}
    assert run.beta == 0.0

    avshot("train", DATA, "--method", "devise", "--out", tmp_path / "runs", *QUICK)  # another task beside it
    avshot("report", tmp_path / "runs")
    page = (tmp_path / "runs" / "report.md").read_text()
    assert "## simulated-ucf-cls: gzsl" in page
    assert "## simulated-ucf-cls: retrieval" in page
    assert "mean average precision" in page  # the paragraph of the task
    assert re.search(r"\| +mAP \|", page)
    rows = [row for row in summarise(find_runs(tmp_path / "runs")) if row.task.name == "retrieval"]
    assert [row.label for row in rows] == ["devise-task=retrieval.py-epochs=2-batches_per_epoch=5", "chance"]

    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'title = "Retrieval"\nseeds = [0]\nreferences = []\n[common]\ntask = "{retrieval}"\n'
        'recipe = {epochs = 2, batches_per_epoch = 5}\n[[rows]]\nmethod = "devise"\n[[rows]]\nmethod = "eszsl"\n'
    )
    avshot("bench", plan, "--dataset", DATA, "--out", tmp_path / "bench")
    table = list(csv.DictReader((tmp_path / "bench" / "bench.csv").read_text().splitlines()))
    assert {row["metric"] for row in table} == {"mAP", "P@1"}
    assert [row["row"] for row in table if row["metric"] == "mAP"] == ["devise", "eszsl", "chance"]


def test_a_task_that_changed_is_another_one(retrieval, tmp_path):
    dataset = synthetic_dataset()
    recipe = {"epochs": 1, "batches_per_epoch": 2}
    asked = Experiment(dataset="in memory", method="devise", task=str(retrieval), recipe=recipe)
    protocol.run(asked, tmp_path / "run", dataset=dataset)
    retrieval.write_text(retrieval.read_text() + "\n# another word\n")
    with pytest.raises(ValueError, match=r"another experiment \(files\.task is"):
        protocol.run(asked, tmp_path / "run", dataset=dataset)
    told = []
    assert find_runs(tmp_path, skipped=told.append) == []  # its numbers were measured by something else
    assert "a Run is left out: " in told[0]
    assert "retrieval.py, which has changed since" in told[0]
    with pytest.raises(ValueError, match="has changed since"):
        _ = load_run(tmp_path / "run").task
    retrieval.unlink()
    with pytest.raises(ValueError, match="The task .*retrieval.py cannot be read"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds 0 tasks; expected one in each file"),
        ("1 / 0", "cannot be imported .ZeroDivisionError"),
        (FILE.read_text() + "\n\nclass Other(Retrieval):\n    pass\n", "holds 2 tasks"),
    ],
)
def test_a_file_that_is_no_task(tmp_path, content, words):
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(ValueError, match=words):
        get_task(str(tmp_path / "mine.py"))


class Draws(Task):
    """Two draws of test clips; each clip is scored among its own class and one more; base and novel pools."""

    metrics = ("accuracy", "never")
    main = "accuracy"
    explain = "made up"

    def stages(self, dataset):
        def stage(name, judge):
            names = dataset.names[:8]
            clips = dataset.fold(judge)
            labels = [dataset.clips[i].label for i in clips]
            place = {label: i for i, label in enumerate(names)}
            trials = tuple(
                Trial(np.array([i]), (label, names[(place[label] + 1) % 8])) for i, label in enumerate(labels)
            )
            pools = {"base": dataset.fold("train"), "novel": dataset.fold("val_unseen")}
            return Stage(name, pools, clips, (judge,), names, names, trials)

        return stage("stage1", "val_seen"), stage("stage2", "test_seen"), stage("stage3", "val_seen")

    def measure(self, scored, settings):
        right = (scored.scores.argmax(dim=1) == scored.labels).double()
        return {"accuracy": float(right.mean()), "never": None}


@pytest.fixture
def draws(monkeypatch):
    monkeypatch.setattr("avshot.experiment.get_task", lambda *_: Draws())
    monkeypatch.setattr("avshot.run.get_task", lambda *_: Draws())


def test_draws_trials_and_pools(draws, tmp_path, monkeypatch):
    cls, drawn = get_method("devise"), []
    monkeypatch.setattr(cls, "phases", lambda self: (Phase(turns=(Turn(pool="base"), Turn(pool="novel"))),))
    loss = cls.loss
    monkeypatch.setattr(cls, "loss", lambda self, batch: drawn.append(set(batch.labels.tolist())) or loss(self, batch))
    recipe = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0, "batch_size": 16}
    asked = Experiment(dataset="in memory", method="devise", recipe=recipe)
    run = protocol.run(asked, tmp_path, dataset=synthetic_dataset())
    assert all(labels <= set(range(6)) for labels in drawn[::2])  # base: the classes of "train"
    assert all(labels <= {6, 7} for labels in drawn[1::2])  # novel
    found = {name: run.scored(name) for name in ("val", "test", "test2")}
    assert run.scored("test3") is None
    for scored in found.values():
        assert (scored.scores.isfinite().sum(dim=1) == 2).all()
        assert scored.scores[torch.arange(len(scored.labels)), scored.labels].isfinite().all()
    each = [Draws().measure(found[name], {})["accuracy"] for name in ("test", "test2")]
    assert run.metrics["accuracy"] == pytest.approx(sum(each) / 2)
    assert run.metrics["never"] is None
    assert set(run.history()) == {"stage1", "stage2", "stage3"}
    (row,) = summarise([run])
    assert row.cell("never") == "-"
    again = protocol.run(asked, tmp_path, dataset=synthetic_dataset())
    assert again.metrics == run.metrics
    assert 0 < run.temperature < float("inf")
    with pytest.raises(ValueError, match="cannot be taught.*scores clips among different classes"):
        teach(run, {"loud horn": synthetic_dataset().gather([0])}, tmp_path / "taught")


def test_a_pool_that_the_task_does_not_have(tmp_path, monkeypatch):
    monkeypatch.setattr(get_method("devise"), "phases", lambda self: (Phase(turns=(Turn(pool="novel"),)),))
    with pytest.raises(ValueError, match="the pool 'novel' of training clips; the task has all"):
        protocol.run(Experiment(dataset="in memory", method="devise"), tmp_path, dataset=synthetic_dataset())


def test_a_clip_that_no_trial_names(draws, tmp_path, monkeypatch):
    stages = Draws.stages
    monkeypatch.setattr(
        Draws, "stages", lambda self, data: tuple(replace(s, trials=s.trials[1:]) for s in stages(self, data))
    )
    recipe = {"epochs": 1, "batches_per_epoch": 1}
    with pytest.raises(ValueError, match="is scored among no classes"):
        protocol.run(
            Experiment(dataset="in memory", method="devise", recipe=recipe), tmp_path, dataset=synthetic_dataset()
        )


def test_rows_of_a_manifest_may_share_features():
    """Two labels of one video (an action done in two ways): two clips, one stored description."""
    dataset = synthetic_dataset()
    first, other = dataset.clips[0], dataset.clips[5]
    twin = replace(first, id="clip000 again", label=other.label, stored_as=first.id)
    both = replace(dataset, clips=(*dataset.clips, twin), folds={**dataset.folds, "train": np.array([0, 120])})
    shared = both.gather([0, 120])
    assert torch.equal(shared.audio[0], shared.audio[1])
    assert both.missing == ()
    assert both.fingerprint() != replace(both, clips=(*dataset.clips, replace(twin, stored_as="clip001"))).fingerprint()
    assert isinstance(both.features, MemoryFeatures)
    lost = replace(both, clips=(*dataset.clips, replace(twin, stored_as="nobody")))
    assert lost.missing == (("clip000 again", "not extracted"),)


def test_a_clip_may_lie_in_two_folds_where_the_task_allows_it():
    dataset = synthetic_dataset()
    folds = {**dataset.folds, "test_seen": dataset.folds["train"][:3]}
    twice = replace(dataset, folds=folds)  # few-shot draws and adverbs need that
    with pytest.raises(ValueError, match="is in fold 'train' and in 'test_seen'"):
        GZSL().stages(twice)


def test_the_base_class_chooses_the_better_view():
    class Plain(Draws):
        pass

    labels = torch.tensor([0, 1])
    good, bad = torch.eye(2), 1 - torch.eye(2)
    from avshot.recipe import Selection
    from avshot.task import Scored

    views = {
        name: Scored(scores, labels, torch.ones(2, dtype=torch.bool), ("a", "b"), ("x", "y"))
        for name, scores in {"both": bad, "audio": good}.items()
    }
    assert Plain().select(views, Selection()) == Verdict(1.0, {"view": "audio"})
    assert Plain().absent({}) == ["there are no test clips"]
    assert Plain().absent({"accuracy": 1.0, "never": None}) == ["the test clips do not allow for never"]


def test_what_a_run_notes_of_it(retrieval, tmp_path):
    asked = Experiment(
        dataset="in memory", method="devise", task=str(retrieval), recipe={"epochs": 1, "batches_per_epoch": 2}
    )
    run = protocol.run(asked, tmp_path / "run", dataset=synthetic_dataset())
    assert list(run.info["sources"]) == ["task"]
    assert (tmp_path / "run" / "task.py").read_text() == retrieval.read_text()
    assert set(json.loads((tmp_path / "run" / "metrics.json").read_text())) == {"mAP", "P@1"}
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| | mAP | P@1 |" in card
    assert "beta" not in card


@dataclass(frozen=True)
class Odd:
    """Settings of every kind that a title has to tell."""

    text: str = "usual"
    numbers: tuple[float, ...] = (1.0,)
    flag: bool = True
    maybe: int | None = 3
    rate: float = 0.5


@given(
    st.builds(
        Odd,
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
        | st.sampled_from(["5", "true", "null", "a b", "[x", "a&b=c", "50%", "%26", "?"]),
        st.lists(st.floats(-1e6, 1e6), max_size=3).map(tuple),
        st.booleans(),
        st.none() | st.integers(),
        st.floats(1e-12, 1e12),
    )
)
def test_a_title_reads_as_the_settings_that_it_tells(config):
    class Settled(Draws):
        Config = Odd

    task = Settled(config)
    name, typed = split_task(task.title)
    assert name == task.name
    assert replace_fields(Odd(), typed) == config
