import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from avshot.features import describe
from avshot.features.describe import Job
from avshot.features.extract import ExtractConfig, Extraction, extract
from avshot.features.extractor import Extractor
from avshot.features.store import FeatureStore
from avshot.media import read, write
from avshot.types import Clip

RATE = 8000
EVERY = ExtractConfig(flush_clips=1)


@dataclass(frozen=True)
class Loudness(Extractor):
    """Mean and largest amplitude per tenth of a second."""

    wait: float = 0.0
    name = "loudness"
    modality = "audio"
    dim = 2

    def request(self):
        return {"rate": RATE}

    def __call__(self, media):
        time.sleep(self.wait)
        steps = torch.from_numpy(media.waveform).abs().split(RATE // 10)
        rows = [torch.stack([step.mean(), step.max()]) for step in steps if len(step)]
        return torch.stack(rows) if rows else torch.zeros(0, 2), (torch.arange(len(rows)) + 0.5) / 10


@dataclass(frozen=True)
class Colour(Extractor):
    """Mean colour per frame. Pure red kills the process, pure green never ends, pure blue gives NaN, if `dangerous`."""

    dangerous: bool = False
    name = "colour"
    modality = "visual"
    dim = 3

    def request(self):
        return {"fps": 5.0, "size": (16, 16)}

    def __call__(self, media):
        rows = torch.from_numpy(media.frames).float().mean(dim=(1, 2)) / 255
        if self.dangerous and len(rows):
            red, green, blue = (rows[0] > 0.9).tolist()
            if red and not green and not blue:
                os.kill(os.getpid(), signal.SIGKILL)
            if green and not red and not blue:
                time.sleep(600)
            if blue and not red and not green:
                rows = rows * float("nan")
        return rows, torch.from_numpy(media.frame_time).float()


@dataclass(frozen=True)
class Broken(Loudness):
    """Cannot load its weights."""

    def __call__(self, media):
        raise OSError("no such checkpoint: nowhere/nothing")


@dataclass(frozen=True)
class Deadly(Loudness):
    """Kills the process before any clip is seen."""

    def __call__(self, media):
        os._exit(3)


def video(path, colour=(128, 128, 128), *, sound=True, picture=True, seconds=0.6):
    tone = (0.3 * np.sin(np.arange(int(seconds * RATE)) * colour[0] * 0.01)).astype(np.float32)
    frames = np.full((int(seconds * 10), 16, 16, 3), colour, np.uint8) if picture else None
    write(path, frames, 10, tone if sound else None, RATE)
    return str(path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Nine good clips of different colour and tone."""
    folder = tmp_path_factory.mktemp("clips")
    return [Clip(f"c{i}", video(folder / f"{i}.mp4", (20 * i + 40, 90, 120))) for i in range(9)]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video " * 50)
    return [
        Clip("empty", str(folder / "empty.mp4")),
        Clip("text", str(folder / "text.mp4")),
        Clip("missing", str(folder / "nowhere.mp4")),
        Clip("backwards", video(folder / "b.mp4"), start=0.5, end=0.1),
        Clip("silent", video(folder / "s.mp4", sound=False)),
        Clip("dark", video(folder / "d.mp4", picture=False)),
    ]


def everything(root):
    store = FeatureStore(str(root))
    return store, store.gather(range(len(store)))


def assert_same_store(one, other):
    (a, batch_a), (b, batch_b) = everything(one), everything(other)
    assert a.ids == b.ids
    assert a.status == b.status
    assert a.spec == b.spec
    for name in ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time"):
        torch.testing.assert_close(getattr(batch_a, name), getattr(batch_b, name), rtol=0, atol=0, msg=name)


def rows_written(root):
    files = Path(root).glob("manifest/*.jsonl")
    return [json.loads(line)["id"] for file in files for line in file.read_text().splitlines() if line.endswith("}")]


def test_features_are_those_of_the_extractors(tmp_path, clips):
    seen = []
    result = extract(
        clips, str(tmp_path), audio=Loudness(), visual=Colour(), workers=1, progress=lambda *n: seen.append(n)
    )
    assert result == Extraction(done=9, kept=0, failed=())
    assert seen == [(i, 9) for i in range(10)]
    store, batch = everything(tmp_path)
    assert store.spec == {"audio": Loudness().spec(), "visual": Colour().spec()}
    assert store.dims == (2, 3)
    for i, clip in enumerate(clips):
        expected = Loudness()(read(clip.path, rate=RATE))
        torch.testing.assert_close(batch.audio[i][batch.audio_mask[i]], expected[0])
        torch.testing.assert_close(batch.audio_time[i][batch.audio_mask[i]], expected[1])
        expected = Colour()(read(clip.path, fps=5.0, size=(16, 16)))
        torch.testing.assert_close(batch.visual[i][batch.visual_mask[i]], expected[0])
        torch.testing.assert_close(batch.visual_time[i][batch.visual_mask[i]], expected[1])


def test_a_clip_is_decoded_once_for_both_extractors(tmp_path, clips, monkeypatch):
    calls = []
    monkeypatch.setattr(
        describe, "read", lambda path, **request: (calls.append((path, request)), read(path, **request))[1]
    )
    span = Clip("span", clips[0].path, start=0.2, end=0.5)
    extract([span], str(tmp_path / "both"), audio=Loudness(), visual=Colour(), workers=1)
    wanted = {"rate": RATE, "fps": 5.0, "size": (16, 16), "start": 0.2, "end": 0.5}
    assert calls == [(span.path, {**wanted, "want_frames": True, "want_audio": True})]
    extract([span], str(tmp_path / "one"), audio=Loudness(), visual=None, workers=1)
    assert calls[1][1] == {"rate": RATE, "start": 0.2, "end": 0.5, "want_frames": False, "want_audio": True}
    assert FeatureStore(str(tmp_path / "one")).dims == (2, 0)


def test_spec_texts_name_the_built_in_extractors(tmp_path, clips):
    result = extract(clips[:2], str(tmp_path), audio="logmel", visual="pixels", workers=1)
    assert (result.done, result.failed) == (2, ())
    store, batch = everything(tmp_path)
    assert store.spec["audio"]["name"] == "logmel"
    assert store.spec["visual"]["name"] == "pixels"
    assert bool(batch.has_audio.all())
    assert bool(batch.has_visual.all())


def test_one_modality_and_bad_files(tmp_path, clips, bad):
    result = extract([*bad, *clips[:2]], str(tmp_path), audio=Loudness(), visual=Colour(), workers=1)
    assert (result.done, result.kept) == (4, 0)
    assert [(id, path) for id, path, _ in result.failed] == [(clip.id, clip.path) for clip in bad[:4]]
    assert all(status.startswith("error: ") and len(status) > 15 for *_, status in result.failed)
    assert [(id, status) for id, _, status in result.partial] == [("silent", "no_audio"), ("dark", "no_visual")]
    store, batch = everything(tmp_path)
    assert store.ids == ["c0", "c1", "dark", "silent"]
    assert batch.has_audio.tolist() == [True, True, True, False]
    assert batch.has_visual.tolist() == [True, True, False, True]
    only = extract(bad[4:], str(tmp_path / "audio"), audio=Loudness(), visual=None, workers=1)
    assert [(id, status) for id, _, status in only.failed] == [("silent", "no_audio")]


def test_failed_clips_are_tried_again_when_their_file_changed_or_on_request(tmp_path, clips):
    path = tmp_path / "late.mp4"
    late = [Clip("late", str(path)), clips[0]]
    options = {"audio": Loudness(), "visual": Colour(), "workers": 1}
    first = extract(late, str(tmp_path / "s"), **options)
    assert (first.done, first.kept, len(first.failed)) == (1, 0, 1)
    same = extract(late, str(tmp_path / "s"), **options)
    assert same == Extraction(0, 1, first.failed, untried=("late",)), "there still is no file"
    retried = extract(late, str(tmp_path / "s"), retry_failed=True, **options)
    assert (retried.failed, retried.again) == (first.failed, (("late", str(path), "it failed before"),))
    path.write_text("half a download")
    broken = extract(late, str(tmp_path / "s"), **options)
    assert broken.again == (("late", str(path), "the file was not there before"),)
    assert broken.failed != first.failed
    video(path)
    mended = extract(late, str(tmp_path / "s"), **options)
    assert (mended.done, mended.kept, mended.failed) == (1, 1, ())
    assert mended.again == (("late", str(path), "the file changed since"),)
    path.write_text("broken again")
    lost = extract(late, str(tmp_path / "s"), **options)
    assert [id for id, *_ in lost.failed] == ["late"], "not the features of the file that was there"
    assert FeatureStore(str(tmp_path / "s")).ids == ["c0"]


def test_clips_of_a_damaged_shard_are_described_again(tmp_path, clips):
    options = {"audio": Loudness(), "visual": Colour(), "workers": 1}
    extract(clips, str(tmp_path / "a"), config=EVERY, **options)
    extract(clips, str(tmp_path / "b"), **options)
    shards = sorted((tmp_path / "a" / "shards").iterdir())
    assert len(shards) == 9
    shards[3].write_bytes(shards[3].read_bytes()[:-1])
    shards[5].unlink()
    changed = bytearray(shards[7].read_bytes())
    changed[-9] ^= 4  # a value, or a time: headers and sizes are as they were
    shards[7].write_bytes(changed)
    result = extract(clips, str(tmp_path / "a"), **options)
    assert (result.done, result.kept, result.failed) == (3, 6, ())
    assert [(id, why) for id, _, why in result.again] == [
        (id, "its stored features were damaged") for id in ("c3", "c5", "c7")
    ]
    assert_same_store(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": "twice"}, "ids must be unique.*'c0'"),
        ({"audio": None, "visual": None}, "at least one"),
        ({"audio": Colour()}, "is the audio extractor but describes visual"),
        ({"audio": "logmell"}, "Did you mean 'logmel'"),
        ({"workers": 0}, "workers is 0"),
        ({"store": "memory://x", "workers": 2}, "workers=1"),
        ({"audio": Loudness(wait=0.5)}, r"audio\.wait is 0\.0 there and 0\.5 here"),
    ],
)
def test_wrong_arguments(tmp_path, clips, change, message):
    options = {"clips": clips[:1], "store": str(tmp_path), "audio": Loudness(), "visual": Colour(), "workers": 1}
    extract(**options)
    if change.get("clips"):
        change = {"clips": [clips[0], clips[0]]}
    with pytest.raises(ValueError, match=message):
        extract(**{**options, **change})


def test_no_clips_and_a_remote_store(clips):
    options = {"audio": Loudness(), "visual": Colour()}
    assert extract([], "memory://extract/none", **options) == Extraction(0, 0, ())
    assert extract(clips[:2], "memory://extract/two", **options).done == 2
    assert extract(clips[:3], "memory://extract/two", **options) == Extraction(done=1, kept=2, failed=())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_extractor_that_cannot_work_stops_everything_and_marks_nothing(tmp_path, clips, workers):
    with pytest.raises(RuntimeError, match="no such checkpoint: nowhere/nothing"):
        extract(clips[:1], str(tmp_path), audio=Broken(), visual=None, workers=workers)
    assert rows_written(tmp_path) == []


def test_workers_that_die_at_once_stop_everything(tmp_path, clips):
    with pytest.raises(RuntimeError, match=r"die while loading the extractors \(exit code 3\)"):
        extract(clips[:1], str(tmp_path), audio=Deadly(), visual=None, workers=2)
    assert rows_written(tmp_path) == []


def test_workers_survive_files_that_kill_hang_or_poison(tmp_path, clips, bad):
    dangers = [("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))]
    dangerous = [Clip(name, video(tmp_path / f"{name}.mp4", colour)) for name, colour in dangers]
    config, seen = ExtractConfig(time_limit=3.0), []
    result = extract(
        [*clips[:3], *dangerous, *bad[:1], *clips[3:]],
        str(tmp_path / "s"),
        audio=Loudness(),
        visual=Colour(dangerous=True),
        workers=2,
        config=config,
        progress=lambda *n: seen.append(n),
    )
    status = {id: status for id, _, status in result.failed}
    assert seen[-1] == (13, 13)
    assert list(status) == ["red", "green", "blue", "empty"]
    assert "process died 2 times on this clip (exit code -9)" in status["red"]
    assert status["green"] == "error: not described within 3 seconds"
    assert "'blue'" in status["blue"]
    assert "NaN" in status["blue"]
    assert (result.done, result.kept) == (9, 0)
    store, _ = everything(tmp_path / "s")
    assert {id: store.status[id] for id in status} == status
    extract(clips, str(tmp_path / "r"), audio=Loudness(), visual=Colour(dangerous=True), workers=1)
    assert_equal_batches(store, FeatureStore(str(tmp_path / "r")), [clip.id for clip in clips])


def assert_equal_batches(one, other, ids):
    a, b = one.gather(one.rows(ids)), other.gather(other.rows(ids))
    for name in ("audio", "visual", "audio_mask", "visual_mask"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, msg=name)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_extract import Colour, Loudness, Clip, ExtractConfig, extract
clips = [Clip(f"c{{i}}", f"{folder}/{{i}}.mp4") for i in range(9)]
result = extract(clips, sys.argv[1], audio=Loudness(), visual=Colour(), workers=2, config=ExtractConfig(flush_clips=2))
print("done", result.done, result.kept)
"""


def test_resumes_after_kill_9_with_nothing_redone_and_nothing_corrupt(tmp_path, clips):
    """A script without a main guard, its workers included, is killed in the middle and run again."""
    slow = SCRIPT.replace("audio=Loudness()", "audio=Loudness(wait=0.4)")
    script = slow.format(tests=str(Path(__file__).parent), folder=str(Path(clips[0].path).parent))
    (tmp_path / "run.py").write_text(script)
    root = tmp_path / "killed"
    command = [sys.executable, str(tmp_path / "run.py"), str(root)]
    process = subprocess.Popen(command, start_new_session=True)
    while len(rows_written(root)) < 3:
        assert process.poll() is None, "the extraction ended before it could be killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = rows_written(root)
    assert 3 <= len(before) < 9
    assert set(FeatureStore(str(root)).ids) == set(before)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output == f"done {9 - len(before)} {len(before)}\n"
    assert sorted(rows_written(root)) == sorted(clip.id for clip in clips)
    assert FeatureStore(str(root)).damaged(deep=True) == {}
    extract(clips, str(tmp_path / "whole"), audio=Loudness(wait=0.4), visual=Colour(), workers=1)
    assert_same_store(root, tmp_path / "whole")


def test_flushes_by_count_and_by_time(tmp_path, clips, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(describe.time, "monotonic", lambda: clock[0])
    job = Job(Loudness(), None, str(tmp_path), ExtractConfig(flush_clips=3, flush_seconds=10.0))
    with describe.Recorder(job, "w") as recorder:
        permanent = []
        for clip, now in zip(clips, [0.5, 1.0, 1.5, 1.9, 4.0, 400.0, 409.0, 409.5, 419.0], strict=True):
            clock[0] = now
            permanent.append(recorder.record(clip)[2])
    #  by count at the third; by time 2 s after a flush early on; 10 s after one late (400 / 20 = 20 > 10)
    assert permanent == [False, False, True, False, True, True, False, False, True]
