"""Status and notes: silent and black streams, gaps, and what takes precedence."""

from fractions import Fraction

import av
import numpy as np
import pytest

from avshot.media import read, write
from made_media import RATE, add_audio, add_video, greys, mux, sine

BLACK = np.zeros((50, 32, 48, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "sound", "status"),
    [
        (greys(50), sine(2.0), "ok"),
        (greys(50), np.zeros(2 * RATE, np.float32), "silent"),
        (BLACK, sine(2.0), "black"),
        (BLACK, np.zeros(2 * RATE, np.float32), "error: the sound is silent and the picture is black."),
        (BLACK, None, "error: there is no sound and the picture is black."),
        (None, np.zeros(2 * RATE, np.float32), "error: the sound is silent and there is no picture."),
    ],
)
def test_what_is_there_but_holds_nothing(tmp_path, frames, sound, status):
    write(tmp_path / "a.mp4", frames, 25, sound, RATE)
    media = read(tmp_path / "a.mp4")
    assert media.status == status
    if not status.startswith("error"):
        assert (len(media.frames), len(media.waveform)) == (50, 2 * RATE)


def test_of_one_stream_alone_silence_and_darkness_are_no_error(tmp_path):
    write(tmp_path / "a.mp4", BLACK, 25, np.zeros(2 * RATE, np.float32), RATE)
    assert read(tmp_path / "a.mp4", want_frames=False).status == "silent"
    assert read(tmp_path / "a.mp4", want_audio=False).status == "black"


def test_what_the_status_does_not_say_is_noted(tmp_path):
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3)).astype(np.uint8)
    write(path, noise, 25, np.zeros(4 * RATE, np.float32), RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    media = read(path)
    assert media.status == "truncated"
    assert any("silent" in note for note in media.notes)


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
@pytest.mark.parametrize("noise", [False, True])  # of noise the codec leaves something in the average
def test_channels_that_cancel_each_other_are_told(tmp_path, codec, noise):
    tone = sine(1.0, 44100)
    tone = np.random.default_rng(0).uniform(-0.4, 0.4, len(tone)).astype(np.float32) if noise else tone
    pair = np.stack([tone, -tone])
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        made, fmt = ((pair * 32767).astype(np.int16), "s16") if codec != "aac" else (pair, "fltp")
        sound = add_audio(container, made, 44100, codec=codec, layout="stereo", fmt=fmt)
        mux(container, add_video(container, greys(25), range(25), tick=Fraction(1, 25)), sound)
    media = read(tmp_path / "a.mov")
    assert any("cancel" in note for note in media.notes)
    assert media.status == "silent"
    assert not media.waveform.any()


def test_channels_that_have_nothing_to_do_with_each_other_are_averaged(tmp_path):
    pair = np.random.default_rng(0).uniform(-0.4, 0.4, (2, 44100)).astype(np.float32)
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        made = (pair * 32767).astype(np.int16)
        sound = add_audio(container, made, 44100, codec="pcm_s16le", layout="stereo", fmt="s16")
        mux(container, sound)
    media = read(tmp_path / "a.wav", rate=44100)
    assert media.notes == ()
    np.testing.assert_allclose(media.waveform, made.mean(axis=0) / 32768, atol=1e-6)


def test_gaps_are_told_in_seconds(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = add_video(container, greys(50), range(0, 2000, 40))
        made = (sine(2.0) * 32767).astype(np.int16)[None]
        stream, packets = add_audio(container, made, RATE, codec="pcm_s16le", fmt="s16")
        mux(
            container, video, (stream, lambda: [p for i, p in enumerate(packets()) if i > 3 and i not in range(10, 15)])
        )
    media = read(tmp_path / "a.mkv")
    expected = [(0.0, 4 * 1024 / RATE), (10 * 1024 / RATE, 15 * 1024 / RATE)]
    assert len(media.gaps) == 2
    np.testing.assert_allclose(media.gaps, expected, atol=2e-3)
    for begin, end in media.gaps:
        assert not media.waveform[round(begin * RATE) + 20 : round(end * RATE) - 20].any()
    assert any("no sound for" in note for note in media.notes)
    part = read(tmp_path / "a.mkv", start=0.5, end=1.2)
    np.testing.assert_allclose(part.gaps, [(10 * 1024 / RATE - 0.5, 15 * 1024 / RATE - 0.5)], atol=2e-3)


def test_an_ordinary_file_has_neither_notes_nor_gaps(tmp_path):
    write(tmp_path / "a.mp4", greys(50), 25, sine(2.0), RATE)
    media = read(tmp_path / "a.mp4")
    assert (media.notes, media.gaps) == ((), ())


def test_a_sound_without_a_decoder_is_told(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = add_video(container, greys(50), range(0, 2000, 40))
        mux(container, video, add_audio(container, sine(2.0)[None], RATE))
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data.replace(b"A_AAC", b"A_XYZ"))
    media = read(tmp_path / "a.mkv")
    assert media.status == "no_audio"
    assert any("sound was left out" in note for note in media.notes)
