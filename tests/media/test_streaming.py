"""Streaming: whatever the file and the cuts, the stretches' own is what `read` gives of the whole."""

import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avshot.media import Limits, read, stream, write
from avshot.media import lane as lanes
from made_media import RATE, add_audio, add_video, greys, make_video, mux

MS = Fraction(1, 1000)


@pytest.fixture(scope="module", autouse=True)
def _few_packets_together():
    """Files of three seconds would be decoded in one go; that changes nothing but this (see test_media.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avshot.media.demux._BATCH", 9)
        yield


def noise(seconds, rate=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.4, 0.4, round(seconds * rate)).astype(np.float32)


def put_together(stretches):
    """Frames, their times and the waveform of what is the stretches' own."""
    frames = [s.media.frames[s.own_frames] for s in stretches]
    frames = [part for part in frames if len(part)]
    times = [s.media.frame_time[s.own_frames] + s.start for s in stretches]
    waves = [s.media.waveform[s.own_samples] for s in stretches]
    whole = np.concatenate(frames) if frames else np.zeros((0, 0, 0, 3), np.uint8)
    return whole, np.concatenate(times or [np.zeros(0)]), np.concatenate(waves or [np.zeros(0, np.float32)])


def assert_same(path, seconds=0.7, overlap=0.0, **request):
    """The stream of a file gives what reading it gives; returns the stretches and the media."""
    whole, flow = read(path, **request), stream(path, seconds=seconds, overlap=overlap, **request)
    stretches = list(flow)
    frames, times, waveform = put_together(stretches)
    assert (flow.status, flow.notes) == (whole.status, whole.notes)
    if not whole.status.startswith("error"):
        assert np.array_equal(waveform, whole.waveform)
        assert frames.shape == whole.frames.shape or len(frames) == len(whole.frames) == 0
        assert np.array_equal(frames, whole.frames) or len(frames) == 0
        np.testing.assert_allclose(times, whole.frame_time, rtol=0, atol=1e-9)
        assert flow.duration == pytest.approx(whole.duration, abs=1e-9)
        np.testing.assert_allclose(flow.gaps, whole.gaps, rtol=0, atol=1e-9)
    assert [s.number for s in stretches] == list(range(len(stretches)))
    return stretches, whole


def samples(sound, fmt):
    return ((sound * 32767).astype(np.int16) if fmt == "s16" else sound)[None]


def write_wav(path, samples, rate=RATE, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def make_both(
    path, sound, *, frames=75, gap=None, late=0, step=40, codec="libx264", acodec="aac", rate=RATE, fmt="fltp"
):
    """A film of `frames` greys with a sound that begins `late` ms after it, a hole of 0.5 s at `gap` s in the sound."""
    with av.open(str(path), "w") as container:
        picture = add_video(
            container, greys(50)[np.arange(frames) % 50], [step * i for i in range(frames)], codec=codec
        )
        first = late * rate // 1000
        stream_, packets = add_audio(container, samples(sound, fmt), rate, first=first, codec=acodec, fmt=fmt)

        def with_hole():
            for packet in packets():
                at = float(packet.pts * packet.time_base)
                if gap is None or not gap <= at < gap + 0.5:
                    yield packet

        mux(container, picture, (stream_, with_hole))
    return path


KINDS = {
    "mp4": lambda f: make_both(f / "a.mp4", noise(3.0)),
    "mkv": lambda f: make_both(f / "a.mkv", noise(3.0)),
    "mkv 44100": lambda f: make_both(f / "a.mkv", noise(3.0, 44100), rate=44100),
    "ts": lambda f: make_both(f / "a.ts", noise(3.0, 48000), rate=48000),
    "avi": lambda f: make_both(f / "a.avi", noise(3.0, 48000), rate=48000, codec="mpeg4", acodec="mp2", fmt="s16"),
    "late sound": lambda f: make_both(f / "a.mkv", noise(1.0), late=1700),
    "short sound": lambda f: make_both(f / "a.mkv", noise(0.8)),
    "short picture": lambda f: make_both(f / "a.mkv", noise(3.0), frames=20),
    "gap": lambda f: make_both(f / "a.mkv", noise(3.0), gap=1.2),
    "two gaps of another rate": lambda f: make_both(f / "a.mkv", noise(3.0, 44100), gap=0.6, rate=44100),
    "silent sound": lambda f: make_both(f / "a.mkv", np.zeros(3 * RATE, np.float32)),
    "silent at first": lambda f: make_both(
        f / "a.mkv", np.concatenate([np.zeros(2 * RATE, np.float32), noise(1.0)]), acodec="flac", fmt="s16"
    ),
    "variable rate": lambda f: make_video(
        f / "a.mkv", greys(40), np.cumsum([0, *([20, 70, 150, 10] * 10)])[:40].tolist()
    ),
    "picture alone": lambda f: make_video(f / "a.mp4", greys(50), range(0, 2000, 40), tick=MS),
    "a still at the end": lambda f: make_video(f / "a.mkv", greys(10), [*range(0, 360, 40), 2900], tick=MS),
    "wav": lambda f: write_wav(f / "a.wav", noise(3.3)),
    "wav 8000": lambda f: write_wav(f / "a.wav", noise(3.3, 8000), 8000),
    "silent wav": lambda f: write_wav(f / "a.wav", np.zeros(RATE * 3)),
    "stereo that cancels": lambda f: write_wav(f / "a.wav", np.stack([noise(3), -noise(3)], 1).ravel(), channels=2),
    "mp3": lambda f: sound_file(f / "a.mp3", "libmp3lame"),
    "flac": lambda f: sound_file(f / "a.flac", "flac", fmt="s16"),
    "ogg": lambda f: sound_file(f / "a.ogg", "libopus", fmt="flt", rate=48000),
}


def sound_file(path, codec, fmt="fltp", rate=44100):
    with av.open(str(path), "w") as container:
        mux(container, add_audio(container, samples(noise(3.1, rate), fmt), rate, codec=codec, fmt=fmt))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files by kind, made when they are asked for."""
    files = {}

    def file(kind):
        if kind not in files:
            files[kind] = KINDS[kind](tmp_path_factory.mktemp("stream"))
        return files[kind]

    return file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fps", [25.0, 2.0, None])
def test_stretches_are_the_whole(made, kind, fps):
    assert_same(made(kind), fps=fps)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    seconds=st.floats(0.05, 4.0),
    overlap=st.sampled_from([0.0, 0.1, 0.33, 2.0]),
    fps=st.sampled_from([25.0, 7.3, 1.0, None]),
    rate=st.sampled_from([16000, 22050]),
    span=st.sampled_from([(None, None), (0.41, None), (None, 1.9), (2.1, 2.8)]),
)
@settings(max_examples=40, deadline=None)
def test_any_cut_of_any_file_is_the_whole(made, kind, seconds, overlap, fps, rate, span):
    assert_same(made(kind), seconds, overlap, fps=fps, rate=rate, start=span[0], end=span[1])


@pytest.mark.parametrize("wants", [(True, False), (False, True)])
@pytest.mark.parametrize("kind", ["mp4", "short sound", "wav", "picture alone"])
def test_only_what_is_wanted_is_given(made, kind, wants):
    assert_same(made(kind), want_frames=wants[0], want_audio=wants[1])


def test_overlap_is_what_lies_around(made):
    whole = read(made("mp4"), fps=25.0)
    stretches = list(stream(made("mp4"), seconds=0.8, overlap=0.5, fps=25.0))
    for stretch in stretches:
        start, end = max(0.0, stretch.own[0] - 0.5), stretch.own[1] + 0.5
        inside = (whole.frame_time >= start) & (whole.frame_time < end)
        assert stretch.start == start
        assert np.array_equal(stretch.media.frames, whole.frames[inside])
        np.testing.assert_allclose(stretch.media.frame_time + start, whole.frame_time[inside])
        assert np.array_equal(stretch.media.waveform, whole.waveform[round(start * RATE) : round(end * RATE)])
    assert [s.own[0] for s in stretches] == [0.8 * i for i in range(len(stretches))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flac", "a.wav", "a.mp3"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_tail_is_a_status(tmp_path, made, name, share):
    kind = name[2:]
    data = made(kind).read_bytes()
    if kind == "mp4":  # with its index in front, it can be read at all
        write(tmp_path / "whole.mp4", greys(50), 25, noise(2.0), RATE)
        data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / name).write_bytes(data[: round(len(data) * share)])
    _, whole = assert_same(tmp_path / name)
    assert whole.status == "truncated" or name in ("a.ts", "a.mp3")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "avi"])
def test_flipped_bits_are_the_same_for_both(tmp_path, made, kind, seed):
    data = bytearray(made(kind).read_bytes())
    random = np.random.default_rng(seed)
    for at in random.integers(len(data) // 10, len(data), 12):
        data[at] ^= 1 << int(random.integers(8))
    (tmp_path / made(kind).name).write_bytes(data)
    flow = stream(tmp_path / made(kind).name, seconds=0.7)
    stretches, whole = list(flow), read(tmp_path / made(kind).name)
    if not whole.status.startswith("error"):
        again = [s.number for s in stretches].count(0)
        assert again in (1, 2)
        last = len(stretches) - 1 - [s.number for s in stretches][::-1].index(0)
        frames, _, waveform = put_together(stretches[last:])
        assert np.array_equal(frames, whole.frames)
        assert np.array_equal(waveform, whole.waveform)
        assert flow.status == whole.status


def part(path, start, seconds, seed):
    """A part of a transport stream whose clock begins at `start` seconds."""
    count = round(seconds * 25)
    with av.open(str(path), "w", options={"output_ts_offset": str(start)}) as container:
        mux(
            container,
            add_video(container, greys(50)[np.arange(count) % 50], [40 * i for i in range(count)]),
            add_audio(container, noise(seconds, 48000, seed)[None], 48000),
        )
    return path.read_bytes()


@pytest.mark.parametrize("starts", [(0, 100), (500, 10), (7, 7), (0, 2000, 0)])
@pytest.mark.parametrize("seconds", [0.5, 30.0])
def test_joined_transport_streams(tmp_path, starts, seconds):
    parts = [part(tmp_path / f"{i}.ts", start, 2.0, i) for i, start in enumerate(starts)]
    (tmp_path / "a.ts").write_bytes(b"".join(parts))
    _, whole = assert_same(tmp_path / "a.ts", seconds)
    assert any("clock" in note for note in whole.notes)


def test_where_the_past_changes_the_stream_begins_again(made, monkeypatch):
    """After a restart a stretch that was given is another one: 0 comes again, and the rest is the whole."""
    path, original, calls = made("mkv"), lanes.delivering, []

    def breaking(*arguments):
        calls.append(1)
        for count, step in enumerate(original(*arguments)):
            yield step
            if len(calls) <= 2 and count == 0:
                raise_disorder()
        if len(calls) <= 2:
            raise_disorder()

    def raise_disorder():
        from avshot.media.picture import DisorderError

        raise DisorderError

    monkeypatch.setattr("avshot.media.demux._BATCH", 100)
    seals = iter(range(99))
    monkeypatch.setattr("avshot.media.streaming._seal", lambda stretch: bytes([next(seals)]))
    monkeypatch.setattr(lanes, "delivering", breaking)
    stretches = list(stream(path, seconds=0.3))
    begins = [i for i, s in enumerate(stretches) if s.number == 0]
    assert len(begins) == 2
    monkeypatch.undo()
    whole = read(path)
    frames, _, waveform = put_together(stretches[begins[1] :])
    assert np.array_equal(frames, whole.frames)
    assert np.array_equal(waveform, whole.waveform)


def test_limits_of_one_reading_do_not_refuse_a_stream(made):
    limits = Limits(seconds=1.0, bytes=40 * 32 * 48 * 3)
    assert "limits.seconds" in read(made("mp4"), limits=limits).status
    flow = stream(made("mp4"), seconds=0.5, limits=limits)
    frames, _, waveform = put_together(list(flow))
    whole = read(made("mp4"))
    assert flow.status == "ok"
    assert np.array_equal(frames, whole.frames)
    assert np.array_equal(waveform, whole.waveform)


def test_an_error_in_the_middle_is_truncated(made, monkeypatch):
    from avshot.media.limits import BadFileError, Watch

    checks = []

    def check(self, seconds):
        checks.append(seconds)
        if seconds > 1.5:
            raise BadFileError("reading took too long")

    monkeypatch.setattr(Watch, "check", check)
    monkeypatch.setattr("avshot.media.demux._BATCH", 10)
    flow = stream(made("mkv"), seconds=0.4)
    frames, _, waveform = put_together(list(flow))
    assert flow.status == "truncated"
    assert "took too long" in flow.notes[-1]
    monkeypatch.undo()
    whole = read(made("mkv"))
    assert 1.0 < len(waveform) / RATE < 2.5
    assert 20 < len(frames) < 60
    assert np.array_equal(frames, whole.frames[: len(frames)])
    assert np.array_equal(waveform[: RATE // 2], whole.waveform[: RATE // 2])


@pytest.mark.parametrize("content", [b"", b"no media at all" * 100, None])
def test_what_cannot_be_read_at_all_has_no_stretches(tmp_path, content):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    flow = stream(tmp_path / "a.mp4")
    assert list(flow) == []
    assert flow.status == read(tmp_path / "a.mp4").status
    assert flow.status.startswith("error")


def test_a_stream_is_gone_through_once(made):
    flow = stream(made("mp4"), seconds=1.0)
    list(flow)
    with pytest.raises(ValueError, match="already"):
        list(flow)


@pytest.mark.parametrize("arguments", [{"seconds": 0}, {"overlap": -1}, {"seconds": np.inf}, {"fps": 0}, {"start": -1}])
def test_bad_arguments_are_refused(made, arguments):
    with pytest.raises(ValueError, match="expected"):
        stream(made("mp4"), **arguments)


def test_what_somebody_else_does_between_stretches_is_not_counted(made, monkeypatch):
    """A consumer that takes hours does not use up the patience."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    flow = stream(made("mp4"), seconds=0.5)
    for _ in flow:
        now[0] += 3600
    assert flow.status == "ok"


def test_leaving_early_closes_the_file(made):
    flow = iter(stream(made("mp4"), seconds=0.5))
    next(flow)
    flow.close()
    assert list(flow) == []
