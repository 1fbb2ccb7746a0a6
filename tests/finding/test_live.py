"""Events of sound that comes through a pipe are those of the file, and told once they are over."""

import numpy as np
import pytest

from avshot.events.segments import Segmentation, find_events
from avshot.finding.find import Looking
from avshot.finding.live import listen
from avshot.finding.track import track
from avshot.media import read
from loud_and_bright import LoudAndBright, recording

HALVES = Looking(hop=0.5, segmentation=Segmentation(merge=0.0, refine=False))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return recording(tmp_path_factory.mktemp("live") / "a.mp4", 20.0, loud=[(3, 5), (9, 11), (18, 20)])


@pytest.mark.parametrize("size", [160, 7001, 10**6])
def test_a_pipe_has_the_events_of_the_file(clip, size):
    waveform = read(clip, want_frames=False).waveform
    pieces = [waveform[i : i + size] for i in range(0, len(waveform), size)]
    live = list(listen(pieces, LoudAndBright(), HALVES))
    expected = list(find_events(track(clip, LoudAndBright(visual=None), hop=0.5), HALVES.segmentation))
    assert len(live) == 3
    assert [event.name for event in live] == [event.name for event in expected]
    for edge in (
        "start",
        "end",
    ):  # steps may be shifted by less than their distance
        np.testing.assert_allclose([getattr(e, edge) for e in live], [getattr(e, edge) for e in expected], atol=0.5)


def test_an_event_is_told_once_it_is_over(clip):
    waveform, heard = read(clip, want_frames=False).waveform, []

    def coming():
        for i in range(0, len(waveform), 1600):
            heard.append(i / 16000)
            yield waveform[i : i + 1600]

    told = [(event.end, heard[-1]) for event in listen(coming(), LoudAndBright(), HALVES)]
    for end, at in told[:2]:
        assert end <= at < end + 5


def test_memory_does_not_grow_while_it_listens(clip):
    """A scorer that is asked about a pipe is given the windows that are near, and no others."""
    spans = []

    class Sees(LoudAndBright):
        def __call__(self, audio, visual, time):
            spans.append(audio.time[-1] - audio.time[0] if len(audio.time) else 0.0)
            return super().__call__(audio, visual, time)

    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 16000).astype(np.float32)
    list(listen([noise] * 60, Sees(), HALVES))
    assert max(spans) < 6.0


def test_silence_has_no_events():
    assert list(listen([np.zeros(16000, np.float32)] * 5, LoudAndBright(), HALVES)) == []


def test_a_scorer_that_does_not_listen_is_told():
    with pytest.raises(ValueError, match="Nobody listens"):
        list(listen([], LoudAndBright(audio=None), HALVES))
