"""What is opened, what it may cost, and that a broken file is a status whatever is broken."""

import os
import random
import struct
import time
import zlib
from fractions import Fraction

import av
import numpy as np
import pytest

from avshot.media import Limits, probe, read, write
from avshot.media.canvas import Scaler
from avshot.media.doors import DECODERS, FORMATS
from avshot.media.limits import BadFileError, Watch
from made_media import RATE, add_audio, add_video, greys, mux, sine

TICK = Fraction(1, 25)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("doors") / "clip.mp4"
    write(path, greys(50), 25, sine(2.0), RATE)
    return path


# ---------------------------------------------------------------- other files

NAMING = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{path}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "ffmetadata": ";FFMETADATA1\ntitle=x\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
}


@pytest.mark.parametrize("kind", NAMING)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "txt", "ffconcat"])
def test_files_that_name_other_files_are_refused_by_name(tmp_path, clip, kind, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_text(NAMING[kind].format(path=clip))
    for status in (read(path).status, probe(path)["status"]):
        assert status.startswith("error: ")
        assert repr(kind) in status


def test_no_demuxer_that_opens_more_is_allowed():
    for name in (
        "hls",
        "applehttp",
        "concat",
        "dash",
        "imf",
        "sdp",
        "rtp",
        "rtsp",
        "sap",
        "image2",
        "image2pipe",
        "lavfi",
        "data",
        "rawvideo",
        "s16le",
        "webm_dash_manifest",
        "ffmetadata",
        "tty",
        "vobsub",
        "x11grab",
        "alsa",
    ):
        assert name not in FORMATS
    assert "apac" not in DECODERS  # CVE-2026-125267


def test_an_external_reference_of_a_mov_is_not_followed(tmp_path, clip):
    """The data reference of a track is turned from "in this file" into the path of another one."""
    data, name = clip.read_bytes(), os.fsencode(clip)
    at = data.index(b"url ") - 4
    assert data[at : at + 12] == struct.pack(">I4sI", 12, b"url ", 1)
    outside = struct.pack(">I4sI", 12 + len(name) + 1, b"url ", 0) + name + b"\0"
    grown = bytearray(data[:at] + outside + data[at + 12 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        where = grown.rindex(box, 0, at) - 4
        (size,) = struct.unpack_from(">I", grown, where)
        struct.pack_into(">I", grown, where, size + len(outside) - 12)
    (tmp_path / "a.mp4").write_bytes(grown)
    assert read(tmp_path / "a.mp4", want_audio=False).frames.shape[0] in (0, 50)
    assert not read(tmp_path / "a.mp4").status.startswith("error: [Errno")


# ---------------------------------------------------------------- what is no regular file


def test_only_regular_files_are_opened(tmp_path, clip):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "link.mp4").symlink_to(clip)
    begun = time.monotonic()
    assert "regular file" in read(tmp_path / "pipe.mp4").status
    assert "regular file" in read(tmp_path / "zero.mp4").status
    assert "cannot be reached" in read(tmp_path / "loop.mp4").status
    assert "cannot be reached" in read("a\0b.mp4").status
    assert read(tmp_path / "link.mp4").status == "ok"
    assert time.monotonic() - begun < 2


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("suffix", ["mp3", "wav", "ts", "mp4"])
def test_padding_costs_no_more_than_the_limits_allow(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    how = {"mp3": ("libmp3lame", "fltp"), "wav": ("pcm_s16le", "s16")}.get(suffix, ("aac", "fltp"))
    sound = sine(1.0, 44100)[None]
    made = (sound * 32767).astype(np.int16) if how[1] == "s16" else sound
    with av.open(str(path), "w") as container:
        mux(container, add_audio(container, made, 44100, codec=how[0], fmt=how[1]))
    with open(path, "r+b") as file:
        file.truncate(40 << 30)  # a hole, not 40 GB
    begun = time.monotonic()
    media = read(path, limits=Limits(patience=1.0))
    assert time.monotonic() - begun < 6
    assert media.status != "ok"
    assert len(media.waveform) < 2 * RATE


def test_the_watch_grows_with_what_was_read(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("avshot.media.limits.time.monotonic", lambda: now[0])
    watch = Watch(Limits(patience=10.0, pace=2.0))
    now[0] = 125.0
    watch.check(8.0)
    with pytest.raises(BadFileError, match="patience"):
        watch.check(7.0)


def png(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes([200]) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decoded_picture_larger_than_the_file_states_is_refused(tmp_path):
    for width, words in ((64, None), (900, "pixels")):
        with av.open(str(tmp_path / "a.mov"), "w") as container:
            stream = container.add_mux_stream("png", rate=25, width=64, height=48)
            packet = av.Packet(png(width, width))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, TICK
            packet.is_keyframe = True
            container.mux(packet)
        status = read(tmp_path / "a.mov", limits=Limits(pixels=100_000)).status
        assert status == "no_audio" if words is None else words in status


def test_a_result_that_will_be_too_large_is_refused_at_once(tmp_path, monkeypatch):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        mux(container, add_video(container, np.concatenate([greys(50)] * 4), range(200), tick=TICK))
    shown, original = [], Scaler._pixels
    monkeypatch.setattr(Scaler, "_pixels", lambda self, frame: shown.append(1) or original(self, frame))
    assert "limits.bytes" in read(tmp_path / "a.mp4", limits=Limits(bytes=150 * 32 * 48 * 3)).status
    assert len(shown) <= 1


def test_far_more_pictures_than_time_is_damage(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        mux(container, add_video(container, greys(50), range(50), codec="mjpeg", pixels="yuvj420p"))
    assert read(tmp_path / "a.mkv", fps=None).status == "no_audio"  # a thousand a second
    assert "limits.rate" in read(tmp_path / "a.mkv", fps=None, limits=Limits(rate=20.0)).status


@pytest.mark.parametrize(("at", "value"), [(24, 0), (24, 1), (24, 0xFFFFFFFF), (22, 0xFFFF), (22, 0)])
def test_absurd_headers_of_sound(tmp_path, at, value):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        mux(container, add_audio(container, np.ones((1, 8000), np.int16), RATE, codec="pcm_s16le", fmt="s16"))
    data = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into("<H" if at == 22 else "<I", data, at, value)
    (tmp_path / "a.wav").write_bytes(data)
    assert read(tmp_path / "a.wav").status.startswith("error: ")
    probe(tmp_path / "a.wav")


# ---------------------------------------------------------------- tags, cuts, damage


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_tags_that_are_not_utf8_do_no_harm(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        container.metadata["title"] = "TITELTITEL"
        mux(container, add_video(container, greys(20), range(20), tick=TICK, codec="mpeg4"))
    data = (tmp_path / name).read_bytes()
    assert b"TITELTITEL" in data
    (tmp_path / name).write_bytes(data.replace(b"TITELTITEL", b"\xe9\xff\xfeTITEL\xc3\x28"[:10]))
    assert (read(tmp_path / name).status, probe(tmp_path / name)["status"]) == ("no_audio", "no_audio")


KINDS = {
    **dict.fromkeys(("mp4", "mov", "mkv", "ts"), ("libx264", "aac")),
    **dict.fromkeys(("aiff", "au"), (None, "pcm_s16be")),
    **dict.fromkeys(("wav", "w64", "caf"), (None, "pcm_s16le")),
    "webm": ("libvpx-vp9", "libopus"),
    "avi": ("mpeg4", "libmp3lame"),
    "mpg": ("mpeg1video", "mp2"),
    "flv": ("flv", "libmp3lame"),
    "asf": ("msmpeg4", "libmp3lame"),
    "nut": ("mpeg4", "mp2"),
    "flac": (None, "flac"),
    "mp3": (None, "libmp3lame"),
    "ogg": (None, "libopus"),
    "gif": ("gif", None),
}


def make(path):
    """A second and a half of noise and a tone in the format that a name says."""
    video, audio = KINDS[path.suffix[1:]]
    rng, rate = np.random.default_rng(0), 48000 if audio == "libopus" else 44100
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        streams = []
        if video:
            noise = rng.integers(0, 255, (38, 48, 64, 3)).astype(np.uint8)
            pixels = {"gif": "rgb8"}.get(video, "yuv420p")
            streams.append(add_video(container, noise, range(38), tick=TICK, codec=video, pixels=pixels))
        if audio:
            fmt = {"libopus": "flt", "aac": "fltp", "libmp3lame": "fltp"}.get(audio, "s16")
            tone = sine(1.5, rate)[None]
            made = (tone * 32767).astype(np.int16) if fmt == "s16" else tone
            streams.append(add_audio(container, made, rate, codec=audio, fmt=fmt))
        mux(container, *streams)
    return path


def check(media):
    """What must hold of the result for any file."""
    if media.status.startswith("error"):
        assert media.status.endswith(".")
        assert len(media.frames) == len(media.waveform) == 0
    assert len(media.frames) == len(media.frame_time)
    assert (np.diff(media.frame_time) > 0).all()
    assert np.isfinite(media.frame_time).all()
    assert np.isfinite(media.waveform).all()
    assert np.abs(media.waveform).max(initial=0) <= 1.0
    assert 0 <= media.duration < 3601
    assert all(0 <= a < b <= len(media.waveform) / media.rate + 1e-6 for a, b in media.gaps)
    assert all(note.endswith(".") for note in media.notes)


@pytest.mark.parametrize("name", KINDS)
def test_a_download_cut_anywhere_is_a_status(tmp_path, name):
    data = make(tmp_path / f"a.{name}").read_bytes()
    assert not read(tmp_path / f"a.{name}").status.startswith(("error", "truncated"))
    path = tmp_path / f"cut.{name}"
    for keep in sorted({*range(1, len(data), max(1, len(data) // 25)), *range(1, min(len(data), 4000), 400)}):
        path.write_bytes(data[:keep])
        check(read(path, size=(16, 16)))
        probe(path)


@pytest.mark.parametrize(
    "name", [name for name in KINDS if name not in ("mpg", "ts", "mp3", "ogg", "gif", "nut", "mov")]
)
def test_a_file_cut_in_half_is_truncated(tmp_path, name):
    path = make(tmp_path / f"a.{name}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    media = read(path)
    assert media.status == "truncated"
    assert len(media.frames) or len(media.waveform)


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bits_are_a_status(tmp_path, name):
    data, rng = make(tmp_path / f"a.{name}").read_bytes(), random.Random(name)
    path = tmp_path / f"b.{name}"
    for count in (1, 10, 300) * 4:
        damaged = bytearray(data)
        for _ in range(count):
            where = rng.randrange(min(len(data), rng.choice((200, 2000, len(data)))))
            damaged[where] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        check(read(path, size=(16, 16), limits=Limits(patience=5.0)))
