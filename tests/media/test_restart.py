"""Packets that carry state are never dropped: a low frame rate gives the pictures of the full one, bit for bit."""

import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from avshot.media import read
from avshot.media.picture import SLACK, Picture
from avshot.media.restart import Restarts
from made_media import add_video, mux

COUNT = 50
# Codec, file, pixels: of each family what PyAV's wheel can encode.
CODECS = [
    ("libx264", "mkv", "yuv420p"),
    ("libx264", "ts", "yuv420p"),
    ("libx265", "mkv", "yuv420p"),
    ("libsvtav1", "mkv", "yuv420p"),
    ("libvpx", "mkv", "yuv420p"),
    ("libvpx-vp9", "mkv", "yuv420p"),
    ("mpeg1video", "mpg", "yuv420p"),
    ("mpeg2video", "ts", "yuv420p"),
    ("mpeg4", "avi", "yuv420p"),
    ("mpeg4", "mp4", "yuv420p"),
    ("msmpeg4", "avi", "yuv420p"),
    ("wmv2", "avi", "yuv420p"),
    ("flv", "flv", "yuv420p"),
    ("snow", "mkv", "yuv420p"),
    ("svq1", "mov", "yuv410p"),
    ("cinepak", "mov", "rgb24"),
    ("qtrle", "mov", "rgb24"),
    ("rpza", "mov", "rgb555le"),
    ("msvideo1", "avi", "rgb555le"),
    ("flashsv", "flv", "bgr24"),
    ("ffv1", "mkv", "yuv420p"),
    ("ffvhuff", "avi", "yuv420p"),
    ("huffyuv", "avi", "yuv422p"),
    ("utvideo", "avi", "yuv420p"),
    ("magicyuv", "avi", "yuv420p"),
    ("prores_ks", "mov", "yuv422p10le"),
    ("jpeg2000", "mkv", "yuv420p"),
    ("mjpeg", "avi", "yuvj420p"),
    ("png", "mov", "rgb24"),
    ("zlib", "avi", "bgr24"),
    ("rawvideo", "nut", "yuv420p"),
]
PALETTED = [
    ("gif", "gif"),
    ("msrle", "avi"),
    ("msrle", "mov"),
    ("smc", "mov"),
    ("png", "mov"),
    ("zmbv", "avi"),
]


def wandering(count=COUNT):
    """A square over noise that changes everywhere a little and in one place much."""
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(60, 200, (1, 48, 64, 3)), count, axis=0).astype(np.uint8)
    for i in range(count):
        frames[i, i // 3 : i // 3 + 20, i // 2 : i // 2 + 20] = rng.integers(0, 255, (20, 20, 3))
        frames[i, :, :, i % 3] //= 1 + i // 20
    return frames


def assert_sparse_is_dense(path, count=None):
    """Frames at low rates, in the whole and in spans, are those of the full rate on the screen at their times."""
    whole = read(path, fps=None)
    assert count is None or len(whole.frames) == count
    for fps in (0.5, 2.0, 7.3):
        for start, end in ((None, None), (0.6, 1.7), (1.4, None)):
            media = read(path, fps=fps, start=start, end=end)
            shown = np.searchsorted(whole.frame_time, media.frame_time + (start or 0.0) + SLACK, side="right") - 1
            assert len(media.frames) > 0
            np.testing.assert_array_equal(media.frames, whole.frames[np.maximum(shown, 0)])


@pytest.mark.parametrize(("codec", "name", "pixels"), CODECS, ids=lambda value: str(value))
def test_a_low_rate_gives_the_pictures_of_the_full_one(tmp_path, codec, name, pixels, capfd):
    path = tmp_path / f"a.{name}"
    with av.open(str(path), "w") as container:
        stream, packets = add_video(
            container, wandering(), range(COUNT), codec=codec, pixels=pixels, tick=Fraction(1, 25)
        )
        mux(container, (stream, packets))
    assert_sparse_is_dense(path)


@pytest.mark.parametrize(("codec", "name"), PALETTED)
def test_palettes_that_change_are_kept(tmp_path, codec, name):
    rng = np.random.default_rng(1)
    with av.open(str(tmp_path / f"a.{name}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        stream.gop_size = 12
        for i in range(COUNT):
            if i % 17 == 0:
                palette = rng.integers(0, 255, (256, 4)).astype(np.uint8)
                palette[:, 0] = 255
            picture = np.repeat(np.arange(64, dtype=np.uint8)[None], 48, axis=0)
            picture[i // 3 : i // 3 + 9, i : i + 9] = 200
            frame = av.VideoFrame.from_ndarray((picture, palette), format="pal8")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert_sparse_is_dense(tmp_path / f"a.{name}")


def h264(path, flags=None, **options):
    """Write wandering pictures with x264 settings; `flags(number, is_key)` sets the container's mark of key frames."""
    with av.open(str(path), "w") as container:
        stream, packets = add_video(container, wandering(), range(COUNT), tick=Fraction(1, 25), gop=10)
        settings = ":".join(f"{key.replace('_', '-')}={value}" for key, value in options.items())
        stream.codec_context.options = {"x264-params": settings} if settings else {}
        for i, packet in enumerate(packets()):
            if flags is not None:
                packet.is_keyframe = flags(i, packet.is_keyframe)
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (lambda i, key: True, {}),  # every picture called a key frame
        (lambda i, key: i % 7 == 0, {}),  # any but the right ones
        (lambda i, key: i == 0, {}),
        (None, {"open_gop": 1, "bframes": 3, "b_adapt": 0}),
        (None, {"intra_refresh": 1}),
        (None, {"keyint": "infinite"}),
        (None, {"bframes": 8, "b_pyramid": "normal", "b_adapt": 0, "ref": 6}),
    ],
)
@pytest.mark.parametrize("name", ["mp4", "mkv", "ts"])
def test_marks_of_key_frames_are_not_believed(tmp_path, name, flags, options):
    assert_sparse_is_dense(h264(tmp_path / f"a.{name}", flags, **options), COUNT)


def first_sets_only(data):
    """An Annex B stream whose parameter sets stand in front of its first picture alone."""
    kept, pictures = [], 0
    for piece in filter(None, data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")):
        pictures += piece[0] & 31 in (1, 5)
        if not (pictures and piece[0] & 31 in (7, 8)):
            kept.append(piece)
    return b"".join(b"\0\0\0\1" + piece for piece in kept)


def test_parameter_sets_that_stand_in_dropped_packets_are_kept(tmp_path):
    made = [{"cabac": 0, "qp": 20}, {"cabac": 1, "qp": 40, "8x8dct": 0}, {"cabac": 0, "qp": 30}]
    parts = [h264(tmp_path / f"{i}.h264", scenecut=0, bframes=0, **how).read_bytes() for i, how in enumerate(made)]
    (tmp_path / "all.h264").write_bytes(b"".join(map(first_sets_only, parts)))
    remux(tmp_path / "all.h264", tmp_path / "all.ts")
    assert_sparse_is_dense(tmp_path / "all.ts", 3 * COUNT)


def remux(source, target):
    """Copy a raw stream, counting its pictures; without extradata the muxer adds no parameter sets of its own."""
    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        stream = container.add_mux_stream("h264", rate=25, width=64, height=48)
        for i, packet in enumerate(packet for packet in given.demux(video=0) if packet.size):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = i
            packet.duration = 1
            container.mux(packet)


def test_sparse_sampling_still_skips_where_it_is_safe(tmp_path, monkeypatch):
    decoded, original = [], Picture._decode
    monkeypatch.setattr(Picture, "_decode", lambda self, *packet: decoded.append(packet) or original(self, *packet))
    for codec, name in (
        ("libx264", "mkv"),
        ("libx264", "ts"),
        ("libx265", "mkv"),
        ("libvpx-vp9", "mkv"),
        ("mpeg2video", "ts"),
    ):
        path = tmp_path / f"{codec}.{name}"
        with av.open(str(path), "w") as container:
            mux(
                container,
                add_video(container, np.tile(wandering(), (4, 1, 1, 1)), range(200), codec=codec, tick=Fraction(1, 25)),
            )
        decoded.clear()
        read(path, fps=0.5)
        assert len(decoded) < 120, (codec, name)


def test_only_listed_codecs_may_be_started_late(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        mux(container, add_video(container, wandering(5), range(5), codec="cinepak", pixels="rgb24"))
    with av.open(str(tmp_path / "a.avi")) as container:
        assert not Restarts(container.streams.video[0].codec_context).known


def test_altered_extradata_and_palettes_of_real_tools(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    source = "testsrc2=size=64x48:rate=25:duration=2"
    for name, how in (
        ("a.gif", "-vf fps=25,split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"),
        ("a.avi", "-c:v mpeg4 -bf 2 -g 12 -mpeg_quant 1"),
        ("b.avi", "-c:v libx264 -bf 3 -g 12"),
        ("a.ts", "-c:v mpeg2video -bf 2 -g 12 -q:v 2"),
    ):
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *how.split(), str(tmp_path / name)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            assert_sparse_is_dense(tmp_path / name)
