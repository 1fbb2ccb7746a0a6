"""A method in a file of somebody's own, wherever a method can be named."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

import avshot.protocol as protocol
from avshot import Experiment, Recognizer, create_method
from avshot.files.atomic import file_digest
from avshot.files.run_record import write_record
from avshot.method import Inputs
from avshot.report.rows import summarise
from avshot.run import find_runs, load_run
from plain_method import PLAIN
from small_videos import heard_videos
from synthetic import synthetic_dataset

MULTIPLIES = "        return self.config.scale * self.map(torch.cat(features.pooled(), dim=1)) @ text.T"
DATA = "simulated:ucf?scale=0.02"
QUICK = ("--set", "recipe.epochs=1", "--set", "recipe.batches_per_epoch=3")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with `plain.py`, which is the home folder and the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "plain.py").write_text(PLAIN)
    return tmp_path


def last(told):
    """The sentence of a refusal: exit code 2, one line, no traceback."""
    code, _, error = told
    assert code == 2, error
    assert "Traceback" not in error
    assert "bug in avshot" not in error
    line = error.strip().splitlines()[-1]
    assert line.startswith("avshot: ")
    return line


def test_lists_of_names_and_paths_in_several_processes(home, avshot, monkeypatch):
    odd = home / "a folder, and more"
    odd.mkdir()
    (odd / "plain.py").write_text(PLAIN.replace("scale: float = 1.0", "scale: float = 2.0"))
    (home / "devise.py").write_text(PLAIN)
    asked = f'plain.py,devise,~/devise.py,"{odd}/plain.py"'
    code, _, err = avshot("train", DATA, "--method", asked, "--jobs", 2, *QUICK)
    assert code == 0, err
    assert "epochs of 4 trainings: 0/8 0 ended" in err
    assert "epochs of 4 trainings: 8/8 4 ended" in err
    runs = {run.experiment.method: run for run in find_runs("runs")}
    files = {str((home / name).resolve()) for name in ("plain.py", "devise.py", odd / "plain.py")}
    assert set(runs) == {"devise", *files}
    labels = {row.label for row in summarise(list(runs.values())) if row.runs}
    tail = "-epochs=1-batches_per_epoch=3"
    assert {label.partition(" of ")[0] for label in labels} == {
        f"devise{tail}",
        f"devise.py{tail}",
        f"plain.py{tail} (method={home.resolve()}/plain.py",
        f"plain.py{tail} (method={odd.resolve()}/plain.py",
    }
    for label in labels:
        assert label in (home / "runs" / "report.md").read_text().replace("\\", "")
    card = (runs[str((home / "devise.py").resolve())].path / "README.md").read_text()
    assert "the method is the file `devise.py` (sha256 `" in card
    assert str(home) not in card
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    code, _, err = avshot("train", DATA, "--method", "../plain.py", "--out", "../runs", *QUICK)
    assert (code, err.count("was there already")) == (0, 1)  # the same file from another folder


def test_a_run_and_the_file_it_came_from(home, avshot, monkeypatch):
    videos, labels = heard_videos(home / "videos", per_class=3)
    learnt = Recognizer("plain.py", folder=home / "kept").fit(videos, labels)
    learnt.save(home / "saved")
    first = learnt.predict(videos[0]).label
    assert Recognizer.load(home / "saved").predict(videos[0]).label == first
    assert (home / "saved" / "method.py").read_text() == PLAIN
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    code, out, _ = avshot("predict", home / "saved", videos[0])
    assert code == 0
    assert first in out
    (home / "plain.py").write_text(PLAIN + "\n# more\n")
    assert "plain.py, which has changed since; " in last(avshot("predict", home / "saved", videos[0]))
    with pytest.raises(ValueError, match="has changed since"):
        Recognizer.load(home / "saved")
    monkeypatch.chdir(home)
    again = Recognizer("plain.py", folder=home / "kept").fit(videos, labels)  # the new text, another Run
    assert again.run.path != learnt.run.path
    (home / "plain.py").unlink()
    told = last(avshot("predict", home / "saved", videos[0]))
    assert f"plain.py, which is not there; {home / 'saved' / 'method.py'} holds its text of then" in told
    shutil.copy(home / "saved" / "method.py", home / "plain.py")  # as the sentence says
    assert avshot("predict", home / "saved", videos[0])[0] == 0


def test_a_file_that_changed_is_another_method(home, avshot):
    assert avshot("train", DATA, "--method", "plain.py", *QUICK)[0] == 0
    (home / "plain.py").write_text(PLAIN + "\n# more\n")
    told = last(avshot("train", DATA, "--method", "plain.py", *QUICK))
    assert "another experiment (files.method is " in told
    assert "the text of that file has changed); choose another --out" in told
    assert avshot("train", DATA, "--method", "plain.py", "--seeds", 1, *QUICK)[0] == 0
    runs = find_runs("runs")
    assert len(runs) == 2
    rows = [row for row in summarise(runs) if row.runs]
    assert len(rows) == 2  # never averaged
    assert all(row.label.partition(" of ")[2] for row in rows)
    code, _, err = avshot("report", "runs")
    assert (code, "left out" in err) == (0, False)  # what was measured stays true


def test_a_bench_file_names_a_method_beside_it(home, avshot, monkeypatch):
    folder = home / "my bench"
    folder.mkdir()
    shutil.move(home / "plain.py", folder / "plain.py")
    (folder / "plan.toml").write_text(
        'title = "Mine"\nseeds = [0]\nreferences = []\n[common]\nrecipe = {epochs = 1, batches_per_epoch = 3}\n'
        '[[rows]]\nmethod = "plain.py"\n[[rows]]\nmethod = "devise"\n'
    )
    plan = ("bench", folder / "plan.toml", "--dataset", DATA)
    assert avshot(*plan, "--out", "all")[0] == 0
    rows = list(csv.DictReader((home / "all" / "bench.csv").read_text().splitlines()))
    assert {row["row"] for row in rows} == {"plain.py", "devise", "chance", "majority"}
    for one in ("plain.py", folder / "plain.py", "my bench/plain.py"):
        assert avshot(*plan, "--out", "one", "--methods", one)[0] == 0
    assert {Path(run.experiment.method).name for run in find_runs("one")} == {"plain.py"}
    assert "Did you mean 'devise'?" in last(avshot(*plan, "--methods", "devize"))
    (folder / "plain.py").unlink()
    assert "row 'plain.py': The method " in last(avshot(*plan))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_method_that_fails_is_no_bug_of_avshot(home, avshot, jobs):
    (home / "plain.py").write_text(PLAIN.replace("dim=1)) @ text.T", "dim=1)) @ text"))
    methods = ("--method", "plain.py,eszsl") if jobs == 2 else ("--method", "plain.py")
    told = last(avshot("train", DATA, *methods, "--jobs", jobs, *QUICK))
    line = PLAIN.splitlines().index(MULTIPLIES) + 1
    assert f"{home.resolve()}/plain.py line {line}: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in told


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("batch.labels)}", 'batch.labels)}["ce"]', "is a tensor of shape []; expected a dictionary"),
        ('{"ce": nn.functional.', '{"ce": 3, "x": nn.functional.', "has 3 as its term 'ce'; expected a tensor"),
        ("batch.labels)}", "batch.labels).detach()}", "does not depend on any weight that trains"),
        (
            "return self.config",
            "if not self.training:\n            return torch.zeros(3, 2)\n        return self.config",
            "[3, 2]",
        ),
    ],
)
def test_what_a_method_returns_is_looked_at(home, avshot, old, new, words):
    assert old in PLAIN
    (home / "plain.py").write_text(PLAIN.replace(old, new))
    assert words in last(avshot("train", DATA, "--method", "plain.py", *QUICK))


def test_a_training_that_was_stopped_goes_on_with_the_same_text_alone(home):
    asked = Experiment(dataset="in memory", method="plain.py", recipe={"epochs": 2, "batches_per_epoch": 3})

    def stop(stage, done, total, numbers):
        if stage == "stage2":
            raise KeyboardInterrupt

    dataset, stages = synthetic_dataset(), []
    with pytest.raises(KeyboardInterrupt):
        protocol.run(asked, home / "run", dataset=dataset, progress=stop)
    (home / "plain.py").write_text(PLAIN + "\n# more\n")
    with pytest.raises(ValueError, match=r"another experiment \(files\.method is"):
        protocol.run(asked, home / "run", dataset=dataset)
    (home / "plain.py").write_text(PLAIN)
    run = protocol.run(asked, home / "run", dataset=dataset, progress=lambda stage, *rest: stages.append(stage))
    assert set(stages) == {"stage2"}
    assert run.metrics == protocol.run(asked, home / "other", dataset=dataset).metrics


@pytest.mark.parametrize(
    ("named", "words"), [("{}/method.py", "was trained with the method in"), ("evil/method.py", "the whole")]
)
def test_a_run_never_runs_code_that_came_with_it(home, named, words):
    asked = Experiment(dataset="in memory", method="plain.py", recipe={"epochs": 1, "batches_per_epoch": 2})
    evil = protocol.run(asked, home / "evil", dataset=synthetic_dataset()).path.resolve()
    settings, record = evil / "experiment.yaml", evil / "run.json"
    settings.write_text(settings.read_text().replace(str((home / "plain.py").resolve()), named.format(evil)))
    (evil / "method.py").write_text("raise SystemExit('run')")
    info = json.loads(record.read_text())
    info["files"]["experiment.yaml"] = file_digest(settings)
    write_record(record, {key: value for key, value in info.items() if key != "digest"})
    with pytest.raises(ValueError, match=words):
        load_run(evil).method()


def test_create_method_and_the_list_of_methods(home, avshot):
    assert create_method("~/plain.py", Inputs(audio=3, visual=2, text={"a": 4}), scale=3.0).config.scale == 3.0
    code, out, _ = avshot("methods", "plain.py", "devise")
    assert code == 0
    assert "config.scale" in out
    assert "config.margin" in out
    assert "made up" in out
    assert "eszsl" not in out
    assert "Did you mean 'devise'?" in last(avshot("methods", "divise"))
    assert avshot("methods")[1].count("eszsl") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_link_to_a_method_is_the_file_it_leads_to(home):
    (home / "current.py").symlink_to("plain.py")
    assert Experiment(dataset="x", method="current.py") == Experiment(dataset="x", method="plain.py")
