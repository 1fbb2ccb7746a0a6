"""One writer at a time in a folder, across processes, and none left behind by a killed one."""

import subprocess
import sys

import pytest

from avshot.files.lock import sole_writer

HOLD = """
import sys, time
from avshot.files.lock import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_and_a_killed_one_lets_go(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        said = []
        with pytest.raises(ValueError, match="Another avshot command"), sole_writer(tmp_path, wait=0):
            pass
        with (
            pytest.raises(ValueError, match=str(tmp_path)),
            sole_writer(tmp_path, wait=0.3, waiting=lambda: said.append("waits")),
        ):
            pass
        assert said == ["waits"]
        other.kill()
        other.wait()
        with sole_writer(tmp_path, wait=5):
            pass


def test_a_folder_is_held_again_after_it_was_let_go(tmp_path):
    for _ in range(2):
        with sole_writer(tmp_path, wait=0):
            pass
