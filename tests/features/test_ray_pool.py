"""Extraction through Ray: the store, the outcomes and the errors of the plain path."""

import os
import sys
from pathlib import Path

import pytest
from test_extract import Broken, Colour, Loudness, assert_same_store, bad, clips, rows_written, video

from avshot.features.extract import ExtractConfig, extract
from avshot.types import Clip

__all__ = ["bad", "clips"]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of Ray about itself

FAST = {"audio": Loudness(), "visual": Colour(dangerous=True)}


def test_without_ray_one_sentence_says_what_to_install(tmp_path, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ValueError, match=r'pip install "avshot\[ray\]"'):
        extract(clips, str(tmp_path), runner="ray", **FAST)


def test_wrong_runners_are_refused(tmp_path, clips):
    with pytest.raises(ValueError, match="runner is 'dask'; expected one of local, ray"):
        extract(clips, str(tmp_path), runner="dask", **FAST)
    with pytest.raises(ValueError, match="lives in this process alone"):
        extract(clips, "memory://ray/none", runner="ray", workers=1, **FAST)


@pytest.mark.slow
def test_ray_gives_the_store_of_the_plain_path(tmp_path, clips, bad, monkeypatch, request):
    """Bad files and one that kills its process included; then again, where it was; then an extractor that cannot."""
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where its tasks find the extractors of the tests
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    request.addfinalizer(ray.shutdown)
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False)
    monkeypatch.chdir(tmp_path)  # a relative store means the same in every task
    every, seen = [*clips[:4], Clip("red", video(tmp_path / "red.mp4", (255, 0, 0))), *bad, *clips[4:]], []
    options = {**FAST, "workers": 2}
    first = extract(every[:3], "ray", runner="ray", **options)
    assert (first.done, first.kept) == (3, 0)
    second = extract(every, "ray", runner="ray", progress=lambda *n: seen.append(n), **options)
    plain = extract(every, "plain", **options)
    assert (second.done, second.kept) == (plain.done - 3, 3)
    assert (second.failed, second.partial) == (plain.failed, plain.partial)
    assert "process died 2 times" in {id: status for id, _, status in second.failed}["red"]
    assert_same_store("ray", "plain")
    assert sorted(rows_written("ray")) == sorted(clip.id for clip in every), "each clip is described once"
    assert seen[0] == (3, len(every))
    assert seen[-1] == (len(every), len(every))
    with pytest.raises(RuntimeError, match="no such checkpoint: nowhere/nothing"):
        extract(every[:1], "broken", audio=Broken(), visual=None, runner="ray", workers=1)
    assert rows_written("broken") == []
    assert ray.is_initialized(), "a Ray that was there before is left running"


@pytest.mark.slow
def test_ray_describes_parts_of_many_clips(tmp_path, clips, monkeypatch):
    """More than one part; float16; the built-in extractors; a Ray of its own, which is gone afterwards."""
    ray = pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    many = [Clip(f"{clip.id}-{i}", clip.path) for i in range(4) for clip in clips]
    config = ExtractConfig(dtype="float16")
    result = extract(many, str(tmp_path / "ray"), runner="ray", workers=1, config=config)
    assert result.done == len(many)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray.is_initialized()
    extract(many, str(tmp_path / "plain"), workers=1, config=config)
    assert_same_store(tmp_path / "ray", tmp_path / "plain")
