import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from avshot.features import describe
from avshot.features.describe import Job
from avshot.features.extract import ExtractConfig, Extraction, extract
from avshot.features.extractor import Extractor
from avshot.features.store.store import FeatureStore
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


@dataclass(frozen=True)
class Hungry(Loudness):
    """Takes a gigabyte for clips of more than a second."""

    def __call__(self, media):
        if len(media.waveform) > 1.1 * RATE:
            torch.zeros(1 << 28)
        return super().__call__(media)


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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound the memory of a process")
def test_a_clip_that_takes_too_much_memory_fails_alone(tmp_path, clips):
    large = Clip("large", video(tmp_path / "large.mp4", seconds=1.4))
    config = ExtractConfig(memory_limit=300 << 20)
    options = {"audio": Hungry(), "visual": Colour(), "workers": 2}
    found = extract([*clips[:2], large, *clips[2:4]], str(tmp_path / "s"), config=config, **options)
    assert found.done == 4
    assert [id for id, *_ in found.failed] == ["large"]
    assert found.failed[0][2] == "error: it takes more than 0.293 GiB of memory; raise the memory limit"
    more = ExtractConfig(memory_limit=2 << 30)
    assert extract([large], str(tmp_path / "s"), retry_failed=True, config=more, **options).done == 1


def test_an_extractor_that_workers_cannot_import_is_said_in_a_sentence(tmp_path, clips, monkeypatch, capfd):
    module = ModuleType("only_here")
    made = type("Local", (Loudness,), {"__module__": "only_here"})
    module.Local = made
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(RuntimeError, match="No module named 'only_here'"):
        extract(clips[:1], str(tmp_path / "s"), audio=made(), visual=None, workers=2)
    with pytest.raises(RuntimeError, match="cannot travel to worker processes.*define it at the top of a module"):
        extract(clips[:1], str(tmp_path / "s"), audio=type("Nowhere", (Loudness,), {})(), visual=None, workers=2)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("where", ["file", "in a file", "nowhere"])
def test_a_store_that_cannot_be_made_is_refused_before_any_work(tmp_path, clips, where):
    (tmp_path / "file").write_text("not a folder")
    store = {"file": tmp_path / "file", "in a file": tmp_path / "file" / "s", "nowhere": "/proc/avshot/s"}[where]
    with pytest.raises(ValueError, match=r"Store .* cannot be"):
        extract(clips[:1], str(store), audio=Deadly(), visual=None, workers=1)


@pytest.mark.parametrize("store", ["nonsense://x/s", "ab://c"])
def test_a_store_of_an_unknown_kind_is_refused(clips, store):
    with pytest.raises(ValueError, match=f"Store {store} cannot be reached"):
        extract(clips[:1], store, audio=Loudness(), visual=None, workers=1)


def test_weights_that_are_not_there_are_named_before_any_work(tmp_path, clips):
    for spec in ("clip:/not/there", f"clip:{tmp_path}"):
        with pytest.raises(ValueError, match=f"Weights '{spec[5:]}' of extractor 'clip' cannot be loaded"):
            extract(clips[:1], str(tmp_path / "s"), audio=None, visual=spec, workers=1)
    assert not (tmp_path / "s").exists()


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))  # a disk that is full after 6000 bytes
from avshot.cli.app import main
main(["extract", sys.argv[1], "--store", sys.argv[2], "--workers", sys.argv[3]])
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_one_sentence(tmp_path, clips, workers):
    folder = str(Path(clips[0].path).parent)
    command = [sys.executable, "-c", FULL, folder, str(tmp_path / "s"), workers]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be written (File too large); what was complete is kept" in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("extracting: ")]
    assert len(lines) == 1, done.stderr
    assert list((tmp_path / "s").rglob("*.tmp")) == []
    assert FeatureStore(str(tmp_path / "s")).damaged(deep=True) == {}


@pytest.mark.parametrize("after", [0.2, 0.6, 1.2])
def test_ctrl_c_is_one_line_also_while_workers_start(tmp_path, clips, after):
    command = [sys.executable, "-m", "avshot", "extract", str(Path(clips[0].path).parent), "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--store", str(tmp_path / "s")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    first = process.stderr.readline()
    assert first.startswith("extracting: 0/9"), first
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate()[1].splitlines()
    if process.returncode != 0:  # on a fast machine it had finished
        assert process.returncode == 130
        assert rest[-1].startswith("avshot: stopped; run the same command again")
    assert not [line for line in rest if "Traceback" in line or "Interrupt" in line]


def test_the_second_of_two_extractions_waits_and_finds_the_clips_there(tmp_path, clips):
    slow, order = Loudness(wait=0.2), []

    def run(name):
        waited = lambda: order.append(f"{name} waits")  # noqa: E731
        found = extract(clips, str(tmp_path / "s"), audio=slow, visual=None, workers=1, waiting=waited)
        order.append((found.done, found.kept))

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[0] in ("a waits", "b waits")
    assert order[1:] == [(9, 0), (0, 9)]
    assert sorted(rows_written(tmp_path / "s")) == sorted(clip.id for clip in clips)


def test_several_machines_may_fill_one_store_with_disjoint_parts(tmp_path, clips):
    options = {"audio": Loudness(wait=0.1), "visual": None, "workers": 1}
    parts = [clips[:4], clips[4:]]
    threads = [
        threading.Thread(target=extract, args=(part, str(tmp_path / "s")), kwargs={**options, "alone": False})
        for part in parts
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 60
    extract(clips, str(tmp_path / "r"), **options)
    assert_same_store(tmp_path / "s", tmp_path / "r")
    assert FeatureStore(str(tmp_path / "s")).content() == FeatureStore(str(tmp_path / "r")).content()


def test_damaged_lines_are_taken_out_and_their_clips_described_again(tmp_path, clips):
    options = {"audio": Loudness(), "visual": Colour(), "workers": 1}
    extract(clips, str(tmp_path / "s"), **options)
    extract(clips, str(tmp_path / "r"), **options)
    (path,) = (tmp_path / "s" / "manifest").iterdir()
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace('"ok"', '"OK"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="line 3 is damaged"):
        extract(clips, str(tmp_path / "s"), alone=False, **options)
    found = extract(clips, str(tmp_path / "s"), **options)
    assert (found.done, found.kept) == (1, 8)
    assert "1 damaged lines of" in found.notes[0]
    assert_same_store(tmp_path / "s", tmp_path / "r")


def test_features_of_avshot_0_1_are_kept_with_a_word_and_described_again_on_request(tmp_path, clips, bad):
    from test_store import as_version_1

    options = {"audio": Loudness(), "visual": Colour(), "workers": 1}
    asked = [*clips[:3], bad[0]]
    extract(asked, str(tmp_path / "s"), **options)
    extract(asked, str(tmp_path / "r"), **options)
    as_version_1(tmp_path / "s")
    found = extract(asked, str(tmp_path / "s"), **options)
    assert (found.done, found.kept, found.unknown) == (0, 3, ("c0", "c1", "c2"))
    assert [(id, why) for id, _, why in found.again] == [("empty", "it failed before")]
    found = extract(asked, str(tmp_path / "s"), retry_failed=True, **options)
    assert (found.done, found.unknown) == (3, ())
    assert extract(asked, str(tmp_path / "s"), **options).unknown == ()
    assert_same_store(tmp_path / "s", tmp_path / "r")


def test_lines_count_by_their_order_whatever_the_clock_says(tmp_path, clips, monkeypatch):
    options = {"audio": Loudness(), "visual": None, "workers": 1}
    path = tmp_path / "a.mp4"
    future = time.time() + 1e6
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: future)
        extract([Clip("x", video(path, (200, 0, 0)))], str(tmp_path / "s"), **options)
    video(path, (30, 0, 0), seconds=0.9)
    assert extract([Clip("x", str(path))], str(tmp_path / "s"), **options).done == 1
    assert extract([Clip("x", str(path))], str(tmp_path / "s"), **options).kept == 1


def is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


ORPHANED = """
import sys
sys.path.insert(0, {tests!r})
from test_extract import Clip, Colour, ExtractConfig, Loudness, extract
clips = [Clip("green", {video!r})]
config = ExtractConfig(time_limit=5.0)
extract(clips, sys.argv[1], audio=Loudness(), visual=Colour(dangerous=True), workers=2, config=config)
"""


def test_a_worker_whose_parent_was_killed_does_not_stay(tmp_path):
    """Not even where the clip in hand never ends."""
    path = video(tmp_path / "green.mp4", (0, 255, 0))
    script = ORPHANED.format(tests=str(Path(__file__).parent), video=path)
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "s")], start_new_session=True)
    time.sleep(4.0)  # whatever the worker is at: it starts, or has the clip in hand
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while is_alive(process.pid):
        assert time.monotonic() < until
        time.sleep(0.1)
