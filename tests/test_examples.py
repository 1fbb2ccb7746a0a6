"""Every script in examples/ runs, is short, and ends by showing what the reader will see."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avshot.classes.embed import create_text_encoder
from avshot.data.load import load_dataset
from released import clip_ids, write_lists
from small_videos import heard_videos

EXAMPLES = Path(__file__).parent.parent / "examples"
LONGEST = 40  # lines

# What each prints, in this order.
SHOWN = {
    "benchmark_from_videos": ["of 23 clips described, 0 failed", "7 class vectors of 256 numbers"],
    "class_embedding_optimisation": ["ranking", "order kept", "With the ranking loss", "hail falling"],
    "official_benchmark": ["'test_unseen': 6}", "devise", "chance", "nothing about a method"],
    "own_arrays": ["'test_unseen': 40}", "blue bell | green drum", "ZSL 100 %"],
    "own_videos": ["30 videos of 5 classes", "blue sliding whistling", "it says the same: True"],
    "unlabelled_folder": ["48 recordings and no labels", "36 of 48 were labelled", "Trained on 36 clips of 6 classes"],
    "zero_shot_table": ["method", "devise", "chance", "report.html"],
}


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Output of the script, run in `folder` with its temporary files below it, on one thread."""
    settings = {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_in_order(parts: list[str], text: str) -> None:
    at = 0
    for part in parts:
        at = text.find(part, at)
        assert at >= 0, f"{part!r} is missing or comes too early in:\n{text}"


def test_every_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWN)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_it_is_short_and_says_how_to_run_it(name):
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST
    assert f"Run: python examples/{name}.py" in "\n".join(lines[:6])


@pytest.mark.parametrize(
    "name",
    [
        "class_embedding_optimisation",
        "official_benchmark",
        "own_arrays",
        "own_videos",
        "unlabelled_folder",
        pytest.param("zero_shot_table", marks=pytest.mark.slow),
    ],
)
def test_it_runs_and_shows_its_result(name, tmp_path):
    assert_in_order(SHOWN[name], run_example(name, tmp_path))


def test_a_benchmark_is_made_from_its_videos(tmp_path):
    """The folder that it writes is one that the bench reads, joined by the ids and spelled-out names of the tables."""
    root, ids = write_lists(tmp_path / "root"), {id for pairs in clip_ids().values() for id, _ in pairs}
    made, _ = heard_videos(tmp_path / "made", per_class=1)
    (tmp_path / "videos" / "Archery").mkdir(parents=True)
    for i, id in enumerate(sorted(ids)[:-1]):
        shutil.copy(made[i % len(made)], tmp_path / "videos" / "Archery" / f"{id}.mp4")
    asked = (str(root), "UCF", str(tmp_path / "videos"), "own", "logmel", "pixels", "wordllama")
    shown = SHOWN["benchmark_from_videos"]
    assert_in_order([f"{len(ids) - 1} {shown[0]}", shown[1]], run_example("benchmark_from_videos", tmp_path, *asked))
    data = load_dataset(f"official:{root}?name=UCF&split=main&features=own")
    assert data.missing == ((sorted(ids)[-1], "not extracted"),)
    expected = create_text_encoder("wordllama").encode(["weight lifting"])[0]  # one spelling for all encoders
    torch.testing.assert_close(data.text["w2v"][data.names.index("CleanAndJerk")], expected, atol=1e-5, rtol=1e-4)


def test_the_released_lists_are_audited(real_data, tmp_path):
    text = run_example("official_benchmark", tmp_path, str(real_data / "splits"))
    assert_in_order(["UCF-GZSL", "555 / 555", "'test_unseen': 6} classes, as released"], text)
