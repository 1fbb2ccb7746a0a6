"""Averages in one file: the same numbers, mapped and not copied, gone afterwards, and refused where they do not fit."""

import os
import pickle
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import avshot.grid as grid
from avshot.data.dataset import MemoryFeatures
from avshot.data.shared import shared_averages
from avshot.grid import train_all
from avshot.run import Experiment, load_run
from avshot.types import Features
from synthetic import synthetic_dataset

FIELDS = ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time")


def with_gaps():
    """The synthetic clips, some without sound, some without picture, with values under the masks."""
    dataset = synthetic_dataset()
    features = dataset.features.features
    audio_mask, visual_mask = features.audio_mask.clone(), features.visual_mask.clone()
    audio_mask[::5], audio_mask[1::5, 1:], visual_mask[2::7] = False, False, False
    features = replace(features, audio_mask=audio_mask, visual_mask=visual_mask)
    return replace(dataset, features=MemoryFeatures(dataset.features.ids, features, dataset.features.spec))


def maps_of_this_process(path):
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if line.endswith(str(path))]


def test_the_mapped_averages_are_the_averages(tmp_path):
    expected = with_gaps().averaged
    rows = np.array([3, 3, 0, 5, 2, 119, 1])
    with shared_averages(with_gaps(), tmp_path) as shared:
        again = pickle.loads(pickle.dumps(shared)).lend(with_gaps())
        got, wanted = again.averaged.gather(rows), expected.gather(rows)
        assert all(torch.equal(getattr(got, name), getattr(wanted, name)) for name in FIELDS)
        assert all(getattr(got, name).dtype == getattr(wanted, name).dtype for name in FIELDS)
        assert again.averaged.fingerprint() == expected.fingerprint()
        assert again.averaged.features.dims == expected.features.dims
        assert again.averaged is again.averaged


def test_the_source_is_not_read_again_and_the_file_is_mapped(tmp_path, monkeypatch):
    with shared_averages(with_gaps(), tmp_path) as shared:
        monkeypatch.setattr(MemoryFeatures, "gather", lambda self, rows: pytest.fail("the source was read"))
        averaged = shared.lend(with_gaps()).averaged
        averaged.gather(np.arange(100))
        assert len(maps_of_this_process(shared.folder / "visual")) == 1
        assert len(pickle.dumps(shared)) < 500


def test_whoever_writes_into_them_changes_nobody_else(tmp_path):
    with shared_averages(with_gaps(), tmp_path) as shared:
        one, two = (shared.lend(with_gaps()).averaged for _ in range(2))
        before = two.gather([4]).visual.clone()
        one.features._kept.visual.zero_()
        assert torch.equal(two.gather([4]).visual, before)
        assert before.abs().sum() > 0


def test_features_of_another_dataset_are_not_taken(tmp_path):
    other = synthetic_dataset(seed=1)  # its spec differs
    with shared_averages(with_gaps(), tmp_path) as shared:
        assert shared.lend(other).averaged.features._given is None
        expected = synthetic_dataset(seed=1).averaged.gather([7]).visual
        assert torch.equal(other.averaged.gather([7]).visual, expected)


def test_the_file_goes_with_the_block_also_after_an_error(tmp_path):
    def use():
        with shared_averages(with_gaps(), tmp_path / "runs") as shared:
            assert shared.folder.parent == tmp_path / "runs"
            raise KeyError("stop")

    with pytest.raises(KeyError):
        use()
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_stays(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    names = [f".averages-{socket.gethostname()}-{int(dead.stdout)}", f".averages-{socket.gethostname()}-{os.getppid()}"]
    names.append(".averages-another-host-1")
    for name in names:
        (tmp_path / name).mkdir()
    with shared_averages(with_gaps(), tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_without_room_each_process_averages_for_itself(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with shared_averages(with_gaps(), tmp_path / "file") as shared:
        assert shared is None
    assert "each process keeps its own" in capsys.readouterr().err


def test_a_modality_that_no_clip_has(tmp_path):
    ids = ["a", "b"]
    real = torch.ones(2, 1, dtype=torch.bool)
    features = Features(torch.zeros(2, 1, 0), torch.randn(2, 1, 3), ~real, real, torch.zeros(2, 1), torch.zeros(2, 1))
    dataset = replace(synthetic_dataset(), features=MemoryFeatures(ids, features))
    with shared_averages(dataset, tmp_path) as shared:
        got = shared.lend(dataset).averaged.features.gather([1, 0])
    assert torch.equal(got.visual, features.visual[[1, 0]])
    assert got.dims == (0, 3)
    assert not got.has_audio.any()


def test_several_jobs_train_on_one_copy_and_end_in_the_same_runs(tmp_path, monkeypatch):
    recipe = {"epochs": 1, "batches_per_epoch": 2, "passes_per_epoch": 0, "batch_size": 8}
    experiments = [Experiment(dataset="made", method="devise", seed=seed, recipe=recipe) for seed in (0, 1)]
    apart = {tmp_path / "apart" / str(e.seed): e for e in experiments}
    assert train_all(apart, with_gaps(), 1) == {}
    made, opened = [], []

    def watched(dataset, beside):
        made.append(beside)
        return shared_averages(dataset, beside)

    def load(spec):
        opened.append(with_gaps())
        return opened[-1]

    monkeypatch.setattr(grid, "shared_averages", watched)
    monkeypatch.setattr(grid, "load_dataset", load)  # a thread stands for the processes, which tests/test_cli.py starts
    monkeypatch.setattr(grid, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    together = {tmp_path / "together" / str(e.seed): e for e in experiments}
    assert train_all(together, with_gaps(), 2) == {}
    grid._open.cache_clear()
    assert made == [tmp_path / "together"]
    assert [dataset.averaged.features._given is not None for dataset in opened] == [True]
    for one, two in zip(apart, together, strict=True):
        assert load_run(one).metrics == load_run(two).metrics
        assert (one / "familiar.safetensors").read_bytes() == (two / "familiar.safetensors").read_bytes()
    assert sorted(path.name for path in (tmp_path / "together").iterdir()) == ["0", "1"]
    assert train_all(together, with_gaps(), 2) == {}
    assert len(made) == 1  # finished Runs need no averages
    grid._open.cache_clear()
