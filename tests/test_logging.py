"""What a service can log: said to the logger "avshot", silent unless somebody listens, and nothing printed."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from avshot import Recognizer
from avshot.cli.endings import show_log
from avshot.media import write
from small_videos import FPS, RATE, heard_videos, picture


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logging")
    recipe = {"epochs": 1, "batches_per_epoch": 4, "passes_per_epoch": 0}
    fitted = Recognizer("devise", folder=folder / "kept", recipe=recipe).fit(*heard_videos(folder / "v", per_class=2))
    write(folder / "silent.mp4", picture(None, np.random.default_rng(0)), FPS, None, RATE)
    return fitted.save(folder / "saved"), str(folder / "silent.mp4"), folder


def test_what_a_service_wants_to_see(saved, caplog):
    run, silent, folder = saved
    (folder / "bad.mp4").write_text("no video")
    with caplog.at_level(logging.INFO, logger="avshot"):
        recognizer = Recognizer.load(run)
        recognizer.predict(silent, ["rain", "thunder"])
        list(recognizer.predict_many([str(folder / "bad.mp4")]))
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert {record.name.partition(".")[0] for record in caplog.records} == {"avshot"}
    for part in (
        f"Run {run} loaded: devise, 3 classes",
        "list of 2 class names ready in",
        "extractors of",
        f"{silent} (1.2 s, no_audio) described in",
        f"{silent}: There is no sound; the picture alone decided.",
        "a video cannot be answered:",
    ):
        assert part in told
    caplog.clear()
    recognizer.predict(silent, ["rain", "thunder"])
    assert "list of" not in caplog.text  # ready already


def test_nothing_is_shown_unless_asked_for(saved):
    """Also where a library sets up logging for the whole program as it is imported."""
    run, silent, _ = saved
    program = (
        "import sys, logging; from avshot import Recognizer; "
        "Recognizer.load(sys.argv[1]).predict(sys.argv[2], ['rain', 'thunder']); "
        "assert logging.getLogger().handlers == []; assert logging.getLogger().level == logging.WARNING"
    )
    done = subprocess.run([sys.executable, "-c", program, str(run), silent], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_line_shows_it_where_it_is_asked_to(saved, monkeypatch):
    run, silent, _ = saved
    command = [sys.executable, "-m", "avshot", "predict", str(run), silent, "--classes", "rain, thunder"]
    plain = subprocess.run(command, capture_output=True, text=True)
    assert (plain.returncode, plain.stderr) == (0, "")
    monkeypatch.setenv("AVSHOT_LOG", "info")
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.stdout == plain.stdout
    assert "INFO avshot.prediction.lists: list of 2 class names ready in" in told.stderr
    assert told.stderr.count("described in") == 1
    monkeypatch.setenv("AVSHOT_LOG", "loud")
    wrong = subprocess.run(command, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "avshot: AVSHOT_LOG is 'loud'; expected debug, info, warning or error.\n"


def test_levels():
    with pytest.raises(ValueError, match="expected debug, info"):
        show_log("everything")
    show_log("")
    assert logging.getLogger("avshot").propagate
