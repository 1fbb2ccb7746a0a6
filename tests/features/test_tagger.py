"""What taggers share: labels, windows, probabilities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avshot.features.tagger import check_windows, labels, window_starts


def test_lists_of_labels():
    assert [len(labels(name)) for name in ("audioset", "yamnet", "imagenet")] == [527, 521, 1000]
    assert labels("audioset")[:2] == ("Speech", "Male speech, man speaking")
    assert labels("yamnet")[69] == "Dog"
    assert labels("imagenet")[0] == "tench, Tinca tinca"
    for name in ("audioset", "yamnet"):
        assert len(set(labels(name))) == len(labels(name))
    assert set(labels("yamnet")) < set(labels("audioset"))
    assert all(label == label.strip() != "" for name in ("audioset", "yamnet", "imagenet") for label in labels(name))


@given(count=st.integers(0, 300), window=st.integers(1, 60), hop=st.integers(1, 60))
def test_windows_cover_all_frames_and_none_reaches_beyond(count, window, hop):
    starts = window_starts(count, window, min(hop, window))
    heard = {frame for first in starts for frame in range(first, min(first + window, count))}
    assert heard == set(range(count))
    assert starts == sorted(set(starts))
    assert all(first + window <= count for first in starts) or starts == [0]


NAN = float("nan")


@pytest.mark.parametrize(("window", "hop"), [(0.05, 0.05), (61, 1), (2, 2.5), (2, 0), (2, NAN), (NAN, 1)])
def test_windows_that_cannot_be_are_refused(window, hop):
    with pytest.raises(ValueError, match="windows of"):
        check_windows("x", window, hop, shortest=0.1)
