"""`avshot games`: a small plan from the command line to table and page, and one sentence for wrong use."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

PLAN = """
title = "Small"
seeds = [0]
[play]
game = "rei?differ=shape,material,size"
source = "rendered?width=64&height=48"
updates = 6
test = 8
[[rows]]
label = "KTO"
learner = "kto"
[[columns]]
label = "colour-blind"
listener = "pixel?scenes=6"
weakness = "grey"
"""


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_from_a_file_to_table_and_page(avshot, plan, tmp_path):
    out = tmp_path / "out"
    code, printed, error = avshot("games", "play", plan, "--out", out)
    assert code == 0, error
    assert "colour-blind" in printed
    assert "| KTO" in (out / "games.md").read_text()
    page = (out / "report.html").read_text()
    assert "KTO, colour-blind" in page
    assert "safety training" in page  # the warning of appendix F.1
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))).astype(int)
        for code in re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    ]
    assert len(pictures) == 32  # two each for speaker and listener, in eight episodes
    colourful = [np.ptp(picture, axis=2).max() > 40 for picture in pictures]
    assert colourful == [True, True, False, False] * 8  # the listener's are grey

    before = (out / "games.csv").read_bytes()
    code, _, error = avshot("games", "play", plan, "--out", out)  # nothing is played again
    assert (code, (out / "games.csv").read_bytes()) == (0, before)
    assert "updates" not in error

    code, _, error = avshot("games", "report", out, "--out", tmp_path / "page.html", "--episodes", "2")
    assert code == 0
    assert "1 games" in error
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("games", "play", "absent.toml"), "There is no file absent.toml"),
        (("games", "play", "plan.toml", "--rows", "PPO"), "There is no row 'PPO'; rows: KTO"),
        (("games", "play", "plan.toml", "--seeds", "x"), "x"),
        (("games", "report", "nowhere"), "There is no finished game in nowhere"),
        (("games", "report", ".", "--out", "page.txt"), "page.txt"),
        (("bench", "plan.toml"), "plan.toml"),
    ],
)
def test_wrong_use_is_one_sentence(avshot, plan, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, error = avshot(*arguments)
    assert code == 2
    assert words in error
    assert "Traceback" not in error
