"""Windows of sound and frames, against loops written from what the page says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.errors import BadSetting
from avshot.features.extractor import create_extractor
from avshot.features.extractors._sound import heard, window_starts
from avshot.features.extractors._windows import frame_windows
from avshot.media import Media


@pytest.mark.parametrize(
    ("samples", "window", "hop"), [(1, 10, 10), (10, 10, 10), (95, 10, 10), (95, 10, 5), (12, 10, 1)]
)
def test_windows_cover_the_sound_and_none_is_empty(samples, window, hop):
    starts = window_starts(samples, window, hop)
    assert starts == [i * hop for i in range(len(starts))]
    assert starts[-1] < samples
    assert samples - (starts[-1] + window) < hop / 2  # what is left out is shorter than half a hop


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 80), st.integers(1, 9), st.floats(1, 30), st.floats(0.05, 1))
def test_frames_of_a_window_are_its_own_and_spread_evenly(frames, count, window, part):
    hop = window * part
    picks = frame_windows(frames, count, window, hop)
    width = round(window)
    assert (len(picks) == 0) == (frames == 0)
    for pick in picks:
        assert pick.shape == (count,)
        assert 0 <= pick[0] <= pick[-1] < frames
        assert (np.diff(pick) >= 0).all()
        assert pick[-1] - pick[0] < max(width, 1)
        steps = np.diff(pick)
        assert steps.size == 0 or steps.max() - steps.min() <= 1  # evenly, to the frame
    firsts = [pick[0] for pick in picks]
    assert firsts == sorted(firsts)
    if frames:
        assert frames - picks[-1][-1] <= width / count / 2 + max(hop, 1) / 2 + 2  # nothing much is left at the end


def test_a_window_with_as_many_frames_as_the_model_reads_takes_them_all():
    assert [pick.tolist() for pick in frame_windows(9, 3, 3.0, 3.0)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [pick.tolist() for pick in frame_windows(5, 2, 4.0, 2.0)] == [[1, 3], [2, 4]]


def test_fractions_of_a_frame_do_not_add_up():
    starts = [pick[0] for pick in frame_windows(1001, 1, 3.2, 3.2)]
    wanted = [i * 3.2 + 1 for i in range(len(starts))]
    assert max(abs(a - b) for a, b in zip(starts, wanted, strict=True)) <= 1.5


def test_centres_lie_where_the_sound_was():
    rate, random = 1000, np.random.default_rng(0)
    noise = random.uniform(0.1, 0.5, 2500).astype(np.float32) * random.choice([-1, 1], 2500)
    wave = np.concatenate([noise[:1200], np.zeros(500, np.float32), noise[1200:]]).astype(np.float32)
    media = Media(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0), wave, rate, "no_visual", 3.0, gaps=((1.2, 1.7),))
    heard_of_it = heard(media, rate, "any")
    np.testing.assert_array_equal(heard_of_it.waveform, noise.astype(np.float32))
    np.testing.assert_allclose(heard_of_it.when(np.array([500, 1500, 2250])), [0.5, 2.0, 2.75])


@pytest.mark.parametrize("options", ["window=-1", "hop=-1", "window=nan", "hop=inf", "window=2&hop=3"])
def test_impossible_windows_are_refused_before_anything_is_loaded(options):
    with pytest.raises(BadSetting, match=r"(clap|xclip) "):
        create_extractor(f"clap:nowhere?{options}")
    with pytest.raises(BadSetting, match="xclip "):
        create_extractor(f"xclip:nowhere?{options}")
