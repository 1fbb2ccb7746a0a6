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

import avshot.bench.sweep as grid
from avshot.bench.sweep import train_all
from avshot.data.dataset import MemoryFeatures
from avshot.data.mapped import shared_averages
from avshot.experiment import Experiment
from avshot.run import load_run
from avshot.types import Features
from synthetic import synthetic_dataset

FIELDS = ("audio", "visual", "audio_mask", "visual_mask", "audio_time", "visual_time")


def with_gaps(**options):
    """The synthetic clips, some without sound, some without picture, with values under the masks."""
    dataset = synthetic_dataset(**options)
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
        again = pickle.loads(pickle.dumps(shared))
        got, wanted = again.gather(rows), expected.gather(rows)
        assert all(torch.equal(getattr(got, name), getattr(wanted, name)) for name in FIELDS)
        assert all(getattr(got, name).dtype == getattr(wanted, name).dtype for name in FIELDS)
        assert again.fingerprint() == expected.fingerprint()
        assert again.features.dims == expected.features.dims
        assert again.averaged is again


def test_they_are_mapped_and_nothing_else_of_the_features_travels(tmp_path):
    large = with_gaps(time=50)
    large.averaged.gather([0])  # what a process holds already stays there
    with shared_averages(large, tmp_path) as shared:
        sent = pickle.dumps(shared)
        assert len(sent) < large.features.features.visual.nbytes / 10
        again = pickle.loads(sent)
        again.gather(np.arange(100))
        assert len(maps_of_this_process(again.features.folder / "visual")) == 1
        assert len(pickle.dumps(again)) < len(sent) + 2000  # nor what it has mapped (the rest: indices of clips)


def test_clips_without_features_stay_known(tmp_path):
    whole = synthetic_dataset()
    fewer = MemoryFeatures(whole.features.ids[1:], whole.features.features[1:], whole.features.spec)
    dataset = replace(whole, features=fewer)
    assert dataset.missing == (("clip000", "not extracted"),)
    with shared_averages(dataset, tmp_path) as shared:
        again = pickle.loads(pickle.dumps(shared))
        assert again.missing == dataset.missing
        assert again.warnings() == dataset.averaged.warnings()
        assert all(np.array_equal(again.folds[name], dataset.folds[name]) for name in dataset.folds)


def test_whoever_writes_into_them_changes_nobody_else(tmp_path):
    with shared_averages(with_gaps(), tmp_path) as shared:
        one, two = (pickle.loads(pickle.dumps(shared)) for _ in range(2))
        before = two.gather([4]).visual.clone()
        one.features._kept.visual.zero_()
        assert torch.equal(two.gather([4]).visual, before)
        assert before.abs().sum() > 0


def test_the_file_goes_with_the_block_also_after_an_error(tmp_path):
    def use():
        with shared_averages(with_gaps(), tmp_path / "runs") as shared:
            assert shared.features.folder.parent == tmp_path / "runs"
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


def test_without_room_each_process_averages_for_itself(tmp_path):
    said = []
    (tmp_path / "file").write_text("")
    with shared_averages(with_gaps(), tmp_path / "file", said.append) as shared:
        assert shared is None
    assert "each process keeps its own" in said[0]


def test_a_modality_that_no_clip_has(tmp_path):
    ids = ["a", "b"]
    real = torch.ones(2, 1, dtype=torch.bool)
    features = Features(torch.zeros(2, 1, 0), torch.randn(2, 1, 3), ~real, real, torch.zeros(2, 1), torch.zeros(2, 1))
    dataset = replace(synthetic_dataset(), features=MemoryFeatures(ids, features))
    with shared_averages(dataset, tmp_path) as shared:
        got = shared.features.gather([1, 0])
    assert torch.equal(got.visual, features.visual[[1, 0]])
    assert got.dims == (0, 3)
    assert not got.has_audio.any()


def test_several_jobs_train_on_one_copy_and_end_in_the_same_runs(tmp_path, monkeypatch):
    recipe = {"epochs": 1, "batches_per_epoch": 2, "passes_per_epoch": 0, "batch_size": 8}
    experiments = [Experiment(dataset="made", method="devise", seed=seed, recipe=recipe) for seed in (0, 1)]
    apart = {tmp_path / "apart" / str(e.seed): e for e in experiments}
    assert train_all(apart, with_gaps(), 1) == {}
    made, sent = [], []

    def watched(dataset, beside, say):
        made.append(beside)
        return shared_averages(dataset, beside, say)

    class Threads(ThreadPoolExecutor):  # in place of the processes, which tests/cli/test_cli.py starts
        def __init__(self, workers, mp_context, initializer, initargs):
            sent.extend(initargs)
            monkeypatch.setattr(grid, "_averaged", pickle.loads(pickle.dumps(initargs[0])))
            super().__init__(1)

    monkeypatch.setattr(grid, "shared_averages", watched)
    monkeypatch.setattr(grid, "_load", lambda spec: pytest.fail("the dataset was opened again"))
    monkeypatch.setattr(grid, "ProcessPoolExecutor", Threads)
    together = {tmp_path / "together" / str(e.seed): e for e in experiments}
    assert train_all(together, with_gaps(), 2) == {}
    assert made == [tmp_path / "together"]
    for one, two in zip(apart, together, strict=True):
        assert load_run(one).metrics == load_run(two).metrics
        assert load_run(one).info["data"] == load_run(two).info["data"]
        assert (one / "familiar.safetensors").read_bytes() == (two / "familiar.safetensors").read_bytes()
    assert sorted(path.name for path in (tmp_path / "together").iterdir()) == ["0", "1"]
    assert train_all(together, with_gaps(), 2) == {}
    assert len(made) == len(sent) - 1 == 1  # finished Runs need neither averages nor processes


def test_who_reads_sequences_or_adds_noise_opens_the_dataset(monkeypatch):
    opened, shared = object(), object()
    monkeypatch.setattr(grid, "_load", lambda spec: opened)
    averages, steps = (Experiment(dataset="made", method=method) for method in ("devise", "gru"))
    noisy = Experiment(dataset="made", method="devise", audio_noise=0.5)
    assert [grid._opened(e, shared) for e in (averages, steps, noisy)] == [shared, opened, opened]
    assert grid._opened(averages, None) is opened
