"""Scores in time to events, against the definition written as plain loops, and window by window against all at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.errors import BadSetting
from avshot.events import Event, Events, Track
from avshot.events.segments import EventStream, Segmentation, find_events


def track_of(rows, *, hop=1.0, sound=None, names=None, time=None, duration=None):
    probability = np.array(rows, dtype=np.float32)
    if probability.ndim == 1:
        probability = probability[:, None]
    time = np.arange(len(probability)) * hop + hop / 2 if time is None else np.array(time)
    names = names or tuple(f"sound {i}" for i in range(probability.shape[1]))
    sound = None if sound is None else np.array(sound, dtype=np.float32).reshape(probability.shape)
    return Track("a.wav", names, time, hop, probability, sound, len(time) * hop if duration is None else duration)


def spans(events):
    return [(round(event.start, 6), round(event.end, 6)) for event in events]


def naive(track, how):
    """Every name by itself: runs above the low threshold that reach the high one, joined, cut, the short ones gone."""
    found = []
    for j, name in enumerate(track.names):
        begin = how.begins.get(name, how.begin)
        low, p = begin * how.stay, track.probability[:, j].astype(float)
        neighbours = [(a, b) for a, b in zip(track.time, track.time[1:], strict=False) if b - a <= 1.5 * track.hop]
        pieces, i = [], 0
        while i < len(p):
            if not p[i] >= low:
                i += 1
                continue
            last = i
            while last + 1 < len(p) and p[last + 1] >= low and (track.time[last], track.time[last + 1]) in neighbours:
                last += 1
            start, end = track.time[i] - track.hop / 2, track.time[last] + track.hop / 2
            if how.refine and i and (track.time[i - 1], track.time[i]) in neighbours and not math.isnan(p[i - 1]):
                start = track.time[i - 1] + (low - p[i - 1]) / (p[i] - p[i - 1]) * (track.time[i] - track.time[i - 1])
            ends = last + 1 < len(p) and (track.time[last], track.time[last + 1]) in neighbours
            if how.refine and ends and not math.isnan(p[last + 1]):
                ahead = track.time[last + 1] - track.time[last]
                end = track.time[last] + (low - p[last]) / (p[last + 1] - p[last]) * ahead
            if p[i : last + 1].max() >= begin:
                if pieces and start - pieces[-1][1] < how.merge:
                    pieces[-1] = (pieces[-1][0], end, pieces[-1][2] + list(range(i, last + 1)))
                else:
                    pieces.append((start, end, list(range(i, last + 1))))
            i = last + 1
        for start, end, windows in pieces:
            start, end = max(0.0, start), min(track.duration, end)
            if end > start and end - start >= how.shortest:
                share = None
                if track.sound is not None:
                    share = float((p[windows] * track.sound[windows, j]).sum() / p[windows].sum())
                found.append((name, start, end, p[windows].max(), share))
    return sorted(found)


values = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 1.0, math.nan]), st.floats(0, 1, width=32))
settings_of = st.builds(
    Segmentation,
    begin=st.floats(0.05, 1),
    stay=st.sampled_from([0.3, 0.6, 1.0]),
    merge=st.sampled_from([0.0, 0.4, 1.0, 3.0]),
    shortest=st.sampled_from([0.0, 0.5, 2.0]),
    refine=st.booleans(),
    begins=st.dictionaries(st.just("sound 0"), st.floats(0.05, 1)),
)


@st.composite
def tracks(draw):
    count, classes = draw(st.integers(0, 12)), draw(st.integers(0, 3))
    rows = draw(st.lists(st.lists(values, min_size=classes, max_size=classes), min_size=count, max_size=count))
    shares = draw(st.lists(st.floats(0, 1, width=32), min_size=count * classes, max_size=count * classes))
    hop = draw(st.sampled_from([0.25, 1.0]))
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 4]), min_size=count, max_size=count))
    time = np.cumsum(gaps).astype(float) * hop - hop / 2
    probability = np.array(rows, dtype=np.float32).reshape(count, classes)
    sound = np.array(shares, dtype=np.float32).reshape(count, classes) if draw(st.booleans()) else None
    duration = draw(st.sampled_from([float(time[-1] + hop) if count else 1.0, 2.2]))
    return Track("a.wav", tuple(f"sound {j}" for j in range(classes)), time, hop, probability, sound, duration)


@settings(max_examples=150, deadline=None)
@given(tracks(), settings_of)
def test_events_are_those_of_the_definition(track, how):
    expected, found = naive(track, how), sorted(find_events(track, how), key=lambda e: (e.name, e.start, e.end))
    assert [event.name for event in found] == [name for name, *_ in expected]
    for event, (_, start, end, peak, share) in zip(found, expected, strict=True):
        assert (event.start, event.end, event.probability) == pytest.approx((start, end, peak))
        assert event.sound == (None if share is None else pytest.approx(share, abs=1e-6))
        assert event.picture == (None if share is None else pytest.approx(1 - share, abs=1e-6))


@settings(max_examples=80, deadline=None)
@given(tracks(), settings_of)
def test_windows_one_by_one_give_the_events_of_all_at_once(track, how):
    stream = EventStream("a.wav", track.names, track.hop, how, duration=track.duration)
    found, given_at = [], []
    for i, time in enumerate(track.time):
        new = stream.push(time, track.probability[i], None if track.sound is None else track.sound[i])
        given_at += [(event, time) for event in new]
        found += new
    assert Events([*found, *stream.finish()]) == find_events(track, how)
    for event, time in given_at:  # as soon as nothing can be joined to it any more, and not before
        assert event.end + how.merge <= time + 1e-9
    assert stream.finish() == []


def test_an_event_is_given_while_the_recording_goes_on():
    stream = EventStream("-", ["dog"], 1.0, Segmentation(merge=1.0, refine=False))
    given = [
        stream.push(time, np.array([p])) for time, p in zip([0.5, 1.5, 2.5, 3.5, 4.5], [0, 1, 0, 0, 0], strict=True)
    ]
    assert [len(events) for events in given] == [0, 0, 0, 1, 0]
    assert given[3] == [Event("-", 1.0, 2.0, "dog")]


def test_hysteresis_keeps_what_stays_above_the_low_threshold_and_reaches_the_high_one():
    track = track_of([0, 0.4, 0.9, 0.4, 0, 0, 0, 0, 0.4, 0.4, 0])
    assert spans(find_events(track, Segmentation(begin=0.5, refine=False))) == [(1, 4)]
    assert spans(find_events(track, Segmentation(begin=0.5, stay=1.0, refine=False))) == [(2, 3)]


def test_ends_lie_where_the_probability_crosses_the_low_threshold():
    track = track_of([0.0, 1.0, 1.0, 0.0])
    (event,) = find_events(track, Segmentation(begin=0.5, stay=0.5))
    assert (event.start, event.end) == pytest.approx((0.5 + 0.25, 2.5 + 0.75))


def test_gaps_are_bridged_before_short_events_go():
    track = track_of([0, 1, 0, 1, 0, 0, 0, 0, 1, 0])
    how = {"refine": False, "merge": 1.1, "shortest": 1.5}
    assert spans(find_events(track, Segmentation(**how))) == [(1, 4)]
    assert spans(find_events(track, Segmentation(**how | {"shortest": 0.0}))) == [(1, 4), (8, 9)]
    assert spans(find_events(track, Segmentation(**how | {"merge": 0.0}))) == []


def test_events_lie_within_the_recording():
    track = track_of([1, 1, 1], duration=2.25)
    assert spans(find_events(track)) == [(0, 2.25)]
    assert spans(find_events(track_of([1, 1, 1], duration=0.0))) == [(0, 3)]  # not known


def test_each_name_has_its_threshold_and_may_overlap_others():
    track = track_of([[0.4, 0.4], [0.4, 0.4], [0.0, 0.0]], names=("dog", "rain"))
    assert [e.name for e in find_events(track, Segmentation(begins={"rain": 0.3}))] == ["rain"]
    assert [e.name for e in find_events(track, Segmentation(begin=0.3))] == ["dog", "rain"]


def test_shares_are_weighted_by_probability():
    (event,) = find_events(track_of([0.5, 1.0], sound=[0.0, 0.9]))
    assert event.sound == pytest.approx(0.6)
    assert event.picture == pytest.approx(0.4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"begin": 0.0},
        {"begin": math.nan},
        {"begins": {"dog": 2.0}},
        {"stay": 1.5},
        {"merge": -1.0},
        {"shortest": math.inf},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(BadSetting, match="expected"):
        Segmentation(**wrong)


def test_windows_that_are_no_later_or_of_other_names_are_refused():
    stream = EventStream("-", ["dog"], 1.0)
    stream.push(0.5, np.array([0.1]))
    with pytest.raises(BadSetting, match="later"):
        stream.push(0.5, np.array([0.1]))
    with pytest.raises(BadSetting, match="expected"):
        stream.push(1.5, np.array([0.1, 0.2]))
