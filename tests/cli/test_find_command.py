"""`avshot find` as people type it: what it prints, writes and says where something is wrong."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from avshot.cli.find import clock, names_of, thresholds
from avshot.files.lock import sole_writer
from avshot.media import read
from loud_and_bright import LoudAndBright, recording

WHAT = ("--classes", "loud noise, bright light", "--hop", "0.5")


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """The scorer by hand in place of pretrained encoders; what it was asked for."""
    told = {}

    def made(names, **options):
        told.update(options, names=names)
        return LoudAndBright(names=tuple(names or ("loud noise", "bright light")))

    monkeypatch.setattr("avshot.finding.api.make_scorer", made)
    return told


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    recording(tmp_path / "in" / "1.mp4", 6.0, loud=[(1, 3)], bright=[(4, 6)])
    recording(tmp_path / "in" / "2.mp4", 2.0)
    return tmp_path / "in"


def test_a_table_for_each_recording(avshot, folder):
    code, out, err = avshot("find", folder, *WHAT)
    assert (code, err) == (0, "")
    first, second = out.split("2.mp4")
    rows = [line.split() for line in first.splitlines() if "%" in line]
    assert [row[2:4] for row in rows] == [["loud", "noise"], ["bright", "light"]]
    assert [row[-1] for row in rows] == ["heard", "seen"]
    assert "1.mp4 (0:06.0, ok)" in first
    assert "nothing found" in second


def test_json_has_an_object_for_each_recording(avshot, folder):
    (folder / "3.mp4").write_bytes(b"no film")
    code, out, _ = avshot("find", folder, *WHAT, "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [event["name"] for event in told[0]["events"]] == ["loud noise", "bright light"]
    assert told[0]["events"][0]["start"] == pytest.approx(1.0, abs=0.5)
    assert told[1]["events"] == []
    assert set(told[2]) == {"file", "error"}


def test_bad_recordings_are_told_and_the_exit_code_is_1(avshot, folder):
    (folder / "0.mp4").write_bytes(b"no film")
    code, out, err = avshot("find", folder, *WHAT)
    assert code == 1
    assert "0.mp4 cannot be used: not a readable" in err
    assert "1.mp4" in out


def test_results_are_kept_and_another_command_is_told(avshot, folder, tmp_path):
    assert avshot("find", folder, *WHAT, "--out", tmp_path / "out")[0] == 0
    code, out, _ = avshot("find", folder, *WHAT, "--out", tmp_path / "out", "--begin", "0.9")
    assert (code, out.count(", kept)")) == (0, 2)
    with sole_writer(tmp_path / "out"):
        code, _, err = avshot("find", folder, *WHAT, "--out", tmp_path / "out")
    assert code == 2
    assert "Another avshot command" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Say what to look for"),
        (("--classes", ""), "--classes"),
        (("--classes", "rain", "--everything"), "one of them"),
        (("--classes", "rain", "--begin", "often"), "expected a probability"),
        (("--classes", "rain", "--begin", "2"), "threshold"),
        (("--classes", "rain", "--start", "3", "--end", "2"), "span"),
        (("--classes", "rain", "--hop", "0"), "apart"),
        (("--classes", "rain", "--device", "abacus"), "abacus"),
        (("--classes", "rain", "-f", "papyrus"), "papyrus"),
    ],
)
def test_wrong_use_is_one_sentence(avshot, folder, options, words):
    if words in ("threshold", "papyrus"):
        pytest.importorskip("avshot.events.files")
    code, out, err = avshot("find", folder, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("paths", [("gone.mp4",), ("empty",)])
def test_nothing_to_look_into_is_one_sentence(avshot, tmp_path, monkeypatch, paths):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, _, err = avshot("find", *paths, *WHAT)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


def test_everything_and_names_from_a_file(avshot, folder, tmp_path, asked):
    avshot("find", folder, "--everything")
    assert asked["names"] is None
    (tmp_path / "names.txt").write_text("loud noise\nbright light\n")
    avshot("find", folder, "--classes", tmp_path / "names.txt", "--sound", "ears", "--picture", "")
    assert asked["names"] == ["loud noise", "bright light"]
    assert (asked["sound"], asked["picture"], asked["run"]) == ("ears", "", None)


def test_formats_and_a_page_go_into_the_folder(avshot, folder, tmp_path):
    files = pytest.importorskip("avshot.events.files")
    code, _, err = avshot("find", folder, *WHAT, "-f", "csv,vtt", "--review", "--out", tmp_path / "out")
    assert code == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file() and path.name[0] != ".")
    assert written == ["1.vtt", "2.vtt", "events.csv", "review.html"]
    assert err.count("wrote") == 4
    assert [event.name for event in files.read_events(tmp_path / "out" / "events.csv")] == [
        "loud noise",
        "bright light",
    ]


def test_without_a_folder_they_go_beside_the_recordings_and_nothing_is_replaced(avshot, folder):
    files = pytest.importorskip("avshot.events.files")
    (folder / "1.srt").write_text("what is spoken")
    assert avshot("find", folder, *WHAT, "-f", "srt,csv", "--review")[0] == 0
    assert (folder / "1.srt").read_text() == "what is spoken"
    made = {path.name for path in folder.iterdir()} - {"1.mp4", "2.mp4", "1.srt"}
    assert made == {f"{i}.events.{ending}" for i in (1, 2) for ending in ("srt", "csv", "html")}
    assert len(files.read_events(folder / "1.events.csv")) == 2


class Pipe:
    """Standard input that is a pipe."""

    def __init__(self, content):
        self.buffer = io.BytesIO(content)

    def isatty(self):
        return False


def test_a_pipe_is_listened_to(avshot, folder, monkeypatch):
    waveform = read(folder / "1.mp4", want_frames=False).waveform
    samples = (waveform * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", Pipe(samples))
    code, out, _ = avshot("find", "-", *WHAT)
    assert code == 0
    (line,) = out.splitlines()
    assert "loud noise (100 %)" in line
    assert "-->" in line
    monkeypatch.setattr(sys, "stdin", Pipe(samples))
    _, out, _ = avshot("find", "-", *WHAT, "--json")
    assert json.loads(out)["name"] == "loud noise"


@pytest.mark.parametrize(
    ("stdin", "arguments", "words"),
    [
        (Pipe(b""), ("-",), "No sound came"),
        (Pipe(b"12"), ("-", "also.mp4"), "alone"),
        (SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True), ("-",), "Nothing comes"),
    ],
)
def test_a_pipe_without_sound_is_one_sentence(avshot, monkeypatch, stdin, arguments, words):
    monkeypatch.setattr(sys, "stdin", stdin)
    code, _, err = avshot("find", *arguments, *WHAT)
    assert code == 2
    assert words in err


def test_ctrl_c_tells_what_goes_on(monkeypatch, capsys):
    from avshot.cli.find import _until_interrupted
    from avshot.finding.find import Looking
    from avshot.finding.live import listen

    def coming():
        yield np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 16000).astype(np.float32)
        raise KeyboardInterrupt

    (event,) = listen(_until_interrupted(coming()), LoudAndBright(), Looking(hop=0.5))
    assert (event.start, event.end) == (0.0, 5.0)
    assert "stopped" in capsys.readouterr().err


def test_thresholds_are_for_all_names_or_single_ones():
    assert thresholds("0.6, rain=0.3, dog barking = 0.8") == (0.6, {"rain": 0.3, "dog barking": 0.8})
    assert thresholds(None) == (None, {})


def test_a_run_needs_no_names(tmp_path):
    assert names_of(None, False, tmp_path) is None
    assert names_of('"rain, heavy", wind', False, None) == ["rain, heavy", "wind"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3723.4, "1:02:03.4"), (36000, "10:00:00.0")],
)
def test_times_as_players_show_them(seconds, shown):
    assert clock(seconds) == shown
