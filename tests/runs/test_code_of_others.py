"""A Run may come from anybody: the file that it names as its method or task is not run on its word."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import avshot
from avshot.errors import WrongRun
from avshot.files.atomic import file_digest, load_json
from avshot.files.run_record import write_record
from avshot.run import find_runs, load_run
from synthetic import synthetic_dataset

RETRIEVAL = Path(__file__).parents[1] / "tasks" / "retrieval.py"
QUICK = {"epochs": 1, "batches_per_epoch": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return avshot.run_experiment(
        avshot.Experiment(dataset="in memory", method="devise", recipe=QUICK), folder, dataset=synthetic_dataset()
    )


def forged(finished, folder, what, file):
    """A Run as somebody would send it: its `method` or `task` is a file of theirs, and all digests fit."""
    shutil.copytree(finished.path, folder)
    asked = folder / "experiment.yaml"
    asked.write_text(yaml.safe_dump(yaml.safe_load(asked.read_text()) | {what: str(file)}))
    info = load_json(folder / "run.json")
    info.pop("digest")
    info["files"]["experiment.yaml"] = file_digest(asked)
    info["sources"] = {what: file_digest(file)}
    write_record(folder / "run.json", info)
    return folder


@pytest.mark.parametrize("what", ["method", "task"])
def test_its_file_is_not_run(finished, tmp_path, what):
    evil, trace = tmp_path / "evil.py", tmp_path / "it ran"
    evil.write_text(f"open({str(trace)!r}, 'w').close()\n" + (RETRIEVAL.read_text() if what == "task" else ""))
    folder = forged(finished, tmp_path / "run", what, evil)
    with pytest.raises(WrongRun, match=r"is code\. If you trust it, name it yourself: --code .*evil\.py"):
        load_run(folder).method()
    with pytest.raises(WrongRun, match=r"avshot\.use_code"):
        assert load_run(folder).parts
    told = []
    find_runs(tmp_path, skipped=told.append)
    assert not trace.exists()


def test_who_names_the_file_may_use_it(finished, tmp_path):
    mine = Path(shutil.copy(RETRIEVAL, tmp_path / "mine.py"))
    folder = forged(finished, tmp_path / "run", "task", mine)
    command = [sys.executable, "-m", "avshot", "report", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--code" in refused.stderr
    assert "Traceback" not in refused.stderr
    avshot.use_code(mine)
    with pytest.raises(ValueError, match="mAP is missing"):  # it was run: its metrics are asked for
        load_run(folder)


def test_a_file_that_is_not_there_cannot_be_named():
    with pytest.raises(ValueError, match="cannot be read"):
        avshot.use_code("/nowhere/mine.py")
