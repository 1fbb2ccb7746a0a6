"""Spans as files: what is in them, how they are called, and that one bad recording stops nothing."""

import csv

import numpy as np
import pytest

from avshot.data.label_table import Columns, read_label_table
from avshot.errors import BadSetting
from avshot.events import Event
from avshot.events.cut import cut_events, plan_cuts
from avshot.events.excerpt import write_excerpt
from avshot.media import probe, read, write
from made_media import amplitude_at, greys, numbers

RATE = 16000


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Four seconds, 5 frames each, frame i a grey that tells i; another tone in each second."""
    path = tmp_path_factory.mktemp("media") / "Hof & Tür.mp4"
    tones = [np.sin(2 * np.pi * 300 * (k + 1) * np.arange(RATE) / RATE) for k in range(4)]
    write(path, greys(20, step=10), 5, (0.5 * np.concatenate(tones)).astype(np.float32), RATE)
    return path


def tone(waveform, rate, k):
    return amplitude_at(waveform, rate, 300 * (k + 1))


def test_a_span_holds_its_frames_and_its_sound(recording, tmp_path):
    path, length = write_excerpt(recording, tmp_path / "span", 1.0, 3.0)
    assert path == tmp_path / "span.mp4"
    assert length == pytest.approx(2.0)
    found = read(path, fps=None)
    assert numbers(found, 10) == list(range(5, 15))
    assert len(found.waveform) == pytest.approx(2 * RATE, abs=1100)
    first, second = found.waveform[:RATE], found.waveform[RATE : 2 * RATE]
    assert [tone(first, RATE, k) > 0.4 for k in range(4)] == [False, True, False, False]
    assert [tone(second, RATE, k) > 0.4 for k in range(4)] == [False, False, True, False]
    assert list(tmp_path.iterdir()) == [path]


def test_pieces_join_without_a_seam(recording, tmp_path, monkeypatch):
    monkeypatch.setattr("avshot.events.excerpt._PIECE", 32 * 48 * 3 * 3)  # three frames
    path, _ = write_excerpt(recording, tmp_path / "span", 0.4, 3.6)
    assert numbers(read(path, fps=None), 10) == list(range(2, 18))
    assert tone(read(path).waveform[RATE * 6 // 10 : RATE * 16 // 10], RATE, 1) > 0.45


def test_sound_alone_stays_sound(recording, tmp_path):
    sound = tmp_path / "only.mp4"
    write(sound, None, waveform=read(recording).waveform, rate=RATE)
    path, length = write_excerpt(sound, tmp_path / "span", 2.0, 9.0)  # beyond the end
    assert path.suffix == ".wav"
    assert length == pytest.approx(2.0, abs=0.07)
    about = probe(path)
    assert (about["status"], about["rate"], about["width"]) == ("no_visual", RATE, None)
    assert tone(read(path).waveform[:RATE], RATE, 2) > 0.4


def test_odd_sizes_silence_and_black_are_cut_too(tmp_path):
    import av

    with av.open(str(tmp_path / "odd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 33, 17, "bgr0"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((17, 33, 3), np.uint8), format="rgb24")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path, length = write_excerpt(tmp_path / "odd.mkv", tmp_path / "span", 0.4, 1.6)
    assert length == pytest.approx(1.2)
    assert read(path, fps=None, want_audio=False).frames.shape[:3] == (6, 16, 32)


def events_in(recording):
    return [
        Event(recording.name, 1.0, 1.5, "dog/barking: loud", 0.9),
        Event(recording.name, 2.0, 2.5, "Regen 雨"),
        Event("gone.mp4", 0.0, 1.0, "dog"),
    ]


def test_events_are_cut_and_a_bad_recording_is_named(recording, tmp_path):
    done = list(cut_events(events_in(recording), tmp_path / "out", media=recording.parent, before=0.2, after=0.3))
    assert [cut.path.name if cut.path else None for cut in done] == [
        "Hof-Tür_00001.000-00001.500_dog-barking-loud.mp4",
        "Hof-Tür_00002.000-00002.500_Regen-雨.mp4",
        None,
    ]
    assert "gone.mp4 is not there" in str(done[2].error)
    assert (done[0].start, done[0].end) == pytest.approx((0.8, 1.8))
    assert numbers(read(done[0].path, fps=None), 10) == list(range(4, 9))
    with open(tmp_path / "out" / "cuts.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["from"], row["to"]) for row in rows] == [
        ("dog/barking: loud", "0.800", "1.800"),
        ("Regen 雨", "1.800", "2.800"),
    ]
    clips, _, warnings, _ = read_label_table(tmp_path / "out" / "cuts.csv", Columns(), None, skip_missing=False)
    assert {clip.group for clip in clips} == {recording.name}
    assert warnings == []


def test_nothing_is_overwritten_unless_asked(recording, tmp_path):
    how = {"media": recording.parent}
    list(cut_events(events_in(recording), tmp_path, **how))
    with pytest.raises(BadSetting, match="2 of the files are there, the first .*overwrite"):
        cut_events(events_in(recording), tmp_path, **how)
    assert len([cut for cut in cut_events(events_in(recording), tmp_path, **how, overwrite=True) if cut.path]) == 2


def test_names_are_safe_and_told_apart(tmp_path):
    events = [Event("a.mp4", 1, 2, name) for name in ("..", "dog", "Dog!", "x" * 300, "../../etc", "-")]
    planned = [path.relative_to(tmp_path) for _, path in plan_cuts(events, tmp_path)]
    assert len({str(path).casefold() for path in planned}) == len(events)
    assert all(len(path.parts) == 1 and len(path.name) < 150 and path.name[0] not in ".-" for path in planned)
    folders = [path.relative_to(tmp_path).parts for _, path in plan_cuts(events, tmp_path, by_name=True)]
    assert [parts[0] for parts in folders] == ["-", "dog", "Dog!", "x" * 60, "-..-etc", "-"]
    assert all(len(parts) == 2 for parts in folders)
    with pytest.raises(BadSetting, match="0 or more"):
        plan_cuts(events, tmp_path, before=-1)
