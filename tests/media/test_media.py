"""Media: each hazard with a file that the test makes; the truth is what was written, not what FFmpeg says."""

import math
import os
import socket
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avshot.media import Limits, probe, read, write
from avshot.media.picture import SLACK, Picture, wanted_before
from made_media import RATE, add_audio, add_video, amplitude_at, greys, make_video, mux, numbers, sine


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds: 50 greys at 25 fps and a 440 Hz sine of amplitude 0.5."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    write(path, greys(50), 25, sine(2.0), RATE)
    return path


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Twenty seconds at 10 fps, a key frame every second, frame i grey i % 50, the sound 300 Hz then 900 Hz."""
    path = tmp_path_factory.mktemp("media") / "long.mkv"
    frames = np.concatenate([greys(50)] * 4)
    sound = np.concatenate([sine(10.0, hertz=300.0), sine(10.0, hertz=900.0)])
    with av.open(str(path), "w") as container:
        mux(
            container,
            add_video(container, frames, [100 * i for i in range(200)], gop=10),
            add_audio(container, sound[None], RATE),
        )
    return path


# ---------------------------------------------------------------- what was written comes back


def test_read_gives_back_what_write_wrote(clip):
    media = read(clip)
    assert media.status == "ok"
    assert numbers(media) == list(range(50))
    np.testing.assert_allclose(media.frame_time, (np.arange(50) + 0.5) / 25)
    assert (media.frames.dtype, media.frame_time.dtype, media.waveform.dtype) == (np.uint8, np.float64, np.float32)
    assert len(media.waveform) == 2 * RATE
    assert amplitude_at(media.waveform, RATE, 440.0) == pytest.approx(0.5, rel=0.03)
    assert np.corrcoef(media.waveform[2000:-2000], sine(2.0)[2000:-2000])[0, 1] > 0.999  # in phase: no shift in time
    assert media.duration == pytest.approx(2.0)


def test_colours_come_back_as_rgb(tmp_path):
    frames = np.zeros((5, 32, 48, 3), np.uint8)
    frames[:, :, :24], frames[:, :, 24:] = (200, 40, 40), (40, 40, 200)
    write(tmp_path / "a.mp4", frames, 25, None, RATE)
    media = read(tmp_path / "a.mp4")
    assert np.abs(media.frames[:, :, 4:20].astype(int) - (200, 40, 40)).max() < 12
    assert np.abs(media.frames[:, :, 28:44].astype(int) - (40, 40, 200)).max() < 12


def test_write_is_repeatable_and_leaves_nothing_beside(tmp_path):
    write(tmp_path / "a.mp4", greys(20), 25, sine(0.8), RATE)
    write(tmp_path / "b.mp4", greys(20), 25, sine(0.8), RATE)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_write_puts_the_index_in_front(clip):
    data = clip.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    write(tmp_path / "a.mp4", greys(5), 25, None, RATE)
    before = (tmp_path / "a.mp4").read_bytes()
    monkeypatch.setattr("avshot.media.writer._encode", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "a.mp4", greys(9), 25, None, RATE)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(
    ("frames", "fps", "waveform", "rate", "words"),
    [
        (None, 25, None, RATE, "neither"),
        (greys(3, 31, 48), 25, None, RATE, "even"),
        (greys(3, 32, 47), 25, None, RATE, "even"),
        (greys(3)[..., 0], 25, None, RATE, "expected uint8"),
        (greys(3).astype(np.float32), 25, None, RATE, "expected uint8"),
        (greys(3)[:0], 25, None, RATE, "at least one frame"),
        (greys(3), 0, None, RATE, "fps"),
        (None, 25, sine(1)[None], RATE, "mono"),
        (None, 25, sine(1), 10000, "AAC takes"),
        (None, 25, np.full(100, np.nan, np.float32), RATE, "undefined"),
    ],
)
def test_write_refuses_what_the_codecs_cannot_take(tmp_path, frames, fps, waveform, rate, words):
    with pytest.raises(ValueError, match=words):
        write(tmp_path / "a.mp4", frames, fps, waveform, rate)
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- which frame answers which time


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=30),
    first=st.integers(-300, 700),
    fps=st.sampled_from([0.3, 1.0, 2.5, 7.0, 10.0, 12.5, 24.0, 25.0, 29.97, 30.0, 60.0]),
)
@example(gaps=[40] * 20, first=0, fps=12.5)  # every wanted time on the border of two frames
@example(gaps=[33, 34, 33] * 8, first=0, fps=30.0)  # stamps rounded to milliseconds
def test_wanted_before_agrees_with_a_search_through_the_frames(gaps, first, fps):
    stamps = [(first + sum(gaps[:i])) / 1000 for i in range(len(gaps) + 1)]
    frames, until = stamps[:-1], stamps[-1]
    ours = {
        k: i
        for i, (begin, end) in enumerate(zip(frames, stamps[1:], strict=True))
        for k in range(wanted_before(begin, fps), wanted_before(end, fps))
    }
    naive, k = {}, 0
    while (time := (k + 0.5) / fps) < until - SLACK:
        shown = [i for i, stamp in enumerate(frames) if stamp - SLACK <= time]
        if shown:
            naive[k] = shown[-1]
        k += 1
    assert ours == naive


def test_variable_rate_is_sampled_by_time_stamp(tmp_path):
    gaps = [10, 200, 35, 35, 410, 90, 20, 100, 500]
    stamps = np.cumsum([0, *gaps]).tolist()
    path = make_video(tmp_path / "vfr.mkv", greys(len(stamps)), stamps)
    every = read(path, fps=None)
    assert numbers(every) == list(range(len(stamps)))
    np.testing.assert_allclose(every.frame_time, np.array(stamps) / 1000, atol=1e-6)
    ten = read(path, fps=10)
    expected = [max(i for i, s in enumerate(stamps) if s / 1000 - SLACK <= time) for time in ten.frame_time]
    np.testing.assert_allclose(ten.frame_time, (np.arange(len(ten.frames)) + 0.5) / 10)
    assert numbers(ten) == expected
    assert len(ten.frames) >= stamps[-1] // 100


@pytest.mark.parametrize(
    ("name", "fps"), [("a.mp4", 30000 / 1001), ("a.mkv", 30000 / 1001), ("a.mkv", 24), ("a.avi", 15)]
)
def test_the_rate_of_the_file_takes_every_frame_once(tmp_path, name, fps):
    tick = 1 / Fraction(fps).limit_denominator(1001)
    codec, pixels = ("mjpeg", "yuvj420p") if name.endswith("avi") else ("libx264", "yuv420p")
    with av.open(str(tmp_path / name), "w") as container:
        mux(container, add_video(container, greys(40), range(40), tick=tick, codec=codec, pixels=pixels, rate=1 / tick))
    assert numbers(read(tmp_path / name, fps=fps)) == list(range(40))


def test_a_lower_and_a_higher_rate(clip):
    assert numbers(read(clip, fps=5)) == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]
    twice = read(clip, fps=50)
    assert numbers(twice) == np.repeat(np.arange(50), 2).tolist()
    assert (np.diff(twice.frame_time) > 0).all()


def test_sparse_sampling_decodes_only_what_it_needs(long_clip, monkeypatch):
    decoded, original = [], Picture._decode
    monkeypatch.setattr(Picture, "_decode", lambda self, *packet: decoded.append(packet) or original(self, *packet))
    media = read(long_clip, fps=0.2)
    assert numbers(media) == [25, 25, 25, 25]  # 2.5 s, 7.5 s, 12.5 s, 17.5 s; the greys repeat after 5 s
    assert len(decoded) < 100
    assert 0 <= len(media.waveform) - 20 * RATE < 1024  # Matroska cannot say how much of the last AAC packet is padding
    np.testing.assert_array_equal(media.frames, read(long_clip, fps=None).frames[25::50])


@pytest.fixture(scope="module")
def moving_clip(tmp_path_factory):
    """Three seconds at 25 fps of a square that wanders over noise, with the B pictures of libx264's defaults."""
    path = tmp_path_factory.mktemp("media") / "moving.mp4"
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 90, (1, 48, 64, 3)), 75, axis=0).astype(np.uint8)
    for i in range(75):
        frames[i, i // 3 : i // 3 + 20, i // 2 : i // 2 + 20] = rng.integers(150, 160, (20, 20, 3))
    write(path, frames, 25, sine(3.0), RATE)
    return path


@pytest.mark.parametrize("span", [{}, {"start": 0.5, "end": 1.7}, {"end": 0.01}, {"start": 2.9}])
@pytest.mark.parametrize("fps", [2.0, 6.5, 12.5, 24.0, 60.0])
def test_pictures_that_nobody_needs_are_skipped_and_no_kept_one_changes(moving_clip, monkeypatch, fps, span):
    skipped, judge = [], Picture._spare
    with monkeypatch.context() as patch:
        patch.setattr(Picture, "_spare", lambda self, time: skipped.append(judge(self, time)) or skipped[-1])
        media = read(moving_clip, fps=fps, **span)
    assert any(skipped) or fps > 12.5 or span.get("end") == 0.01 or "start" in span
    monkeypatch.setattr(Picture, "_spare", lambda self, time: False)
    plain = read(moving_clip, fps=fps, **span)
    np.testing.assert_array_equal(media.frames, plain.frames)
    np.testing.assert_array_equal(media.frame_time, plain.frame_time)
    assert (media.status, media.duration) == (plain.status, plain.duration)


def test_skipping_spares_decoding(moving_clip, monkeypatch):
    shown, original = [], Picture._show
    monkeypatch.setattr(Picture, "_show", lambda self, *a, **k: shown.append(1) or original(self, *a, **k))
    read(moving_clip, fps=25.0)
    every = len(shown)
    read(moving_clip, fps=4.0)
    assert every == 76  # each picture leaves the screen, and the end
    assert len(shown) - every < every - 10


@pytest.mark.parametrize(("packets", "size"), [(1, 1 << 20), (7, 1 << 20), (256, 1)])
def test_how_many_packets_wait_together_changes_nothing(moving_clip, long_clip, monkeypatch, packets, size):
    asked = [
        (moving_clip, {"fps": 12.5}),
        (long_clip, {"fps": 3.0, "start": 2.5, "end": 11.0}),
        (long_clip, {"fps": None}),
    ]
    before = [read(path, **request) for path, request in asked]
    monkeypatch.setattr("avshot.media.demux._BATCH", packets)
    monkeypatch.setattr("avshot.media.demux._BATCH_BYTES", size)
    monkeypatch.setattr("avshot.media.canvas.KEPT_BYTES", 1 if packets == 1 else 1 << 30)
    monkeypatch.setattr("avshot.media.sound._TOGETHER", packets)
    for one, (path, request) in zip(before, asked, strict=True):
        other = read(path, **request)
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.waveform, other.waveform)
        assert (one.status, one.duration) == (other.status, other.duration)


def test_a_picture_shorter_than_half_a_step_gives_its_last_frame(tmp_path):
    write(tmp_path / "a.mp4", greys(5), 25, None, RATE)
    media = read(tmp_path / "a.mp4", fps=1)
    assert numbers(media) == [4]
    assert 0 <= media.frame_time[0] < 0.2


def test_a_still_image_is_one_frame(tmp_path):
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        mux(container, add_video(container, greys(21)[20:], [0], codec="png", pixels="rgb24"))
    media = read(tmp_path / "a.png", fps=1)
    assert (numbers(media), media.status) == ([20], "no_audio")


# ---------------------------------------------------------------- spans


@pytest.mark.parametrize(("start", "end"), [(0.4, 1.2), (0.0, 0.5), (1.0, None), (None, 0.32), (0.42, 0.98)])
def test_a_span_is_the_part_of_the_whole(clip, start, end):
    whole, part = read(clip, fps=None), read(clip, fps=None, start=start, end=end)
    begin, stop = start or 0.0, end or 2.0
    kept = (whole.frame_time >= begin - 1e-6) & (whole.frame_time < stop - 1e-6)
    np.testing.assert_array_equal(part.frames, whole.frames[kept])
    np.testing.assert_allclose(part.frame_time, whole.frame_time[kept] - begin, atol=1e-6)
    expected = whole.waveform[round(begin * RATE) : round(stop * RATE)]
    assert abs(len(part.waveform) - len(expected)) <= 1
    np.testing.assert_allclose(part.waveform, expected[: len(part.waveform)], atol=1e-3)
    assert part.duration == pytest.approx(stop - begin)


@pytest.mark.parametrize("fps", [25.0, None, 0.5])
def test_a_span_far_in_is_reached_by_seeking_and_is_exact(long_clip, fps):
    whole = read(long_clip, fps=None)
    media = read(long_clip, fps=fps, start=12.35, end=16.35)
    times = np.array([t for t in whole.frame_time if 12.35 <= t < 16.35]) - 12.35 if fps is None else media.frame_time
    shown = np.searchsorted(whole.frame_time, times + 12.35 + SLACK, side="right") - 1
    np.testing.assert_array_equal(media.frames, whole.frames[shown])
    np.testing.assert_allclose(media.waveform, whole.waveform[round(12.35 * RATE) : round(16.35 * RATE)], atol=2e-3)
    assert media.status == "ok"


def test_a_span_reads_no_more_than_it_needs(long_clip, monkeypatch):
    fed, original = [], Picture._take
    monkeypatch.setattr(Picture, "_take", lambda self, *packet: fed.append(packet) or original(self, *packet))
    read(long_clip, start=15.0, end=16.0)
    assert len(fed) < 40


def test_a_span_behind_the_end_is_an_error(clip):
    assert read(clip, start=5.0).status == "error: the span starts at 5 s but the file ends at 2 s."


# ---------------------------------------------------------------- size


def test_size_and_short_side(tmp_path):
    write(tmp_path / "a.mp4", greys(10, 96, 144), 25, None, RATE)
    assert read(tmp_path / "a.mp4").frames.shape[1:] == (96, 144, 3)
    assert read(tmp_path / "a.mp4", size=(20, 50)).frames.shape[1:] == (20, 50, 3)
    assert read(tmp_path / "a.mp4", short_side=32).frames.shape[1:] == (32, 48, 3)


def test_scaling_down_averages(tmp_path):
    frames = np.zeros((3, 96, 96, 3), np.uint8)
    frames[:, ::2] = 255  # rows that alternate: picking single rows would give black or white
    write(tmp_path / "a.mp4", frames, 25, None, RATE)
    assert np.abs(read(tmp_path / "a.mp4", size=(12, 12)).frames.astype(int) - 127).max() < 25


CORNER = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}


@pytest.mark.parametrize(
    ("degrees", "hflip", "vflip", "corner", "shape"),
    [
        (0, False, False, "top left", (32, 48)),
        (90, False, False, "bottom left", (48, 32)),  # counter-clockwise, as FFmpeg counts
        (180, False, False, "bottom right", (32, 48)),
        (270, False, False, "top right", (48, 32)),
        (0, True, False, "top right", (32, 48)),
        (0, False, True, "bottom left", (32, 48)),
    ],
)
def test_rotation_and_mirroring_are_applied(tmp_path, degrees, hflip, vflip, corner, shape):
    frames = np.full((5, 32, 48, 3), 30, np.uint8)
    frames[:, :16, :24] = 220  # bright in the top left corner as stored
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream, packets = add_video(container, frames, range(0, 200, 40))
        stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
        mux(container, (stream, packets))
    media = read(tmp_path / "a.mp4")
    assert media.frames.shape[1:3] == shape
    height, width = shape
    quarters = media.frames[0].reshape(2, height // 2, 2, width // 2, 3).mean(axis=(1, 3, 4))
    assert np.unravel_index(quarters.argmax(), (2, 2)) == CORNER[corner]
    assert read(tmp_path / "a.mp4", size=(20, 40)).frames.shape[1:3] == (20, 40)
    assert min(read(tmp_path / "a.mp4", short_side=16).frames.shape[1:3]) == 16


# ---------------------------------------------------------------- sound


@pytest.mark.parametrize("source", [8000, 11025, 44100, 48000, 96000])
@pytest.mark.parametrize("rate", [16000, 32000])
def test_rates(tmp_path, source, rate):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        tone = (sine(1.5, source) * 32767).astype(np.int16)[None]
        mux(container, add_audio(container, tone, source, codec="pcm_s16le", fmt="s16"))
    media = read(tmp_path / "a.wav", rate=rate)
    assert abs(len(media.waveform) - 1.5 * rate) <= 1
    assert amplitude_at(media.waveform, rate, 440.0) == pytest.approx(0.5, rel=0.005)
    assert np.corrcoef(media.waveform[500:-500], sine(1.5, rate)[500 : len(media.waveform) - 500])[0, 1] > 0.9999


@pytest.mark.parametrize("piece", [1, 4096, 30000])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_long_sound_is_resampled_in_pieces_with_the_same_numbers(tmp_path, monkeypatch, rate, piece):
    sound = np.stack([sine(2.0, 44100, hertz=hertz) for hertz in (440.0, 3000.0)])
    with av.open(str(tmp_path / "a.mka"), "w") as container:
        mux(container, add_audio(container, sound, 44100, layout="stereo"))
    whole = read(tmp_path / "a.mka", rate=rate).waveform
    monkeypatch.setattr("avshot.media.sound._LONG", piece)
    np.testing.assert_array_equal(read(tmp_path / "a.mka", rate=rate).waveform, whole)


def test_resampling_down_does_not_fold_high_tones(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        tone = (sine(1.0, 48000, hertz=15000.0) * 32767).astype(np.int16)[None]
        mux(container, add_audio(container, tone, 48000, codec="pcm_s16le", fmt="s16"))
    assert np.abs(read(tmp_path / "a.wav").waveform[500:-500]).max() < 1e-3


@pytest.mark.parametrize(
    ("codec", "fmt", "encode"),
    [
        ("pcm_u8", "u8", lambda x: np.rint(x * 127 + 128).astype(np.uint8)),
        ("pcm_s16le", "s16", lambda x: (x * 32767).astype(np.int16)),
        ("pcm_s32le", "s32", lambda x: (x.astype(np.float64) * (2**31 - 1)).astype(np.int32)),
        ("pcm_f32le", "flt", lambda x: x),
        ("flac", "s16", lambda x: (x * 32767).astype(np.int16)),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_sample_formats_and_channels_are_averaged(tmp_path, codec, fmt, encode, layout):
    count = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    samples = np.stack([sine(1.0, hertz=300.0 + 100 * i, amplitude=0.9) for i in range(count)])
    path = tmp_path / ("a.flac" if codec == "flac" else "a.wav")
    with av.open(str(path), "w") as container:
        mux(container, add_audio(container, encode(samples), RATE, codec=codec, layout=layout, fmt=fmt))
    media = read(path)
    assert media.status == "no_visual"
    np.testing.assert_allclose(media.waveform, samples.mean(axis=0), atol=0.01)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.345])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_aac_padding_is_cut(tmp_path, seconds, rate):
    write(tmp_path / "a.mp4", None, 25, sine(seconds, rate), rate)
    media = read(tmp_path / "a.mp4")
    assert abs(len(media.waveform) - seconds * RATE) <= 1
    assert media.status == "no_visual"


def test_sound_that_starts_later_than_the_picture_is_aligned(tmp_path):
    tone = (sine(1.0) * 32767).astype(np.int16)[None]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        mux(
            container,
            add_video(container, greys(50), range(0, 2000, 40)),
            add_audio(container, tone, RATE, codec="flac", fmt="s16", first=8000),
        )
    media = read(tmp_path / "a.mkv")
    assert (media.waveform[:7990] == 0).all()
    np.testing.assert_allclose(media.waveform[8000:24000], sine(1.0), atol=0.01)
    assert numbers(media) == list(range(50))


def test_a_picture_that_starts_later_than_the_sound_is_aligned(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        mux(
            container,
            add_video(container, greys(25), range(1000, 2000, 40)),
            add_audio(container, sine(2.0)[None], RATE),
        )
    media = read(tmp_path / "a.mkv")
    assert numbers(media) == list(range(25))
    assert media.frame_time[0] == pytest.approx(1.02)
    assert read(tmp_path / "a.mkv", fps=None).frame_time[0] == pytest.approx(1.0)
    assert 0 <= len(media.waveform) - 2 * RATE < 1024


def test_a_gap_in_the_sound_is_silent_and_the_rest_stays_in_time(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream, packets = add_audio(
            container, (sine(2.0) * 32767).astype(np.int16)[None], RATE, codec="pcm_s16le", fmt="s16"
        )
        mux(container, (stream, lambda: [p for i, p in enumerate(packets()) if i not in range(10, 15)]))
    waveform = read(tmp_path / "a.mkv").waveform
    assert (waveform[10 * 1024 + 16 : 15 * 1024 - 16] == 0).all()
    np.testing.assert_allclose(waveform[15 * 1024 + 16 : 31000], sine(2.0)[15 * 1024 + 16 : 31000], atol=0.02)
    assert len(waveform) == 2 * RATE


# ---------------------------------------------------------------- missing and several streams


def test_a_silent_video(tmp_path):
    write(tmp_path / "a.mp4", greys(10), 25, None, RATE)
    media = read(tmp_path / "a.mp4")
    assert (media.status, numbers(media), len(media.waveform)) == ("no_audio", list(range(10)), 0)
    assert read(tmp_path / "a.mp4", want_audio=False).status == "ok"
    alone = read(tmp_path / "a.mp4", want_frames=False)
    assert (alone.status, alone.frames.shape[0], alone.waveform.shape) == ("no_audio", 0, (0,))


def test_sound_alone(tmp_path):
    write(tmp_path / "a.mp4", None, 25, sine(1.0), RATE)
    media = read(tmp_path / "a.mp4")
    assert (media.status, media.frames.shape[0], len(media.waveform)) == ("no_visual", 0, RATE)
    assert read(tmp_path / "a.mp4", want_frames=False).status == "ok"


def test_only_what_is_wanted_is_given(clip):
    picture, sound = read(clip, want_audio=False), read(clip, want_frames=False)
    assert (len(picture.frames), len(picture.waveform), picture.status) == (50, 0, "ok")
    assert (len(sound.frames), len(sound.waveform), sound.status) == (0, 2 * RATE, "ok")


def test_a_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        sound = add_audio(container, sine(1.0, 44100)[None], 44100, codec="libmp3lame")
        cover = add_video(container, greys(1), [0], codec="mjpeg", pixels="yuvj420p")
        cover[0].disposition = av.stream.Disposition.attached_pic
        mux(container, sound, cover)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    media = read(path)
    assert (media.status, len(media.frames)) == ("no_visual", 0)
    assert abs(len(media.waveform) - RATE) <= 1200  # mp3 states only whole packets
    assert probe(path)["status"] == "no_visual"


@pytest.mark.parametrize("default", [None, 0])
def test_of_several_streams_the_default_then_the_largest_is_taken(tmp_path, default):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        small = add_video(container, greys(10, 16, 16), range(0, 400, 40))
        large = add_video(container, greys(10, 32, 32), range(0, 400, 40))
        first = add_audio(container, sine(0.4, hertz=300.0)[None], RATE)
        second = add_audio(container, np.stack([sine(0.4, hertz=900.0)] * 2), RATE, layout="stereo")
        for i, stream in enumerate((small[0], large[0])):
            stream.disposition = av.stream.Disposition.default if i == default else av.stream.Disposition(0)
        for i, stream in enumerate((first[0], second[0])):
            stream.disposition = av.stream.Disposition.default if i == default else av.stream.Disposition(0)
        mux(container, small, large, first, second)
    media = read(tmp_path / "a.mkv")
    assert media.frames.shape[1:3] == ((16, 16) if default == 0 else (32, 32))
    assert amplitude_at(media.waveform, RATE, 300.0 if default == 0 else 900.0) > 0.3
    assert probe(tmp_path / "a.mkv")["video_streams"] == 2


# ---------------------------------------------------------------- bad files


def bad(tmp_path, kind):
    path = tmp_path / "bad.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("This is not a video.\n" * 50)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(50_000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "index at the end, cut":
        with av.open(str(path), "w") as container:
            mux(container, add_video(container, greys(50), range(0, 2000, 40)))
        data = path.read_bytes()
        assert data.index(b"mdat") < data.index(b"moov")
        path.write_bytes(data[: data.index(b"moov") - 100])
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "noise", "folder", "index at the end, cut"])
def test_a_bad_file_is_a_status_and_never_an_exception(tmp_path, kind, capfd):
    path = bad(tmp_path, kind)
    media, described = read(path), probe(path)
    assert media.status.startswith("error: ")
    assert media.status.endswith(".")
    assert len(media.status.split()) >= 5
    assert described["status"].startswith("error: ")
    assert str(tmp_path) not in media.status
    assert (len(media.frames), len(media.frame_time), len(media.waveform)) == (0, 0, 0)
    assert capfd.readouterr() == ("", "")  # FFmpeg does not write to the terminal


def test_bad_files_are_told_apart(tmp_path):
    words = {"missing": "does not exist", "folder": "folder", "index at the end, cut": "index"}
    for i, (kind, word) in enumerate(words.items()):
        (tmp_path / str(i)).mkdir()
        assert word in read(bad(tmp_path / str(i), kind)).status
    (tmp_path / "e").touch()
    assert "empty" in read(tmp_path / "e").status


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
@pytest.mark.parametrize("keep", [0.35, 0.7])
def test_a_silently_truncated_file_is_noticed(tmp_path, clip, name, keep):
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3)).astype(np.uint8)
    if name.endswith("mp4"):
        write(path, noise, 25, sine(4.0), RATE)
    else:
        with av.open(str(path), "w") as container:
            mux(container, add_video(container, noise, range(0, 4000, 40)), add_audio(container, sine(4.0)[None], RATE))
    assert read(path).status == "ok"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    media = read(path)
    assert media.status == "truncated"
    assert 0.5 * keep * 100 < len(media.frames) < 100
    assert 0.5 * keep * 4 * RATE < len(media.waveform) < 3.9 * RATE
    assert read(path, end=0.5).status == "ok"  # the span itself is whole
    assert read(path, want_frames=False).status == "truncated"


def test_a_truncated_flac_is_noticed(tmp_path):
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).normal(0, 3000, (1, 2 * RATE)).astype(np.int16)
    with av.open(str(path), "w") as container:
        mux(container, add_audio(container, noise, RATE, codec="flac", fmt="s16"))
    assert read(path, want_frames=False).status == "ok"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    media = read(path, want_frames=False)
    assert media.status == "truncated"
    assert 0.3 * 2 * RATE < len(media.waveform) < 0.6 * 2 * RATE


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mpg"])
def test_damage_in_the_middle_is_decoded_around(tmp_path, name):
    path, rng = tmp_path / name, np.random.default_rng(1)
    noise = rng.integers(0, 255, (50, 48, 64, 3)).astype(np.uint8)
    if name == "a.mp4":
        write(path, noise, 25, sine(2.0), RATE)
    else:
        codecs = ("mpeg1video", "mp2") if name == "a.mpg" else ("libx264", "aac")
        with av.open(str(path), "w") as container:
            mux(
                container,
                add_video(container, noise, range(50), tick=Fraction(1, 25), codec=codecs[0]),
                add_audio(container, (sine(2.0, 44100) * 32767).astype(np.int16)[None], 44100, codec="mp2", fmt="s16")
                if codecs[1] == "mp2"
                else add_audio(container, sine(2.0, 44100)[None], 44100),
            )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = rng.bytes(3000)
    path.write_bytes(data)
    media = read(path)
    assert media.status == "ok"
    assert len(media.frames) >= 45
    assert media.duration == pytest.approx(2.0, abs=0.15)
    assert np.isfinite(media.waveform).all()
    assert np.abs(media.waveform).max() <= 1.0


def test_many_bad_files_in_a_row_do_no_harm(tmp_path, clip):
    path = bad(tmp_path, "noise")
    for _ in range(50):
        assert read(path).status.startswith("error")
    assert read(clip).status == "ok"


@pytest.mark.parametrize("name", ["a:b.mp4", "-dash.mp4", "per%03dcent.mp4", "sp ace é.mp4"])
def test_odd_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(name, greys(5), 25, None, RATE)
    assert os.listdir(tmp_path) == [name]
    assert len(read(name).frames) == 5
    assert len(read(Path(name)).frames) == 5


def test_a_playlist_reaches_nothing_on_the_network(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        lines = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{}/a.ts\n#EXT-X-ENDLIST\n"
        (tmp_path / "a.m3u8").write_text(lines.format(server.getsockname()[1]))
        assert read(tmp_path / "a.m3u8").status.startswith("error: ")
        with pytest.raises(TimeoutError):
            server.accept()


# ---------------------------------------------------------------- limits and arguments


def test_limits_are_kept_and_say_what_to_do(clip, long_clip):
    assert "limits.seconds" in read(clip, limits=Limits(seconds=1.0)).status
    assert read(clip, limits=Limits(seconds=1.0), end=0.9).status == "ok"
    assert "limits.bytes" in read(clip, limits=Limits(bytes=100_000)).status
    assert read(clip, limits=Limits(bytes=100_000), fps=5).status == "ok"
    assert "limits.pixels" in read(clip, limits=Limits(pixels=1000)).status
    assert read(long_clip, start=15.0, limits=Limits(seconds=6.0)).status == "ok"


def test_a_length_that_is_not_stated_is_limited_too(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w", options={"live": "1"}) as container:
        mux(container, add_video(container, greys(50), range(0, 5000, 100)))
    assert probe(tmp_path / "a.mkv")["duration"] is None
    assert read(tmp_path / "a.mkv").status == "no_audio"  # nor can it be called truncated
    assert "limits.seconds" in read(tmp_path / "a.mkv", limits=Limits(seconds=2.0)).status


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fps": 0}, "fps"),
        ({"fps": math.nan}, "fps"),
        ({"size": (2, 2), "short_side": 3}, "one of them"),
        ({"size": (0, 2)}, "size"),
        ({"short_side": 0}, "short_side"),
        ({"rate": 0}, "rate"),
        ({"start": -1.0}, "span"),
        ({"start": 2.0, "end": 2.0}, "span"),
        ({"end": 0.0}, "span"),
        ({"want_frames": False, "want_audio": False}, "at least one"),
    ],
)
def test_bad_arguments_are_refused(clip, arguments, words):
    with pytest.raises(ValueError, match=words):
        read(clip, **arguments)


def test_probe(clip):
    described = probe(clip)
    assert described.pop("duration") == pytest.approx(2.0)
    assert described == {
        "status": "ok",
        "format": "mov,mp4,m4a,3gp,3g2,mj2",
        "width": 48,
        "height": 32,
        "fps": 25.0,
        "video_codec": "h264",
        "rate": RATE,
        "channels": 1,
        "audio_codec": "aac",
        "video_streams": 1,
        "audio_streams": 1,
    }


# ---------------------------------------------------------------- real files


def real(*parts):
    root = os.environ.get("AVSHOT_DATA")
    if root is None:
        pytest.skip("AVSHOT_DATA is not set: no real clips here")
    return Path(root).joinpath(*parts)


def test_grid_originals_and_their_copies():
    originals = sorted(real("grid", "originals").glob("*.mpg"))
    assert len(originals) == 12
    for i, path in enumerate(originals):
        media = read(path, size=(48, 64))
        assert (media.status, len(media.frames), media.duration) == ("ok", 75, pytest.approx(3.0))
        assert abs(len(media.waveform) - 131328 / 44100 * RATE) <= 1
        if i % 4 == 0:
            copy = read(real("grid", "clips", f"{path.stem}.mp4"), size=(48, 64))
            assert (copy.status, len(copy.frames)) == ("ok", 75)
            assert np.abs(copy.frames.astype(int) - media.frames).mean() < 3
            both = min(len(copy.waveform), len(media.waveform))
            assert np.corrcoef(copy.waveform[:both], media.waveform[:both])[0, 1] > 0.98


def test_vggsound_clips():
    smallest = sorted(real("vggsound_clips").glob("*.mp4"), key=lambda path: path.stat().st_size)
    for path in (smallest[0], smallest[-1]):
        media = read(path, fps=2, short_side=32, end=3.0)
        assert (media.status, len(media.frames), len(media.waveform)) == ("ok", 6, 3 * RATE)
