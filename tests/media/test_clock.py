"""Time stamps that cannot be taken at face value: every picture in order, the sound in step, and a note.

The witness is what was written: greys tell a picture's number, beeps the time of the sound.
"""

import itertools
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.media import Limits, read
from avshot.media.clock import make_clock
from avshot.media.line import Track
from made_media import RATE, add_audio, add_video, greys, mux, numbers, sine

PICTURES, SECONDS = 50, 2.0  # of a part
TICK = Fraction(1, 25)


def beeping(beep, seconds=SECONDS):
    """Silence with 0.2 s of a loud tone from `beep` seconds on."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (sine(seconds, hertz=1000.0, amplitude=0.8) * ((time >= beep) & (time < beep + 0.2))).astype(np.float32)


def beeps(media):
    """Where loud sound begins, in seconds."""
    loud = np.abs(media.waveform[: len(media.waveform) // 160 * 160].reshape(-1, 160)).max(axis=1) > 0.2
    begins = np.flatnonzero(np.diff(np.concatenate([[False], loud]).astype(int)) == 1) / 100
    return [float(b) for i, b in enumerate(begins) if i == 0 or b - begins[i - 1] > 0.3]


def part(
    path, *, first=0, beep=1.0, later=0, video=True, audio=True, codec="libx264", size=(32, 48), rate=RATE, **more
):
    """A part of a stream: `PICTURES` greys, a beep; the clock begins `first` pictures late."""
    with av.open(str(path), "w", options={"muxdelay": "0", "muxpreload": "0"}) as container:
        streams = []
        if video:
            stamps = range(first, first + PICTURES)
            streams.append(add_video(container, greys(PICTURES, *size), stamps, tick=TICK, codec=codec))
        if audio:
            sound = beeping(beep) if rate == RATE else np.repeat(beeping(beep), rate // RATE)
            mpeg = codec == "mpeg2video"
            made = (sound * 32767).astype(np.int16)[None] if mpeg else sound[None]
            start = round((first / 25 + later) * rate)
            streams.append(
                add_audio(
                    container, made, rate, codec="mp2" if mpeg else "aac", fmt="s16" if mpeg else "fltp", first=start
                )
            )
        mux(container, *streams)
    return path.read_bytes()


def joined(path, *parts):
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
@pytest.mark.parametrize("starts", [(0, 0), (0, 0, 0), (0, 3000), (3000, 0), (0, 3000, 25), (100_000, 7, 100_000)])
def test_joined_streams_give_all_pictures_and_the_sound_in_step(tmp_path, name, starts):
    codec = "libx264" if name == "a.ts" else "mpeg2video"
    path = tmp_path / f"joined{name[1:]}"
    joined(
        path, *(part(tmp_path / name, first=first, beep=0.5 + 0.5 * i, codec=codec) for i, first in enumerate(starts))
    )
    media = read(path, fps=None)
    assert media.status == "ok"
    assert numbers(media) == list(range(PICTURES)) * len(starts)
    assert media.duration == pytest.approx(read(tmp_path / name).duration * len(starts), abs=0.05 * len(starts))
    begins = media.frame_time[::PICTURES]  # a beep is heard as long after its part's first picture as was written
    expected = [begin + 0.5 + 0.5 * i for i, begin in enumerate(begins)]
    assert beeps(media) == pytest.approx(expected, abs=0.07)
    assert any("clock" in note and f"{len(starts)} parts" in note for note in media.notes)
    assert (np.diff(media.frame_time) > 0).all()


def test_as_many_frames_as_ffprobe_counts(tmp_path):
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    for codec, name in (("libx264", "a.ts"), ("mpeg2video", "a.mpg")):
        path = joined(tmp_path / f"j{name[1:]}", *(part(tmp_path / name, codec=codec) for _ in range(2)))
        command = "ffprobe -v error -count_frames -select_streams v:0 -show_entries stream=nb_read_frames -of csv=p=0"
        counted = subprocess.run([*command.split(), str(path)], capture_output=True, text=True, check=True).stdout
        assert len(read(path, fps=None).frames) == int(counted.split()[0].strip(","))


@pytest.mark.parametrize("fps", [None, 10.0])
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.5, 2.6), (3.0, None), (2.5, 3.5)])
def test_a_span_of_joined_streams_is_the_part_of_the_whole(tmp_path, fps, start, end):
    path = joined(tmp_path / "j.ts", part(tmp_path / "a.ts"), part(tmp_path / "b.ts", first=5000))
    whole = read(path, fps=None)
    media = read(path, fps=fps, start=start, end=end)
    stop = media.duration + start
    inside = whole.frame_time[(whole.frame_time >= start - 1e-3) & (whole.frame_time < stop - 1e-3)]
    times = media.frame_time + start if fps else inside
    shown = np.searchsorted(whole.frame_time, times + 0.75e-3, side="right") - 1
    np.testing.assert_array_equal(media.frames, whole.frames[shown])
    expected = whole.waveform[round(start * RATE) :][: len(media.waveform)]
    np.testing.assert_allclose(media.waveform, expected, atol=2e-3)


def test_a_seek_in_an_ordinary_transport_stream_is_exact(tmp_path):
    with av.open(str(tmp_path / "a.ts"), "w") as container:
        frames = np.concatenate([greys(50)] * 4)
        mux(
            container,
            add_video(container, frames, range(200), tick=TICK, gop=10),
            add_audio(container, sine(8.0)[None], RATE),
        )
    whole, media = read(tmp_path / "a.ts", fps=None), read(tmp_path / "a.ts", fps=None, start=5.0, end=6.0)
    np.testing.assert_array_equal(media.frames, whole.frames[(whole.frame_time >= 5.0) & (whole.frame_time < 6.0)])
    assert (media.notes, whole.notes) == ((), ())


def test_a_part_without_sound_or_picture_keeps_its_place(tmp_path):
    whole, mute = part(tmp_path / "a.ts"), part(tmp_path / "b.ts", audio=False)
    media = read(joined(tmp_path / "ab.ts", whole, mute), fps=None)
    assert (numbers(media), media.duration) == (list(range(PICTURES)) * 2, pytest.approx(4.0, abs=0.15))
    media = read(joined(tmp_path / "ba.ts", mute, whole), fps=None)
    assert numbers(media) == list(range(PICTURES)) * 2
    assert beeps(media) == pytest.approx([media.frame_time[PICTURES] + 1.0], abs=0.07)


@pytest.mark.parametrize("prefix", [b"", bytes(4)])
def test_streams_of_a_later_part_that_are_not_read_are_told(tmp_path, prefix):
    """A part whose streams have other numbers; also with the four bytes that camcorders put before each packet."""
    first, second = part(tmp_path / "a.ts"), bytearray(part(tmp_path / "b.ts"))
    for at in range(0, len(second), 188):
        number = (second[at + 1] & 0x1F) << 8 | second[at + 2]
        if 0x100 <= number < 0x110:
            second[at + 1 : at + 3] = bytes([(second[at + 1] & 0xE0) | 0x02, second[at + 2]])
    whole = first + bytes(second)
    path = tmp_path / "j.ts"
    path.write_bytes(b"".join(prefix + whole[at : at + 188] for at in range(0, len(whole), 188)))
    media = read(path, fps=None)
    assert media.status == "truncated"
    assert any("512, 513" in note for note in media.notes)
    assert read(path, end=1.5).status == "ok"


def test_size_rate_and_channels_may_change_at_a_join(tmp_path):
    parts = part(tmp_path / "a.ts", beep=0.5), part(tmp_path / "b.ts", beep=1.0, size=(64, 96), rate=2 * RATE)
    media = read(joined(tmp_path / "j.ts", *parts), fps=None)
    assert media.frames.shape[1:3] == (32, 48)
    np.testing.assert_allclose(numbers(media), list(range(PICTURES)) * 2, atol=1)
    assert beeps(media) == pytest.approx([media.frame_time[0] + 0.5, media.frame_time[PICTURES] + 1.0], abs=0.07)
    assert any("96x64" in note for note in media.notes)


def test_a_clock_that_wraps_in_the_middle(tmp_path):
    first = round(2**33 / 90000 * 25) - 20
    media = read(joined(tmp_path / "w.ts", part(tmp_path / "a.ts", first=first)), fps=None)
    assert (numbers(media), media.status) == (list(range(PICTURES)), "ok")
    assert beeps(media) == pytest.approx([media.frame_time[0] + 1.0], abs=0.07)
    assert media.duration == pytest.approx(SECONDS, abs=0.15)


def payloads(data, stream):
    """Where the packets of a stream begin in a transport stream."""
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x40:
            begin = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            if data[begin : begin + 3] == b"\0\0\1" and data[begin + 3] == stream:
                yield begin


@pytest.mark.parametrize("stream", [0xE0, 0xC0])
@pytest.mark.parametrize("which", [0.0, 0.5, 0.99])
def test_one_absurd_stamp_moves_nothing_else(tmp_path, stream, which):
    data = bytearray(part(tmp_path / "a.ts"))
    places = list(payloads(data, stream))
    at = places[int(which * len(places))]
    data[at + 9] ^= 0x08  # the highest bit of the time of display: 13 hours
    if data[at + 7] & 0x40:
        data[at + 14] ^= 0x08
    media = read(joined(tmp_path / "b.ts", bytes(data)), fps=None)
    assert numbers(media) == list(range(PICTURES))
    assert np.ptp(media.frame_time) == pytest.approx(1.96, abs=0.1)
    assert beeps(media) == pytest.approx([media.frame_time[0] + 1.0], abs=0.1)
    assert media.notes


@pytest.mark.parametrize("index", [True, False])
def test_pictures_without_times_of_display_come_in_the_decoders_order(tmp_path, index):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream, packets = add_video(container, greys(50), range(50), tick=TICK)
        stream.codec_context.options = {"x264-params": "bframes=3:b-adapt=0:scenecut=0"}
        mux(container, (stream, packets))
    if not index:
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"idx1")])
    media = read(path, fps=None)
    assert numbers(media) == list(range(50))
    np.testing.assert_allclose(media.frame_time - media.frame_time[0], np.arange(50) / 25, atol=1e-6)
    assert media.frame_time[0] <= 0.08
    assert any("order" in note for note in media.notes)
    assert media.status == ("no_audio" if index else "truncated")


@pytest.mark.parametrize("name", ["a.h264", "a.mjpeg"])
def test_streams_without_any_stamps_are_counted(tmp_path, name):
    codec, pixels = ("libx264", "yuv420p") if name == "a.h264" else ("mjpeg", "yuvj420p")
    with av.open(str(tmp_path / name), "w") as container:
        mux(container, add_video(container, greys(50), range(50), tick=TICK, codec=codec, pixels=pixels))
    media = read(tmp_path / name, fps=None)
    assert numbers(media) == list(range(50))
    np.testing.assert_allclose(media.frame_time, np.arange(50) / 25, atol=1e-6)


def test_stamps_that_several_pictures_share_are_spread(tmp_path):
    stamps = [0, 40, 80, 80, 80, 80, 200, 240]
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        _, packets = add_video(container, greys(8), range(0, 320, 40), codec="mjpeg", pixels="yuvj420p")
        made = list(packets())
        for packet, stamp in zip(made, stamps, strict=True):
            packet.pts = packet.dts = stamp
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    media = read(path, fps=None)
    assert numbers(media) == list(range(8))
    np.testing.assert_allclose(media.frame_time, [0, 0.04, 0.08, 0.11, 0.14, 0.17, 0.2, 0.24], atol=2e-3)


def test_a_long_pause_is_no_other_clock(tmp_path):
    stamps = [0, 40, 80, 60_000, 60_040]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        mux(container, add_video(container, greys(5), stamps))
    media = read(tmp_path / "a.mkv", fps=None)
    np.testing.assert_allclose(media.frame_time, np.array(stamps) / 1000, atol=1e-6)
    assert media.notes == ()


def test_sound_that_begins_long_after_the_picture_in_a_transport_stream(tmp_path):
    frames = np.concatenate([greys(50)] * 8)
    with av.open(str(tmp_path / "a.ts"), "w") as container:
        sound = add_audio(container, beeping(0.5)[None], RATE, first=14 * RATE)
        mux(container, add_video(container, frames, range(400), tick=TICK), sound)
    media = read(tmp_path / "a.ts", fps=None)
    assert len(media.frames) == 400
    assert beeps(media) == pytest.approx([media.frame_time[0] + 14.5], abs=0.1)
    assert media.gaps[0] == pytest.approx((0.0, 14.0), abs=0.1)


def test_joined_sound_files(tmp_path):
    for name, codec in (("a.mp3", "libmp3lame"), ("a.aac", "aac"), ("a.ogg", "libopus"), ("a.ac3", "ac3")):
        with av.open(str(tmp_path / name), "w") as container:
            made, fmt = np.repeat(beeping(1.0), 3)[None], "flt" if codec == "libopus" else "fltp"
            mux(container, add_audio(container, made, 48000, codec=codec, fmt=fmt))
        data = (tmp_path / name).read_bytes()
        media = read(joined(tmp_path / f"j{name}", data, data))
        first, second = beeps(media)
        assert (first, second - first) == (pytest.approx(1.0, abs=0.08), pytest.approx(2.0, abs=0.1)), name
        assert media.status == "no_visual"


@pytest.mark.parametrize("name", ["a.mp4", "a.wav"])
def test_a_second_file_that_ffmpeg_does_not_read_is_told(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        if name == "a.wav":
            sound = (beeping(0.5) * 32767).astype(np.int16)[None]
            mux(container, add_audio(container, sound, RATE, codec="pcm_s16le", fmt="s16"))
        else:
            mux(container, add_video(container, greys(50), range(50), tick=TICK))
    data = (tmp_path / name).read_bytes()
    media = read(joined(tmp_path / f"j{name}", data, data))
    assert media.status == "truncated"
    assert any(f"byte {len(data)} on" in note for note in media.notes)
    assert read(joined(tmp_path / f"j{name}", data, data), end=1.0).status == read(tmp_path / name, end=1.0).status


def test_a_length_that_the_clock_makes_up_is_not_believed(tmp_path):
    path = joined(tmp_path / "j.ts", part(tmp_path / "a.ts"), part(tmp_path / "b.ts", first=200_000))
    with av.open(str(path)) as container:
        assert container.duration / 1e6 > 7000
    assert len(read(path, fps=None, limits=Limits(seconds=10.0)).frames) == 2 * PICTURES
    assert "--start" in read(path, limits=Limits(seconds=3.0)).status


# ---------------------------------------------------------------- the clock alone


def tracks(parts, *, step=0.04):
    """Two interleaved streams of parts `(first stamp, packets)`; also what a naive reader with the truth would say."""
    made = [Track("video", step), Track("audio", step)]
    place, truth, offset = 0, [], 0.0
    for begin, count in parts:
        for i in range(count):
            for track in made:
                track.add(place, begin + i * step, begin + i * step, step)
                place += 1
            truth.append(offset + i * step)
        offset += count * step
    return made, np.array(truth)


@settings(deadline=None)
# Shorter parts that go on where an earlier one ended look like strays, which comes to nearly the same.
@given(st.lists(st.tuples(st.floats(0, 90_000), st.integers(70, 120)), min_size=1, max_size=5))
def test_parts_are_put_behind_each_other_wherever_their_clocks_start(parts):
    for (begin, count), (following, _) in itertools.pairwise(parts):
        ahead = following - (begin + (count - 1) * 0.04)
        if -0.11 < ahead < 10.05:  # that looks like a pause, or like no join at all
            return
    made, truth = tracks(parts)
    clock = make_clock(made, True, 3600.0)
    for kind in ("video", "audio"):
        np.testing.assert_allclose(np.array(clock.times[kind]) - clock.times[kind][0], truth, atol=1e-6)
    assert clock.plain == (len(parts) == 1)


@settings(deadline=None)
@given(st.integers(1, 98), st.floats(-90_000, 90_000).filter(lambda x: abs(x) > 11), st.sampled_from([0, 1]))
def test_a_stray_stamp_is_put_back(where, by, stream):
    made, truth = tracks([(1000.0, 100)])
    made[stream].shown[where] += by
    made[stream].decoded[where] += by
    clock = make_clock(made, True, 3600.0)
    for kind in ("video", "audio"):
        np.testing.assert_allclose(np.array(clock.times[kind]) - 1000.0, truth, atol=0.05)
    assert len(clock.notes) == 1
