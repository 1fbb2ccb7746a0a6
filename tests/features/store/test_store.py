import json
import multiprocessing
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import uuid

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch.utils.data import DataLoader

from avshot.features.store.place import Place
from avshot.features.store.store import FeatureStore, StoreWriter
from avshot.types import Features

SPEC = {"audio": {"name": "logmel", "hop": 0.02}, "visual": {"name": "pixels", "size": [48, 64]}}


def sequence(rng, time, dim):
    return rng.normal(size=(time, dim)).astype(np.float32), np.sort(rng.uniform(0, 9, time)).astype(np.float32)


def fill(root, ids, *, worker="0", flush_every=2, seed=0, **options):
    """Clips of different lengths; every third lacks sound, every fifth picture. Returns what was added."""
    rng, added = np.random.default_rng(seed), {}
    with StoreWriter(root, spec=SPEC, worker=worker, **options) as writer:
        for i, id in enumerate(ids):
            audio, visual = sequence(rng, 3 + i % 4, 5), sequence(rng, 1 + i % 3, 7)
            added[id] = (None if i % 3 == 2 else audio, None if i % 5 == 4 and i % 3 != 2 else visual)
            a, v = added[id]
            status = "ok" if a and v else "no_audio" if v else "no_visual"
            writer.add(
                id,
                audio=a and a[0],
                audio_time=a and a[1],
                visual=v and v[0],
                visual_time=v and v[1],
                status=status,
            )
            if i % flush_every == flush_every - 1:
                writer.flush()
    return added


def naive(added, ids, dims=(5, 7)):
    """The batch made clip by clip from what was added."""
    pick = lambda m, part: [  # noqa: E731
        None if added[id][m] is None else torch.tensor(added[id][m][part]) for id in ids
    ]
    return Features.from_sequences(pick(0, 0), pick(1, 0), pick(0, 1), pick(1, 1), dims=dims)


def assert_equal(got, expected):
    for name in ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=0, atol=0, msg=name)


def complaint(work, *arguments):
    """The sentence that `work` fails with, "" if it does not."""
    try:
        work(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def shard_files(root):
    return sorted((root / "shards").iterdir())


@pytest.mark.parametrize("where", ["local", "memory"])
def test_gather_equals_what_was_added(tmp_path, where):
    root = str(tmp_path / "s") if where == "local" else f"memory://{uuid.uuid4()}/s"
    added = fill(root, [f"c{i}" for i in range(11)])
    store = FeatureStore(root)
    assert store.ids == sorted(added)
    assert store.dims == (5, 7)
    assert store.spec == SPEC
    assert store.status["c2"] == "no_audio"
    assert store.status["c4"] == "no_visual"
    ids = ["c9", "c2", "c2", "c0", "c4", "c10"]
    assert_equal(store.gather(store.rows(ids)), naive(added, ids))


lengths = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=12).filter(
    lambda clips: all(a + v > 0 for a, v in clips)
)


@settings(max_examples=40, deadline=None)
@given(
    clips=lengths, order=st.lists(st.integers(0, 10**6), max_size=20), flush=st.integers(1, 5), seed=st.integers(0, 9)
)
def test_any_rows_in_any_order_equal_the_naive_batch(clips, order, flush, seed):
    root, rng, added = f"memory://{uuid.uuid4()}", np.random.default_rng(seed), {}
    with StoreWriter(root, spec=SPEC, dims=(5, 7)) as writer:
        for i, (a, v) in enumerate(clips):
            audio, visual = sequence(rng, a, 5), sequence(rng, v, 7)
            added[f"é{i}"] = (audio if a else None, visual if v else None)
            writer.add(f"é{i}", audio=audio[0], audio_time=audio[1], visual=visual[0], visual_time=visual[1])
            if i % flush == 0:
                writer.flush()
    store = FeatureStore(root)
    ids = [store.ids[k % len(store)] for k in order]
    assert_equal(store.gather(store.rows(ids)), naive(added, ids))


def test_shard_opens_with_the_safetensors_library(tmp_path):
    added = fill(str(tmp_path), ["a", "b", "c"], flush_every=9)
    (path,) = shard_files(tmp_path)
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["ids"]) == ["a", "b", "c"]
        np.testing.assert_array_equal(file.get_tensor("audio"), np.concatenate([added["a"][0][0], added["b"][0][0]]))
        np.testing.assert_array_equal(file.get_tensor("audio_offsets"), [0, 3, 7, 7])
        np.testing.assert_array_equal(file.get_tensor("visual_time"), np.concatenate([added[i][1][1] for i in "abc"]))


def test_float16_halves_the_file_and_falls_back_when_values_exceed_its_range(tmp_path):
    value, time = np.full((50, 8), 1.5), np.arange(50)
    with StoreWriter(str(tmp_path), spec=SPEC, dtype="float16") as writer:
        writer.add("half", audio=value, audio_time=time)
        writer.flush()
        writer.add("wide", audio=value * 1e5, audio_time=time)
    half, wide = (safe_open(path, framework="np").get_tensor("audio").dtype for path in shard_files(tmp_path))
    assert (half, wide) == (np.float16, np.float32)
    store = FeatureStore(str(tmp_path))
    got = store.gather(store.rows(["wide", "half"]))
    assert got.audio.dtype == torch.float32
    assert (got.audio[0] == 1.5e5).all()
    assert (got.audio[1] == 1.5).all()


@pytest.mark.parametrize("where", ["local", "memory"])
def test_opening_reads_no_shard(tmp_path, where, monkeypatch):
    root = str(tmp_path) if where == "local" else f"memory://{uuid.uuid4()}"
    fill(root, ["a", "b", "c"], dims=(5, 7))
    touched = []
    for name in ("read", "ranges", "size"):
        original = getattr(Place, name)
        monkeypatch.setattr(
            Place, name, lambda self, file, *rest, _o=original: (touched.append(file), _o(self, file, *rest))[1]
        )
    store = FeatureStore(root)
    assert store.dims == (5, 7)
    assert len(store) == 3
    assert not [file for file in touched if "shards" in file]
    store.gather([0])
    assert [file for file in touched if "shards" in file]


def test_failed_clips_keep_their_status_and_hold_no_data(tmp_path):
    with StoreWriter(str(tmp_path), spec=SPEC) as writer:
        writer.add("bad", status="error: not a video", source="x/bad.mp4")
    assert not (tmp_path / "shards").exists()
    store = FeatureStore(str(tmp_path))
    assert store.ids == []
    assert store.dims == (0, 0)
    assert store.status == {"bad": "error: not a video"}
    assert store.failures() == [("bad", "x/bad.mp4", "error: not a video")]
    with pytest.raises(ValueError, match=r"'bad' has no features.*failed \(error: not a video\)"):
        store.rows(["bad"])
    with pytest.raises(ValueError, match=r"'other' has no features.*never extracted"):
        store.rows(["other"])
    assert store.gather([]).audio.shape == (0, 1, 0)


@pytest.mark.parametrize("rows", [[3], [-1], [0, 99]])
def test_rows_outside_the_store_are_refused(tmp_path, rows):
    fill(str(tmp_path), ["a", "b", "c"])
    with pytest.raises(ValueError, match="store with 3 clips"):
        FeatureStore(str(tmp_path)).gather(rows)


def test_a_repeated_clip_counts_as_last_written(tmp_path):
    """Also where the last one has no features: those that were there before are of another file, or were damaged."""
    root, one = str(tmp_path), np.ones((2, 5), np.float32)
    for worker, value, status in [("z", 1, "ok"), ("m", 2, "ok"), ("a", None, "error: too slow"), ("b", 3, "ok")]:
        with StoreWriter(root, spec=SPEC, worker=worker) as writer:
            data = {} if value is None else {"audio": one * value, "audio_time": [0, 1]}
            writer.add("clip", status=status, **data)
        store = FeatureStore(root)
        assert store.status == {"clip": status}
        assert [int(store.gather([i]).audio[0, 0, 0]) for i in range(len(store))] == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": np.array([[0.0, np.nan]])}, r"'x'.*audio.*NaN"),
        ({"audio": np.array([[0.0, np.inf]])}, r"'x'.*audio.*infinity"),
        ({"audio": np.array([[1e39, 0.0]])}, r"'x'.*audio.*infinity"),
        ({"audio_time": np.array([np.nan])}, r"'x'.*NaN"),
        ({"audio": np.zeros(2)}, r"'x'.*shape \(2,\); expected \[time, 2\]"),
        ({"audio": np.zeros((1, 3))}, r"'x'.*shape \(1, 3\); expected \[time, 2\]"),
        ({"audio_time": np.zeros(2)}, r"'x'.*audio_time has shape \(2,\); expected \[1\]"),
        ({"audio_time": None}, r"'x'.*audio_time has shape \(0,\)"),
        ({"id": ""}, "Clip id is ''"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_bad_clip_is_refused_and_leaves_no_trace(tmp_path, change, message):
    good = {"audio": np.zeros((1, 2)), "audio_time": np.zeros(1)}
    with StoreWriter(str(tmp_path), spec=SPEC) as writer:
        writer.add("first", **good)
        with pytest.raises(ValueError, match=message):
            writer.add(**{"id": "x", **good, **change})
        assert writer.pending == 1
    assert FeatureStore(str(tmp_path)).ids == ["first"]


def test_other_settings_are_refused_naming_what_differs(tmp_path):
    fill(str(tmp_path), ["a"])
    other = {"audio": {"name": "logmel", "hop": 0.04}, "visual": SPEC["visual"]}
    with pytest.raises(ValueError, match=r"audio\.hop is 0\.02 there and 0\.04 here; use the same"):
        StoreWriter(str(tmp_path), spec=other)
    with pytest.raises(ValueError, match="holds float32, not float16"):
        StoreWriter(str(tmp_path), spec=SPEC, dtype="float16")
    with pytest.raises(ValueError, match="not plain JSON"):
        StoreWriter(str(tmp_path / "new"), spec={"f": object()})
    StoreWriter(str(tmp_path), spec={"visual": {"size": (48, 64), "name": "pixels"}, "audio": SPEC["audio"]})


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a feature store.*avshot extract"):
        FeatureStore(str(tmp_path))
    fill(str(tmp_path), ["a"])
    about = json.loads((tmp_path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(ValueError, match="format 99"):
        FeatureStore(str(tmp_path))
    for bad in ({"worker": "a/b"}, {"dtype": "int8"}):
        with pytest.raises(ValueError, match="expected"):
            StoreWriter(str(tmp_path), spec=SPEC, **bad)


@pytest.mark.parametrize("keep", [0, 5, 40, -300, -1])
def test_a_truncated_shard_is_refused_by_name_and_the_others_still_read(tmp_path, keep):
    added = fill(str(tmp_path), list("abcd"))
    path = shard_files(tmp_path)[1]
    path.write_bytes(path.read_bytes()[:keep])
    store = FeatureStore(str(tmp_path))
    assert_equal(store.gather(store.rows(["b", "a"])), naive(added, ["b", "a"]))
    with pytest.raises(ValueError, match=rf"{path.name} is truncated.*run the same extraction again"):
        store.gather(store.rows(["a", "c"]))
    assert list(store.damaged().values()) == [["c", "d"]]


def test_other_damage_is_refused(tmp_path):
    fill(str(tmp_path), list("abcdef"))
    first, second, third = shard_files(tmp_path)
    first.write_bytes(b"\xff" * 400)
    second.unlink()
    data = bytearray(third.read_bytes())
    data[-1] ^= 1
    third.write_bytes(data)
    store = FeatureStore(str(tmp_path))
    for id, what in [("a", "is damaged"), ("c", "is missing")]:
        with pytest.raises(ValueError, match=what):
            store.gather(store.rows([id]))
    assert list(store.damaged().values()) == [["a", "b"], ["c", "d"]]
    assert "checksum" in list(store.damaged(deep=True))[2]


KILLED = """
import os, sys, numpy as np
from avshot.features.store.place import Place
from avshot.features.store.store import StoreWriter
writer = StoreWriter(sys.argv[1], spec={"audio": 1}, worker="w")
writer.add("safe", audio=np.ones((2, 3)), audio_time=[0, 1])
writer.flush()
def die(self, name, data):
    with open(self.path(name), "ab") as file:
        file.write(data[: int(sys.argv[2])])
    os.kill(os.getpid(), 9)
Place.append = die
writer.add("lost", audio=np.ones((2, 3)), audio_time=[0, 1])
writer.flush()
"""


@pytest.mark.parametrize("written", [0, 30])
def test_a_kill_between_shard_and_manifest_loses_only_the_unconfirmed_clips(tmp_path, written):
    root = str(tmp_path)
    result = subprocess.run([sys.executable, "-c", KILLED, root, str(written)], check=False)
    assert result.returncode == -9
    assert len(shard_files(tmp_path)) == 2
    assert FeatureStore(root).ids == ["safe"]
    with StoreWriter(root, spec={"audio": 1}, worker="w") as writer:  # the same worker name comes back
        writer.add("lost", audio=np.full((2, 3), 4.0), audio_time=[0, 1])
    store = FeatureStore(root)
    assert store.ids == ["lost", "safe"]
    assert store.gather([0, 1]).audio[:, 0, 0].tolist() == [4.0, 1.0]
    assert store.damaged(deep=True) == {}


def _write(root, worker, ids):
    fill(root, ids, worker=worker, seed=int(ids[0][1:]))


def test_three_processes_write_at_once_two_of_them_under_one_name(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    parts = {0: [f"c{i}" for i in range(40)], 40: [f"c{i}" for i in range(40, 80)], 80: ["c80", "c81"]}
    names = ["same", "same", "other"]
    jobs = [
        spawn.Process(target=_write, args=(str(tmp_path), n, part))
        for n, part in zip(names, parts.values(), strict=True)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    reference = {}
    for seed, part in parts.items():
        reference |= fill(str(tmp_path / "reference"), part, seed=seed)
    store = FeatureStore(str(tmp_path))
    assert store.ids == sorted(reference)
    assert_equal(store.gather(range(82)), naive(reference, store.ids))


class _Batches:
    def __init__(self, store):
        self.store = store

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return os.getpid(), self.store.gather([i]).audio


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_works_inside_dataloader_workers(tmp_path, context):
    added = fill(str(tmp_path), list("abcd"))
    store = FeatureStore(str(tmp_path))
    store.gather([0, 3])  # shards open in the parent
    loader = DataLoader(_Batches(store), batch_size=None, num_workers=2, multiprocessing_context=context)
    got = list(loader)
    assert os.getpid() not in {pid for pid, _ in got}
    for (_, audio), id in zip(got, "abcd", strict=True):
        torch.testing.assert_close(audio, naive(added, [id]).audio)


def test_pickles_small_and_reads_after(tmp_path):
    added = fill(str(tmp_path), list("abcd"))
    store = FeatureStore(str(tmp_path))
    store.gather([0])
    data = pickle.dumps(store)
    assert len(data) < 4000
    copy = pickle.loads(data)
    assert copy.damaged(deep=True) == {}
    assert_equal(copy.gather([3, 1]), naive(added, ["d", "b"]))


def test_ids_and_sources_of_any_characters(tmp_path):
    odd = 'a b/"ü"\n\u2028\udc80'  # the last is how Python shows an undecodable byte of a file name
    with StoreWriter(str(tmp_path), spec=SPEC) as writer:
        writer.add(odd, audio=np.ones((1, 2)), audio_time=[0], source=odd)
        writer.add("bad", status="error: x", source=odd)
    store = FeatureStore(str(tmp_path))
    assert store.ids == [odd]
    assert store.failures() == [("bad", odd, "error: x")]


def test_foreign_lines_and_a_broken_description_are_named(tmp_path):
    fill(str(tmp_path), ["a"])
    with (tmp_path / "manifest" / "0.jsonl").open("a") as file:
        file.write('{"id": "b"}\n')
    with pytest.raises(ValueError, match=r"0\.jsonl line 2 is damaged.*run the same extraction again"):
        FeatureStore(str(tmp_path))
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(ValueError, match=r"store\.json cannot be read"):
        FeatureStore(str(tmp_path))


def test_memory_stays_flat_as_the_store_grows(tmp_path):
    """Reading random batches from a store four times as large allocates no more; both far exceed what is allocated."""
    peaks, time, dim = [], 40, 128
    for clips in (200, 800):
        root = str(tmp_path / str(clips))
        with StoreWriter(root, spec=SPEC, shard_bytes=1 << 20) as writer:
            for i in range(clips):
                writer.add(f"c{i}", audio=np.full((time, dim), i, np.float32), audio_time=np.arange(time))
        stored = sum(path.stat().st_size for path in shard_files(tmp_path / str(clips)))
        assert stored > clips * time * dim * 4
        store, rng = FeatureStore(root, open_shards=4), np.random.default_rng(0)
        store.gather([0])
        tracemalloc.start()
        for _ in range(20):
            batch = store.gather(rng.integers(len(store), size=16))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert batch.audio.shape == (16, time, dim)
        assert len(store._shards) == 4
    batch_bytes = 16 * time * dim * 4
    assert peaks[1] < 4 * batch_bytes < 800 * time * dim
    assert peaks[1] < 1.3 * peaks[0]


def test_a_writer_holds_no_more_than_a_shard(tmp_path):
    clip = np.zeros((100, 256), np.float32)
    writer = StoreWriter(str(tmp_path), spec=SPEC, shard_bytes=1 << 20)
    tracemalloc.start()
    for i in range(100):
        writer.add(f"c{i}", audio=clip, audio_time=np.arange(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.flush()
    assert peak < 2 << 20
    assert len(FeatureStore(str(tmp_path))) == 100
    assert len(shard_files(tmp_path)) == 10


def as_version_1(root):
    """Turn a store into what avshot 0.1 wrote: no digests of lines, headers and clips, no spans and files."""
    about = json.loads((root / "store.json").read_text())
    del about["digest"]
    (root / "store.json").write_text(json.dumps({**about, "version": 1}))
    for path in (root / "manifest").iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept = ("id", "status", "source", "audio", "visual", "shard", "time")
        path.write_text("".join(json.dumps({key: row[key] for key in kept}) + "\n" for row in rows))
    for path in shard_files(root):
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        del header["__metadata__"]["header"]
        header["__metadata__"]["format"] = "avshot-features-1"
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_stores_of_avshot_0_1_still_read_and_are_filled_further(tmp_path):
    added = fill(str(tmp_path), list("abcd"))
    as_version_1(tmp_path)
    with (tmp_path / "manifest" / "0.jsonl").open("a") as file:
        file.write('{"id": "half a li\n')  # as a killed writer of 0.1 left it, once another had gone on
    added |= fill(str(tmp_path), list("ef"), worker="new", seed=5)
    store = FeatureStore(str(tmp_path))
    assert store.version == 1
    assert_equal(store.gather(range(6)), naive(added, list("abcdef")))
    before = store.content(list("abcd"))
    assert before == store.content(list("abcd"))
    first = shard_files(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    with pytest.raises(ValueError, match="its checksum is wrong"):
        FeatureStore(str(tmp_path)).gather([0])


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_changed_byte_of_a_shard_goes_unnoticed(tmp_path, where, dtype):
    """Every byte, header included: reading gives what was written, or a sentence."""
    root = str(tmp_path) if where == "local" else f"memory://{uuid.uuid4()}/s"
    added = fill(root, ["a", "b"], flush_every=9, dtype=dtype)
    place = Place(root)
    (name,) = place.names("shards")
    data = place.read(name)
    (length,) = struct.unpack("<Q", data[:8])
    begin = json.loads(data[8 : 8 + length])["audio_time"]["data_offsets"][0] + 8 + length
    noticed = 0
    good = naive(added, ["a", "b"]) if dtype == "float32" else FeatureStore(root).gather([0, 1])
    for at in [*range(0, begin, 7), *range(begin, len(data), 3)]:
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        place.publish(name, [bytes(changed)])
        found = complaint(lambda: assert_equal(FeatureStore(root).gather([0, 1]), good))
        if found:
            assert "run the same extraction again" in found, at
            noticed += 1
        else:
            assert at < begin, f"byte {at} of the features"  # offsets and spaces of the header, which gather leaves
    assert noticed > (len(data) - begin) // 3
    place.publish(name, [data])
    assert FeatureStore(root).damaged(deep=True) == {}


def test_a_changed_value_is_named_by_clip_and_the_others_still_read(tmp_path):
    added = fill(str(tmp_path), ["a", "b"], flush_every=9)
    (path,) = shard_files(tmp_path)
    data = bytearray(path.read_bytes())
    wanted = added["b"][0][0].tobytes()  # the audio values of b, wherever they lie
    data[data.index(wanted) + 3] ^= 0x40
    path.write_bytes(data)
    store = FeatureStore(str(tmp_path))
    assert_equal(store.gather([0]), naive(added, ["a"]))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"the audio features of clip 'b' were changed"):
            store.gather([0, 1])
    assert list(FeatureStore(str(tmp_path)).broken(["a", "b", "unknown"])) == ["b"]


ODD = [None, -1, 10**12, 10**400, 1e308, float("nan"), "x", "", [], {}, True, [[]], "../../etc/passwd", 3.7]


def assert_reads(root, added, key):
    store = FeatureStore(str(root))
    if store.ids == ["a", "b", "c"] and key not in ("audio", "visual"):
        assert_equal(store.gather(range(3)), naive(added, store.ids))


@pytest.mark.parametrize("version", [1, 2])
def test_any_edit_of_store_json_and_manifest_is_a_sentence_or_has_no_effect(tmp_path, version):
    added = fill(str(tmp_path), ["a", "b", "c"])
    if version == 1:
        as_version_1(tmp_path)
    fields = 0
    for path in (tmp_path / "store.json", tmp_path / "manifest" / "0.jsonl"):
        text = path.read_text()
        head, rest = (text, "") if path.suffix == ".json" else text.split("\n", 1)
        for key in json.loads(head):
            for odd in ODD:
                content = json.loads(head)
                if odd == "x":
                    del content[key]
                else:
                    content[key] = odd
                path.write_text(f"{json.dumps(content)}\n{rest}")
                if content == json.loads(head):
                    continue
                fields += 1
                found = complaint(assert_reads, tmp_path, added, key)
                assert str(tmp_path) in found if found else version == 1, (key, odd)
        path.write_text(text)
    assert fields > 150


@pytest.mark.parametrize("text", ["[" * 100000, '{"a": ' * 100000, "[1]", "null", '"x"', "1" * 5000, "\udc80", ""])
def test_no_store_json_makes_a_traceback(tmp_path, text):
    (tmp_path / "store.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    for work in (lambda: FeatureStore(str(tmp_path)), lambda: StoreWriter(str(tmp_path), spec=SPEC)):
        with pytest.raises(ValueError, match=r"store\.json cannot be read"):
            work()


def test_a_store_json_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "store.json").mkdir()
    with pytest.raises(ValueError, match=r"store\.json is there and is no file"):
        StoreWriter(str(tmp_path), spec=SPEC)


@pytest.mark.parametrize("at", ["middle", "end", "seal"])
def test_a_line_cut_off_at_the_end_is_passed_over_and_one_in_the_middle_is_not(tmp_path, at):
    added = fill(str(tmp_path), list("abc"))
    path = tmp_path / "manifest" / "0.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if at == "middle":
        path.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
        with pytest.raises(ValueError, match=r"0\.jsonl line 2 is damaged.*run the same extraction again"):
            FeatureStore(str(tmp_path))
        return
    path.write_bytes(b"".join(lines)[: -60 if at == "end" else -7])
    assert FeatureStore(str(tmp_path)).ids == ["a", "b"]
    added |= fill(str(tmp_path), ["d"])  # another writer of the same name goes on after it
    assert FeatureStore(str(tmp_path)).ids == ["a", "b", "d"]


def test_content_depends_on_values_alone(tmp_path):
    def content(name, order, *, change=None, **options):
        rng = np.random.default_rng(0)
        clips = {id: (*sequence(rng, 3, 5), *sequence(rng, 2, 7)) for id in "abcd"}
        if change is not None:
            change(clips)
        for worker, part in enumerate(order):
            with StoreWriter(str(tmp_path / name), spec=SPEC, worker=str(worker), **options) as writer:
                for id in part:
                    audio, audio_time, visual, visual_time = clips[id]
                    writer.add(id, audio=audio, audio_time=audio_time, visual=visual, visual_time=visual_time)
        return FeatureStore(str(tmp_path / name)).content()

    def nudge(part):
        def change(clips):
            clips["c"][part].reshape(-1)[1] += np.float32(1e-6)

        return change

    found = content("one", ["abcd"])
    assert content("other", ["db", "ca"], shard_bytes=1) == found
    others = [content(f"nudged{part}", ["abcd"], change=nudge(part)) for part in range(4)]
    others.append(content("fewer", ["abc"]))
    others.append(
        content("shorter", ["abcd"], change=lambda c: c.update(a=(c["a"][0][:2], c["a"][1][:2], *c["a"][2:])))
    )
    others.append(content("swapped", ["abcd"], change=lambda c: c.update(a=c["b"], b=c["a"])))
    assert len({found, *others}) == len(others) + 1
    store = FeatureStore(str(tmp_path / "one"))
    assert store.content("ab") == FeatureStore(str(tmp_path / "fewer")).content("ab") != found
    left = store.without({"a": "of another span"})
    assert (left.ids, left.status["a"], left.content("b")) == (
        ["b", "c", "d"],
        "error: of another span",
        store.content("b"),
    )
    assert_equal(left.gather([0]), store.gather([1]))


def test_what_float16_keeps_does_not_depend_on_the_neighbours(tmp_path):
    rng = np.random.default_rng(0)
    value, time = rng.normal(size=(4, 8)).astype(np.float32), np.arange(4)
    for name, other in (("mild", 1.0), ("wide", 1e6)):
        with StoreWriter(str(tmp_path / name), spec=SPEC, dtype="float16") as writer:
            writer.add("a", audio=value, audio_time=time)
            writer.add("b", audio=value * other, audio_time=time)
    mild, wide = (FeatureStore(str(tmp_path / name)) for name in ("mild", "wide"))
    torch.testing.assert_close(mild.gather([0]).audio, wide.gather([0]).audio, rtol=0, atol=0)
    assert mild.content("a") == wide.content("a")


def test_the_next_holder_tidies_what_killed_writers_left_and_nothing_else(tmp_path):
    root = str(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED, root, "0"], check=False)
    for name in ("shards/x.safetensors.1234.tmp", "manifest/m.jsonl.12.tmp", "store.json.ab.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "shards" / "fresh.safetensors").touch()  # a name that a writer has just reserved
    place = Place(root)
    with place.publish_new(iter(["shards/busy.safetensors"]), [b"not yet in any manifest"]):
        removed = place.tidy({"shards/w-00000.safetensors"}, lambda: {"shards/w-00000.safetensors"})
    assert removed == 4
    found = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["busy.safetensors", "fresh.safetensors", "store.json", "w-00000.safetensors", "w.jsonl"]
