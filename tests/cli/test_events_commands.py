"""`avshot cut` and `avshot review`, as they are typed."""

import numpy as np
import pytest

from avshot.events import Event, Events
from avshot.media import read, write


@pytest.fixture
def found(tmp_path):
    write(tmp_path / "a.mp4", None, waveform=np.sin(np.arange(32000) / 5).astype(np.float32), rate=16000)
    events = [Event("a.mp4", 0.5, 1.0, "beeping", 0.9), Event("gone.mp4", 0.0, 1.0, "dog", 0.8)]
    return Events(events).to_csv(tmp_path / "found.csv")


def test_cut(avshot, found, tmp_path):
    out = tmp_path / "cuts"
    code, told, said = avshot("cut", found, "--out", out, "--media", tmp_path, "--by-name")
    assert code == 1  # one recording is not there
    assert f"1 of 2 events -> {out / 'cuts.csv'}" in told
    assert "gone.mp4 is not there" in said
    (cut,) = out.glob("beeping/*.wav")
    assert len(read(cut).waveform) == pytest.approx(0.9 * 16000, abs=20)
    code, _, said = avshot("cut", found, "--out", out, "--media", tmp_path, "--by-name")
    assert code == 2
    assert "overwrite" in said
    assert avshot("cut", tmp_path / "absent.csv", "--out", out)[0] == 2


def test_review(avshot, found, tmp_path):
    code, told, _ = avshot("review", found, "--page", tmp_path / "page.html", "--media", tmp_path)
    assert code == 0
    assert "beeping" in (tmp_path / "page.html").read_text()
    code, _, said = avshot("review", found)
    assert code == 2
    assert "no marks" in said
    lines = found.read_text().splitlines()
    marked = [lines[0] + ",mark,renamed", lines[1] + ",right,", lines[2] + ",renamed,cat"]
    (tmp_path / "review.csv").write_text("\n".join(marked))
    code, told, said = avshot("review", tmp_path / "review.csv", "--labels", tmp_path / "labels.csv")
    assert code == 0
    assert "1 right, 0 wrong, 1 renamed, 0 missed" in told
    assert ["beeping", "0.900", "1.00", "0.21", "1"] in [line.split() for line in told.splitlines()]
    assert "too few to rely on: beeping, dog" in said
    assert (tmp_path / "labels.csv").read_text().splitlines()[1:] == [
        "a.mp4,beeping,0.500,1.000",
        "gone.mp4,cat,0.000,1.000",
    ]
    assert avshot("review", tmp_path / "review.csv", "--precision", "90")[0] == 2


def test_review_of_labels_edited_elsewhere(avshot, found, tmp_path):
    edited = Events([Event("a.mp4", 0.5, 1.2, "beeping")]).write(tmp_path / "a.txt")
    code, told, _ = avshot("review", edited, "--original", found)
    assert code == 0
    assert "1 right, 0 wrong, 0 renamed, 0 missed" in told
