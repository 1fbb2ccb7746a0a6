"""Steps stretch by stretch are those of the whole."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.features.extractor import Extractor
from avshot.features.extractors.logmel import LogMel
from avshot.features.extractors.pixels import Pixels
from avshot.finding.steps import StepFlow, joined
from avshot.media import Media

RATE = 16000
NO_FRAMES, NO_SOUND = np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0, np.float32)


def sound(waveform, gaps=()):
    return Media(NO_FRAMES, np.zeros(0), waveform, RATE, "ok", len(waveform) / RATE, (), tuple(gaps))


def film(frames, times, duration):
    return Media(frames, times, NO_SOUND, RATE, "ok", duration)


def described(extractor, pieces, seconds):
    """All steps of pieces `(media, end)`."""
    flow, found = StepFlow(extractor, seconds), []
    for piece, until in pieces:
        found += flow.feed(piece, until)
        assert all((steps.time <= until).all() for steps in found)
    found += flow.finish()
    return joined(found, extractor.dim)


@given(
    length=st.integers(1, 12 * RATE),
    piece=st.floats(0.3, 5.0),
    seconds=st.floats(0.3, 4.0),
    hop=st.sampled_from([0.04, 0.02, 0.48]),
    stack=st.integers(1, 12),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_sound_by_stretches_has_the_steps_of_the_whole(length, piece, seconds, hop, stack, seed):
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32)
    extractor = LogMel(normalise="none", hop=hop, stack=stack)
    edges = [*range(0, length, round(piece * RATE)), length]
    pieces = [(sound(wave[a:b]), b / RATE) for a, b in itertools.pairwise(edges)]
    found = described(extractor, pieces, seconds)
    vectors, times = extractor(sound(wave))
    np.testing.assert_allclose(found.time, times, atol=1e-4)
    torch.testing.assert_close(found.vectors, vectors, atol=1e-4, rtol=0)


@given(
    count=st.integers(1, 150),
    piece=st.integers(1, 60),
    seconds=st.floats(0.2, 4.0),
    stack=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_pictures_by_stretches_have_the_steps_of_the_whole(count, piece, seconds, stack, seed):
    """Of what `pixels` says, colours and the palette depend on nothing but the frame."""
    fps = 10.0
    frames = np.random.default_rng(seed).integers(60, 200, (count, 12, 16, 3), np.uint8)
    times = (np.arange(count) + 0.5) / fps
    grids = {"height": 12, "width": 16, "rows": 3, "columns": 4, "colour_rows": 3, "colour_columns": 4}
    extractor = Pixels(hop=stack / fps, stack=stack, **grids)
    edges = [*range(0, count, piece), count]
    pieces = [(film(frames[a:b], times[a:b] - a / fps, (b - a) / fps), b / fps) for a, b in itertools.pairwise(edges)]
    found = described(extractor, pieces, seconds)
    vectors, centres = extractor(film(frames, times, count / fps))
    local = extractor.dim // stack - 36
    np.testing.assert_allclose(found.time, centres, atol=1e-4)
    mine, whole = (v.reshape(len(v), stack, -1)[:, :, 36:] for v in (found.vectors, vectors))
    assert mine.shape[2] == local
    torch.testing.assert_close(mine, whole, atol=1e-4, rtol=0)


def test_gaps_are_left_out_as_in_the_whole():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE).astype(np.float32)
    wave[4 * RATE : 6 * RATE] = 0
    extractor = LogMel(normalise="none", stack=2)
    pieces = [
        (sound(wave[: 5 * RATE], [(4.0, 5.0)]), 5.0),
        (sound(wave[5 * RATE :], [(0.0, 1.0)]), 10.0),
    ]
    found = described(extractor, pieces, 2.0)
    vectors, times = extractor(sound(wave, [(4.0, 6.0)]))
    np.testing.assert_allclose(found.time, times, atol=1e-4)
    torch.testing.assert_close(found.vectors, vectors, atol=1e-4, rtol=0)
    assert not ((found.time > 4.05) & (found.time < 5.95)).any()


@pytest.mark.parametrize("extractor", [LogMel(), Pixels()])
def test_what_depends_on_the_whole_clip_says_so(extractor):
    assert extractor.reach == np.inf


def test_nothing_gives_no_steps():
    for extractor in (LogMel(normalise="none"), Pixels()):
        found = described(extractor, [(sound(np.zeros(3 * RATE, np.float32)), 3.0)], 1.0)
        assert found.vectors.shape == (0, extractor.dim)


def test_memory_holds_no_more_than_a_stretch_and_its_surroundings():
    flow, most = StepFlow(LogMel(normalise="none"), 2.0), 0
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    for second in range(60):
        list(flow.feed(sound(wave), second + 1.0))
        most = max(most, sum(len(part) for part in flow._buffer._parts))
    assert most < 4.5 * RATE


class Hears(LogMel):
    """As a model that reads windows."""

    window: float = 2.0
    reach = Extractor.reach


class Sees(Pixels):
    reach = Extractor.reach


def test_what_an_extractor_sees_around_a_step_unless_it_says_otherwise():
    assert Hears(window=2.0).reach == pytest.approx(1.1)
    assert Sees().reach == 0.0
    assert LogMel(normalise="none", stack=2).reach < 0.1
