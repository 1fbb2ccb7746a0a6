"""Names of a track in order, beside a loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from avshot.events import Track
from avshot.finding.recognise import ranked


def track_of(probability, sound=None):
    probability = np.asarray(probability, np.float32)
    count, names = probability.shape
    return Track(
        "a.wav", tuple("abcdef"[:names]), np.arange(count) + 0.5, 1.0, probability, sound, float(count), "ok", ()
    )


@given(
    probability=arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.sampled_from([0, 0.25, 0.5, 1])
    )
)
@settings(max_examples=50, deadline=None)
def test_order_is_by_the_mean_then_the_highest(probability):
    found = ranked(track_of(probability))
    assert sorted(each.name for each in found) == list("abcdef"[: probability.shape[1]])
    keys = [(column.mean(), column.max()) for column in (probability[:, "abcdef".index(each.name)] for each in found)]
    assert keys == sorted(keys, reverse=True)
    for each in found:
        column = probability[:, "abcdef".index(each.name)]
        assert each.probability == column.max()
        assert column[int(each.at)] == column.max()


def test_a_moment_does_not_make_a_recording():
    found = ranked(track_of([[0.9, 0.6], [0.0, 0.6]], np.array([[1.0, 0.25], [1.0, 0.75]], np.float32)))
    assert [each.name for each in found] == ["b", "a"]
    assert found[0].sound == pytest.approx(0.25)
    assert (found[1].probability, found[1].at) == (pytest.approx(0.9), 0.5)


def test_without_windows_there_is_nothing_to_rank():
    assert ranked(track_of(np.zeros((0, 2)))) == ()
