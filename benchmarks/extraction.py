"""Clips per second of the built-in features against bare decoding of the same files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from measure import interleaved, keep, with_peak_memory

from avshot.tables import print_table


def _files() -> tuple[str, list[str]]:
    """The GRID clips where they are at hand, else rendered ones."""
    data = os.environ.get("AVSHOT_DATA")
    if data:
        return "GRID, 3 s of 360x288", sorted(map(str, Path(data, "grid", "clips").glob("*.mp4")))[:120]
    from avshot.data.world import render_world

    folder = Path(tempfile.mkdtemp(prefix="avshot-bench-"))
    render_world(folder, clips_per_class=5)
    return "rendered world", sorted(map(str, folder.rglob("*.mp4")))[:120]


def _decode(file: str) -> None:
    """Every frame and every sample, decoded and dropped: the least any extractor must do."""
    import av

    with av.open(file) as container:
        for packet in container.demux():
            packet.decode()


def _decode_all(files: list[str]) -> None:
    for file in files:
        _decode(file)


def _extract_all(files: list[str], workers: int = 1) -> None:
    from avshot.features.extract import extract
    from avshot.types import Clip

    with tempfile.TemporaryDirectory() as folder:
        extract([Clip(file, file) for file in files], folder, workers=workers)


def _extraction(files: list[str]) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    _extract_all(files[:2])  # imports and first calls are not what is measured
    _decode_all(files[:2])
    works = {"decoding": lambda: _decode_all(files), "extraction": lambda: _extract_all(files)}
    return {name: len(files) / seconds for name, seconds in interleaved(works).items()}


def run() -> None:
    """Table of clips per second, one process and one thread for both."""
    what, files = _files()
    rates, memory = with_peak_memory(_extraction, files)
    ratio = rates["extraction"] / rates["decoding"]
    rows = [
        ["bare decoding", f"{rates['decoding']:.1f}", "1.00", ""],
        ["logmel + pixels", f"{rates['extraction']:.1f}", f"{ratio:.2f}", f"{memory:.0f}"],
    ]
    print_table(f"extraction: {len(files)} clips ({what}), 1 process", ["work", "clips/s", "ratio", "peak MB"], rows)
    keep("extraction", {"clips": len(files), "what": what, "clips_per_s": rates, "ratio": ratio, "peak_mb": memory})
