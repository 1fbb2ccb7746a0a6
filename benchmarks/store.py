"""A batch of 64 random clips from the feature store against a plain copy of as much memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from measure import interleaved, keep, with_peak_memory

from avshot.tables import print_table


def _store(clips: int, folder: str) -> dict[str, float]:
    import torch

    from avshot.features.store import FeatureStore, StoreWriter

    rng = np.random.default_rng(0)
    with StoreWriter(folder, spec={"made": "for the benchmark"}, dtype="float16", dims=(128, 512)) as writer:
        for i in range(clips):
            time_a, time_v = rng.integers(10, 60, 2)
            audio, visual = (torch.randn(int(t), d) for t, d in ((time_a, 128), (time_v, 512)))
            times = (torch.arange(float(time_a)), torch.arange(float(time_v)))
            writer.add(f"clip{i}", audio=audio, audio_time=times[0], visual=visual, visual_time=times[1])
    store = FeatureStore(folder)
    batches = [rng.integers(0, clips, 64) for _ in range(20)]
    size = int(np.mean([store.gather(rows).visual.numel() for rows in batches[:3]])) + 1
    block = torch.zeros(size)
    works = {
        "open": lambda: FeatureStore(folder),
        "gather": lambda: [store.gather(rows) for rows in batches],
        "copy": lambda: [block.clone() for _ in batches],
    }
    seconds = interleaved(works)
    return {"open": seconds["open"], "gather": seconds["gather"] / 20, "copy": seconds["copy"] / 20}


def run() -> None:
    """Table over growing stores: opening, gathering 64 random clips, copying as much memory; peak memory."""
    rows, record = [], {}
    for clips in (1000, 5000, 20000):
        with tempfile.TemporaryDirectory() as folder:
            seconds, memory = with_peak_memory(_store, clips, folder)
            size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 1e6
        rows.append([f"{clips} clips", f"{size:.0f}", *(f"{1000 * seconds[k]:.2f}" for k in seconds), f"{memory:.0f}"])
        record[str(clips)] = {"mb": size, "seconds": seconds, "peak_mb": memory}
    head = ["store", "size MB", "open ms", "gather 64 ms", "copy as much ms", "peak MB (writing included)"]
    print_table("feature store: fp16, 10 to 60 steps per clip", head, rows)
    keep("store", record)
