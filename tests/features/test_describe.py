"""What a clip's streams are worth: a stream that is there but holds nothing is described as one that is missing."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from avshot.features.describe import Job, Recorder
from avshot.features.extractor import Extractor
from avshot.features.extractors.logmel import LogMel
from avshot.features.extractors.pixels import Pixels
from avshot.features.store.store import FeatureStore
from avshot.media import Media, read, write
from avshot.types import Clip

RATE, FPS = 16000, 12.5
RNG = np.random.default_rng(0)
SOUND = RNG.uniform(-0.2, 0.2, RATE).astype(np.float32)
PICTURE = RNG.integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
SILENT, BLACK = SOUND * 0, PICTURE // 64 + 14
NO_SOUND, NO_PICTURE = SOUND[:0], PICTURE[:0]


def media(sound, picture, status="ok", **more):
    return Media(picture, (np.arange(len(picture)) + 0.5) / FPS, sound, RATE, status, 1.0, **more)


def job(audio=True, visual=True):
    return Job(LogMel() if audio else None, Pixels() if visual else None, store="")


def same(first, second):
    """Whether two descriptions hold the same features."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("audio", "audio_time", "visual", "visual_time")]
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


@pytest.mark.parametrize(
    ("sound", "picture", "given", "status", "empty"),
    [
        (SOUND, PICTURE, "ok", "ok", ()),
        (SOUND, PICTURE, "silent", "ok", ()),  # the arrays decide, not what was said of others
        (SILENT, PICTURE, "ok", "silent", ("audio",)),
        (SOUND, BLACK, "ok", "black", ("visual",)),
        (SILENT, PICTURE, "truncated", "truncated", ("audio",)),
        (SOUND, BLACK, "truncated", "truncated", ("visual",)),
        (NO_SOUND, PICTURE, "no_audio", "no_audio", ()),
        (SOUND, NO_PICTURE, "no_visual", "no_visual", ()),
        (SILENT, BLACK, "ok", "error: the sound is silent and the picture is black", ("audio", "visual")),
        (SILENT, NO_PICTURE, "no_visual", "error: the sound is silent and there is no picture", ("audio",)),
        (NO_SOUND, BLACK, "truncated", "error: there is no sound and the picture is black", ("visual",)),
        (SOUND, PICTURE, "error: this", "error: this", ()),
    ],
)
def test_status(sound, picture, given, status, empty):
    found = job().describe_media(media(sound, picture, given, notes=("A note.",)))
    assert (found.status, found.empty, found.notes) == (status, empty, ("A note.",))
    assert found.kept is not status.startswith("error")


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_a_job_of_one_modality_looks_at_that_alone(modality):
    here = job(audio=modality == "audio", visual=modality == "visual")
    assert here.describe_media(media(SOUND, PICTURE)).status == "ok"
    assert here.describe_media(media(SILENT, BLACK)).status.startswith("error: the ")
    other = media(SOUND, BLACK) if modality == "audio" else media(SILENT, PICTURE)
    assert here.describe_media(other).status == "ok"


def test_a_stream_that_holds_nothing_is_described_as_a_missing_one():
    both = job()
    muted, deaf = both.describe_media(media(SILENT, PICTURE)), both.describe_media(media(NO_SOUND, PICTURE))
    assert deaf.audio is None
    assert same(muted, deaf)
    dark, blind = both.describe_media(media(SOUND, BLACK)), both.describe_media(media(SOUND, NO_PICTURE))
    assert blind.visual is None
    assert same(dark, blind)


def test_an_extractor_of_the_user_never_sees_a_stream_that_holds_nothing():
    @dataclass(frozen=True)
    class Refusing(Extractor):
        name = "refusing"
        modality = "audio"
        dim = 1

        def request(self):
            return {"rate": RATE}

        def __call__(self, media):
            raise RuntimeError("called")

    picky = Job(Refusing(), Pixels(), store="")
    assert picky.describe_media(media(SILENT, PICTURE)).status == "silent"
    with pytest.raises(RuntimeError, match="called"):
        picky.warm_up()  # which is there to show a broken extractor at once


def test_padding_of_both_streams_changes_nothing_but_the_times():
    both, plain = job(), job().describe_media(media(SOUND, PICTURE))
    zeros, black = np.zeros(RATE, np.float32), BLACK[:10]
    padded = media(np.concatenate([SOUND, zeros]), np.concatenate([PICTURE, black]))
    assert same(both.describe_media(padded), plain)
    moved = both.describe_media(
        media(np.concatenate([zeros[: RATE * 4 // 5], SOUND]), np.concatenate([black, PICTURE]))
    )
    for name in ("audio", "visual"):
        assert torch.equal(getattr(moved, name), getattr(plain, name))
        torch.testing.assert_close(getattr(moved, f"{name}_time"), getattr(plain, f"{name}_time") + 0.8)


def test_nan_is_no_silence():
    bad = SOUND.copy()
    bad[:] = np.nan
    assert not torch.isfinite(job().describe_media(media(bad, PICTURE)).audio).any()


def test_files_and_spans_of_files(tmp_path):
    """Two seconds: the first silent and black, the second not; and files of nothing."""
    half = str(tmp_path / "half.mp4")
    frames = np.repeat(np.concatenate([BLACK, PICTURE // 2 + 60]), 2, axis=0)
    write(half, frames, 25.0, np.concatenate([SILENT[: len(frames) * RATE // 50], SOUND]), RATE)
    write(tmp_path / "mute.mp4", PICTURE, FPS, SILENT, RATE)
    write(tmp_path / "dark.mp4", np.zeros_like(PICTURE), FPS, SOUND, RATE)
    write(tmp_path / "cover.mp4", np.zeros_like(PICTURE[:1]), FPS, SOUND, RATE)
    write(tmp_path / "nothing.mp4", np.zeros_like(PICTURE), FPS, SILENT, RATE)
    clips = [
        Clip("whole", half),
        Clip("first", half, end=0.8),
        Clip("second", half, start=1.1),
        *(Clip(name, str(tmp_path / f"{name}.mp4")) for name in ("mute", "dark", "cover", "nothing")),
    ]
    into = replace(job(), store=str(tmp_path / "store"))
    with Recorder(into, "0") as recorder:
        found = {clip.id: recorder.record(clip)[0] for clip in clips}
    nothing = "error: the sound is silent and the picture is black"
    assert {name: status.rstrip(".") for name, status in found.items()} == {
        "whole": "ok",
        "first": nothing,
        "second": "ok",
        "mute": "silent",
        "dark": "black",
        "cover": "black",
        "nothing": nothing,
    }
    store = FeatureStore(str(tmp_path / "store"))
    assert store.status["mute"] == "silent"
    batch = store.gather(store.rows(["mute", "dark", "whole"]))
    assert batch.has_audio.tolist() == [False, True, True]
    assert batch.has_visual.tolist() == [True, False, True]
    whole = into.describe(clips[0])
    assert float(whole.audio_time[0]) == pytest.approx(0.97, abs=0.04)
    assert float(whole.visual_time[0]) == pytest.approx(1.0, abs=0.05)
    muted = read(str(tmp_path / "mute.mp4"), **into.request())
    assert same(into.describe_media(muted), into.describe_media(replace(muted, waveform=muted.waveform[:0])))
