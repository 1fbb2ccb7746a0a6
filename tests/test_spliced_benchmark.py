"""The benchmark of finding events in time: how it counts, and what it splices."""

import sys
from importlib import import_module
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.events import Event, Events
from avshot.media import read, write
from made_media import sine

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
event_scores, splicing, spliced = map(import_module, ("event_scores", "splicing", "spliced"))
CRITERIA = [event_scores.within(2.0), event_scores.overlapping(0.5)]


def event(start, end, name="dog"):
    return Event("a.wav", start, end, name)


few_events = st.lists(
    st.builds(lambda s, n, name: event(s, s + n, name), st.integers(0, 12), st.integers(1, 6), st.sampled_from("ab")),
    max_size=4,
)


def most_pairs(found, true, agree):
    """Try all ways to put them together."""
    few, many = sorted((found, true), key=len)
    may = [[a.name == b.name and agree(a, b) for b in many] for a in few]
    orders = permutations(range(len(many)), len(few))
    return max(sum(may[i][j] for i, j in enumerate(order)) for order in orders)


@pytest.mark.parametrize("agree", CRITERIA)
@settings(max_examples=40, deadline=None)
@given(found=few_events, true=few_events)
def test_as_many_pairs_as_can_be_made(agree, found, true):
    score = event_scores.by_event(found, true, agree)
    assert (score.found, score.true) == (len(found), len(true))
    assert score.right == most_pairs(found, true, agree)


@settings(max_examples=40, deadline=None)
@given(found=few_events, true=few_events)
def test_seconds_are_those_of_a_raster(found, true):
    def raster(events):
        cells = np.zeros((20, 2), bool)
        for one in events:
            for second in range(20):
                cells[second, "ab".index(one.name)] |= one.start < second + 1 and one.end > second
        return cells

    a, b = raster(found), raster(true)
    score = event_scores.by_second(found, true)
    assert (score.right, score.found, score.true) == ((a & b).sum(), a.sum(), b.sum())


def test_criteria():
    collar, half = CRITERIA
    assert collar(event(0, 4), event(2, 6))
    assert not collar(event(0, 4), event(2.1, 6))
    assert not collar(event(0, 1), event(1.5, 2.5))  # near, but never at one time
    assert half(event(0, 4), event(0, 2))
    assert not half(event(0, 4), event(0, 1.9))


def test_shares():
    score = event_scores.Score(3, 4, 6)
    assert (score.precision, score.recall) == (0.75, 0.5)
    assert score.f1 == pytest.approx(2 / (1 / 0.75 + 1 / 0.5))
    assert event_scores.Score(0, 0, 0).f1 == event_scores.Score(0, 0, 0).precision == 0


def test_gaps():
    gaps = [(0, 4), (10, 14), (20, 24)]
    spills = [event(3.5, 10.5), event(11, 11.5, "cat")]  # the first only as far as the margin
    assert event_scores.empty_gaps(spills, gaps) == pytest.approx(2 / 3)
    assert event_scores.empty_gaps([], gaps) == 1
    with pytest.raises(ValueError, match="no gaps"):
        event_scores.empty_gaps([], [])


def test_groups_become_one():
    events = [event(0, 2, "a"), event(1, 3, "b"), event(4, 5, "a"), event(0, 9, "c")]
    group = {"a": "ab", "b": "ab"}
    assert event_scores.grouped(events, group) == Events([event(0, 3, "ab"), event(4, 5, "ab"), event(0, 9, "c")])


def test_no_name_is_in_two_groups():
    assert not any(set(a) & set(b) for a, b in combinations(spliced.ALIKE.values(), 2))


def test_pink_noise_has_equal_power_in_each_octave():
    noise = splicing.pink(1 << 16, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[1 << i : 2 << i].sum() for i in range(8, 15)]
    assert (noise**2).mean() == pytest.approx(1)
    assert np.ptp(octaves) / np.mean(octaves) < 0.3


def test_splice_has_what_it_says_where_it_says(tmp_path):
    rate, quiet = 32000, np.zeros(32000, np.float32)
    sound = np.concatenate([quiet, sine(2.0, rate), quiet]).astype(np.float32)
    frames = np.full((20, 64, 48, 3), 200, np.uint8)
    write(tmp_path / "one.mp4", frames, 5.0, sound, rate)
    path, clips = tmp_path / "made.mp4", [splicing.Clip(tmp_path / "one.mp4", "tone", shown) for shown in (True, False)]
    splicing.splice(path, clips, 0, (None, 10.0))
    true, gaps, kinds = splicing.truth(path)
    media = read(path, fps=5.0, rate=rate)
    assert kinds == ["black and silent", "white noise"]
    assert [e.name for e in true] == ["tone", "tone"]
    assert media.duration == pytest.approx(true[-1].end, abs=0.3)
    loud = np.sqrt([(media.waveform[int(e.start * rate) : int(e.end * rate)] ** 2).mean() for e in true])
    np.testing.assert_allclose(loud, splicing.LEVEL, rtol=0.1)
    assert all(2.0 <= e.end - e.start <= 2.6 for e in true)  # the silence around it is cut, to whole frames
    assert np.abs(media.waveform[int((gaps[0][0] + 0.5) * rate) : int((gaps[0][1] - 0.5) * rate)]).max() < 1e-3
    bright = sorted(media.frames[int((e.start + 1) * 5)].mean() for e in true)
    assert bright[0] < 2 < 50 < bright[1]  # one is shown in the middle of the screen, the other one is not
    noisy = read(splicing.variant(path, 10.0), rate=rate, want_frames=False).waveform
    there = noisy[: len(media.waveform)] - media.waveform[: len(noisy)]
    assert 20 * np.log10(splicing.LEVEL / there.std()) == pytest.approx(10, abs=0.5)
