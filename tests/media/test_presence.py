"""Which part of a stream is evidence: spans against a naive loop, and every kind of nothing that streams hold."""

import time

import numpy as np
import pytest
import soxr
from hypothesis import example, given
from hypothesis import strategies as st

from avshot.media.presence import BLACK, PADDING, SILENCE, lit, sounding

RATE = 16000


def noise(count, amplitude=0.1, seed=0):
    return (amplitude * np.random.default_rng(seed).uniform(-1, 1, count)).astype(np.float32)


def zeros(count):
    return np.zeros(count, np.float32)


def samples(spans, rate=RATE):
    return np.rint(np.asarray(spans) * rate).astype(int).tolist()


@given(before=st.integers(0, 5000), after=st.integers(0, 5000), length=st.integers(2, 3000), seed=st.integers(0, 9))
def test_zeros_at_the_ends_do_not_belong_and_do_not_move_the_sound(before, after, length, seed):
    sound = noise(length, seed=seed)
    sound[[0, -1]] = 0.5, -0.5
    found = sounding(np.concatenate([zeros(before), sound, zeros(after)]), RATE)
    assert len(found) == 1
    [[start, stop]] = samples(found)
    assert start == before if before >= PADDING else 0 <= start <= before
    assert stop == before + length if after >= PADDING else before + length <= stop <= before + length + after


@given(before=st.integers(16, 3000), after=st.integers(16, 3000), quiet=st.integers(0, 600), seed=st.integers(0, 9))
@example(before=16, after=16, quiet=199, seed=0)  # a sample less than is compared at a time
def test_with_padding_a_sound_is_cut_where_it_is_without(before, after, quiet, seed):
    """Also a sound that begins and ends with noise too soft to count: what is kept of that is the same."""
    faint = noise(quiet, 1e-4, seed) + np.float32(2e-4)
    sound = np.concatenate([faint, noise(2000, seed=seed), faint])
    [[start, stop]] = samples(sounding(sound, RATE))
    padded = np.concatenate([zeros(before), sound, zeros(after)])
    assert samples(sounding(padded, RATE)) == [[start + before, stop + before]]


@given(scale=st.floats(1e-2, 10), before=st.integers(200, 2000))
def test_loudness_does_not_matter(scale, before):
    whole = np.concatenate([zeros(before), noise(2000, 0.5), zeros(700)])
    whole[before] = 0.5
    assert samples(sounding(whole * np.float32(scale), RATE))[0][0] == before


@given(
    gaps=st.lists(st.tuples(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5)), max_size=5),
    seed=st.integers(0, 5),
)
def test_gaps_are_taken_out(gaps, seed):
    """Against a mask filled gap by gap."""
    inside = np.ones(RATE, dtype=bool)
    for start, end in gaps:
        first, last = (round(min(max(edge * RATE, 0), RATE)) for edge in (start, end))
        inside[first : max(first, last)] = False
    made = np.zeros(RATE, dtype=bool)
    for first, last in samples(sounding(noise(RATE, seed=seed), RATE, gaps)):
        assert not made[first:last].any()
        made[first:last] = True
    different = np.flatnonzero(made != inside)
    assert len(different) <= 2 * (len(gaps) + 1)  # a single sample between two gaps cannot move


def test_a_gap_hides_what_lies_in_it():
    waveform = np.concatenate([noise(1600), zeros(3200), noise(1600)])
    waveform[0] = 1.0
    assert samples(sounding(waveform, RATE, [(0.0, 0.1)])) == [[4800, 6400]]  # silence after a leading gap goes as well
    assert samples(sounding(waveform, RATE, [(0.1, 0.3)])) == [[0, 1600], [4800, 6400]]
    assert samples(sounding(waveform, RATE)) == [[0, 6400]]  # a pause that was decoded is a fact
    assert len(sounding(waveform, RATE, [(0.0, 0.4)])) == 0


NOTHING = {
    "no samples": zeros(0),
    "zeros": zeros(RATE),
    "an offset": np.full(RATE, 0.01, np.float32),
    "dither of 16 bits": np.random.default_rng(0).integers(-1, 2, RATE).astype(np.float32) / 32768,
    "noise-shaped dither": np.random.default_rng(0).integers(-4, 5, RATE).astype(np.float32) / 32768,
    "eight bits at rest": np.full(RATE, 127 / 128 - 1, np.float32),
    "anti-phase stereo": np.stack([noise(RATE), -noise(RATE)]).mean(axis=0),
    "an offset that was resampled": soxr.resample(np.full(44100, -0.02, np.float32), 44100, RATE),
    "an offset with gaps": np.repeat(np.array([0.01, 0.0, 0.01, 0.0], np.float32), RATE // 4),
    "mu-law at rest": np.random.default_rng(0).integers(-1, 2, RATE).astype(np.float32) * 8 / 32768,
    "a slow drift": np.linspace(-0.005, 0.005, RATE, dtype=np.float32),
}


@pytest.mark.parametrize("what", NOTHING)
def test_nothing_is_nothing(what):
    assert sounding(NOTHING[what], RATE).shape == (0, 2)
    [[start, stop]] = samples(sounding(np.concatenate([NOTHING[what], noise(RATE), NOTHING[what]]), RATE))
    assert abs(start - len(NOTHING[what])) < 5
    assert abs(stop - start - RATE) < 20


SOMETHING = {
    "one click": np.concatenate([zeros(500), [0.5], zeros(500)]),
    "a click at the very end": np.concatenate([zeros(500), [0.5]]),
    "five milliseconds": np.concatenate([zeros(500), noise(80), zeros(500)]),
    "a room at -70 dB": np.random.default_rng(0).normal(0, 10 ** (-70 / 20), RATE),
    "a hum of 50 Hz": 0.001 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE),
    "one step of eight bits": np.random.default_rng(0).integers(0, 2, RATE) / 128,
    "a few blocks at an end": np.concatenate([noise(400), zeros(RATE)]),
    "a few blocks at an end, on an offset": np.concatenate([noise(400), zeros(RATE)]) + np.float32(0.01),
    "shorter than a block": noise(20),
    "not a number": np.array([0, np.nan, 0], np.float32),
    "infinity": np.array([0.0] * 500 + [np.inf] * 5),
}


@pytest.mark.parametrize("what", SOMETHING)
def test_something_is_something(what):
    assert len(sounding(SOMETHING[what], RATE)) == 1


def test_an_hour_costs_nothing_to_speak_of():
    hour = zeros(3600 * RATE)
    hour[-1] = 1.0
    began = time.perf_counter()
    assert samples(sounding(hour, RATE)) == [[len(hour) - 1, len(hour)]]
    assert time.perf_counter() - began < 2.0


def picture(count, level=128):
    return np.full((count, 12, 16, 3), level, np.uint8)


def test_black_frames_at_the_ends_are_not_lit():
    frames = np.concatenate([picture(70, 0), picture(2), picture(3, 0), picture(1), picture(130, 16)])
    assert np.flatnonzero(lit(frames)).tolist() == list(range(70, 76))  # the cut through black stays
    assert not lit(picture(5, 0)).any()
    assert lit(picture(0)).shape == (0,)
    assert not lit(picture(1, 0)).any()  # one black cover
    assert lit(picture(3)).all()


def test_black_of_the_limited_range_with_noise_is_black_and_a_night_scene_is_not():
    rng = np.random.default_rng(0)
    noisy = (16 + rng.integers(-8, 9, (9, 48, 64, 3))).astype(np.uint8)
    assert not lit(noisy).any()
    lamps = noisy.copy()
    lamps[:, 5, 7] = 200
    assert lit(lamps).all()
    dim = noisy.copy()
    dim[:, :, 32:] += 15  # a wall that can just be made out
    assert dim.max() <= BLACK + 15
    assert lit(dim).all()


def test_noise_of_single_pixels_is_no_picture_at_any_size_and_a_lamp_is_one():
    rng = np.random.default_rng(0)
    large = np.clip(16 + rng.normal(0, 12, (3, 240, 320, 3)), 0, 90).astype(np.uint8)
    assert not lit(large).any()
    large[0, 100, 100] = 255
    assert lit(large).tolist() == [True, False, False]


@given(before=st.integers(0, 140), between=st.integers(1, 140), after=st.integers(0, 140))
def test_lit_agrees_with_a_loop(before, between, after):
    frames = np.zeros((before + between + after, 2, 2, 3), np.uint8)
    frames[before, 0, 0, 0] = frames[before + between - 1, 1, 1, 2] = BLACK + 1
    assert lit(frames).tolist() == [before <= i < before + between for i in range(len(frames))]


def test_the_constants_lie_where_their_comments_say():
    assert 16 / 32768 < SILENCE < 10 ** (-70 / 20) * 4
    assert 16 < BLACK < 64
