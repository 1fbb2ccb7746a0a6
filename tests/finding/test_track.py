"""A track by stretches is that of the whole file described and scored at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avshot.features.steps import Steps
from avshot.finding.track import track
from avshot.media import read
from loud_and_bright import LoudAndBright, recording


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Twelve seconds: loud from 3 to 5 and from 9.4 on, bright from 4 to 8."""
    folder = tmp_path_factory.mktemp("track")
    return recording(folder / "clip.mp4", 12.0, loud=[(3, 5), (9.4, 12)], bright=[(4, 8)])


def whole(path, scorer, hop):
    """Times and probabilities, from the file read and described at once."""
    media = read(path, **scorer.audio.request(), **scorer.visual.request())
    (audio, at), (visual, shown) = scorer.audio(media), scorer.visual(media)
    time = (np.arange(round(media.duration / hop)) + 0.5) * hop
    found = scorer(Steps(audio, at.numpy().astype(float)), Steps(visual, shown.numpy().astype(float)), time)
    return time, *found


@pytest.mark.parametrize("seconds", [1.0, 2.5, 30.0])
@pytest.mark.parametrize("hop", [0.25, 1.0])
def test_a_track_is_that_of_the_whole(clip, seconds, hop):
    found = track(clip, LoudAndBright(), hop=hop, seconds=seconds)
    time, probability, sound = whole(clip, LoudAndBright(), hop)
    assert (found.status, found.notes, found.hop) == ("ok", (), hop)
    assert found.duration == pytest.approx(12.0, abs=0.1)
    np.testing.assert_allclose(found.time, time)
    np.testing.assert_allclose(found.probability, probability, atol=1e-3)
    np.testing.assert_array_equal(found.sound, sound)


def test_it_says_when_what_happens(clip):
    found = track(clip, LoudAndBright(), hop=0.5)
    loud, bright = (found.probability > 0.5).T
    assert set(found.time[loud]) == {t for t in found.time if 3 < t < 5 or t > 9.2}
    assert set(found.time[bright]) == {t for t in found.time if 4.0 < t < 8.0}


def test_a_span_has_the_times_of_the_file(clip):
    found = track(clip, LoudAndBright(), hop=0.5, start=2.0, end=6.0)
    assert found.time[0] == 2.25
    assert found.duration == pytest.approx(6.0, abs=0.1)
    assert set(found.time[found.probability[:, 0] > 0.5]) == {t for t in found.time if 3 < t < 5}


def test_one_modality_alone(clip):
    deaf = track(clip, LoudAndBright(audio=None), hop=0.5)
    blind = track(clip, LoudAndBright(visual=None), hop=0.5)
    both = track(clip, LoudAndBright(), hop=0.5)
    assert not deaf.probability[:, 0].any()
    assert not blind.probability[:, 1].any()
    np.testing.assert_allclose(deaf.probability[:, 1], both.probability[:, 1])
    np.testing.assert_allclose(blind.probability[:, 0], both.probability[:, 0])


def test_sound_files_and_what_is_missing(tmp_path):
    path = recording(tmp_path / "a.mp4", 3.0, loud=[(1, 2)], picture=False)
    found = track(path, LoudAndBright(), hop=0.5)
    assert found.status == "no_visual"
    assert not found.probability[:, 1].any()
    assert found.probability[:, 0].max() > 0.5


def test_silence_is_no_error_and_nothing_happens_in_it(tmp_path):
    from avshot.media import write

    write(tmp_path / "a.mp4", None, 25, np.zeros(3 * 16000, np.float32), 16000)
    found = track(tmp_path / "a.mp4", LoudAndBright())
    assert found.status == "silent"
    assert not found.probability.any()
    assert len(found.time) == 6


@pytest.mark.parametrize("content", [b"", b"nothing of the kind" * 50])
def test_a_bad_file_is_a_status(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    found = track(tmp_path / "a.mp4", LoudAndBright())
    assert found.status.startswith("error: ")
    assert found.probability.shape == (0, 2)


def test_a_cut_file_has_what_was_there(tmp_path, clip):
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    found = track(tmp_path / "a.mp4", LoudAndBright(), hop=0.5, seconds=2.0)
    assert found.status == "truncated"
    assert found.time[0] == 0.25
    assert 3 < found.duration < 12


def test_progress_is_told_and_may_end_the_work(clip):
    told = []

    def progress(what, done, total, numbers):
        told.append((what, done, total))
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(clip, LoudAndBright(), seconds=2.0, progress=progress)
    assert told == [(str(clip), 2, 12), (str(clip), 4, 12), (str(clip), 6, 12)]


def test_a_stream_that_begins_anew_is_scored_anew(clip, monkeypatch):
    from avshot.finding import track as module

    original = module.stream

    def twice(*arguments, **options):
        flow = original(*arguments, **options)

        class Twice:
            def __iter__(self):
                yield from list(original(*arguments, **options))[:2]
                yield from flow

            def __getattr__(self, name):
                return getattr(flow, name)

        return Twice()

    once = track(clip, LoudAndBright(), seconds=2.0)
    monkeypatch.setattr(module, "stream", twice)
    again = track(clip, LoudAndBright(), seconds=2.0)
    np.testing.assert_array_equal(again.probability, once.probability)


def test_a_scorer_that_gives_no_probabilities_is_told(clip):
    class Wrong(LoudAndBright):
        def __call__(self, audio, visual, time):
            return np.full((len(time), 2), 1.5, np.float32), np.zeros((len(time), 2))

    with pytest.raises(RuntimeError, match="expected probabilities"):
        track(clip, Wrong())


PEAK = """
import sys
from pathlib import Path
from avshot.finding.track import track
from loud_and_bright import LoudAndBright
found = track(sys.argv[1], LoudAndBright(), hop=1.0)
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]  # that of getrusage is the parent's
print(len(found.time), found.status, int(peak) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells the peak of a process")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """An hour takes hardly more than five minutes."""
    peaks = {}
    for minutes in (5, 60):
        long_recording(tmp_path / f"{minutes}.mkv", minutes)
        command = [sys.executable, "-c", PEAK, str(tmp_path / f"{minutes}.mkv")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="tests")
        count, status, peak = done.stdout.split()
        assert (int(count), status) == (60 * minutes, "ok")
        peaks[minutes] = int(peak)
    assert peaks[60] < peaks[5] + 40  # MiB


def long_recording(path, minutes):
    """Noise and a picture of two frames a second."""
    import av

    from made_media import add_audio, add_video, greys, mux

    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, minutes * 60 * 8000)).astype(np.float32)
    count = 120 * minutes
    with av.open(str(path), "w") as container:
        mux(
            container,
            add_video(container, greys(50)[np.arange(count) % 50], range(0, 500 * count, 500), rate=2),
            add_audio(container, noise, 8000),
        )
