"""Batches from the feature store beside a plain copy of as many bytes; gathering ahead; one copy for many processes."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from avshot.data.dataset import Dataset
    from avshot.training.clips import ClipSource

DIMS, STEPS, BATCH = (128, 512), (10, 60), 64
CLIPS = (1000, 5000, 20000)
LIGHT = {"devise": 60, "gru": 6}  # methods and steps of an epoch: the lighter the method, the more gathering counts
PROCESSES, SCALE = (1, 4), 0.25  # of VGGSound-GZSL (cls): 23,400 clips of 4,224 numbers
READS = ("nothing", "averages of its own", "one shared copy")


def run() -> None:
    """Three tables."""
    record = {"gather": _gathering(), "ahead": _ahead(), "shared": _sharing()}
    keep("store", record)


# --- gather ----------------------------------------------------------------------------------------------------------


def _gathering() -> dict[str, Any]:
    rows, record = [], {}
    for clips in [size // 10 for size in CLIPS[:2]] if options.quick else CLIPS:
        with tempfile.TemporaryDirectory() as folder:
            _write(folder, clips)
            (seconds, copied), memory = with_peak_memory(_gather, folder)
            size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 1e6
        gather, copy = seconds["gather"], seconds["copy"]
        cells = [f"{1000 * seconds['open']:.0f}", f"{1000 * gather:.2f}", f"{1000 * copy:.2f}", f"{gather / copy:.1f}"]
        rows.append([f"{clips} clips", f"{size:.0f}", *cells, f"{memory:.0f}"])
        record[str(clips)] = {"mb": size, "seconds": seconds, "copied_mb": copied, "peak_mb": memory}
    head = ["store", "size MB", "open ms", f"gather {BATCH} ms", "copy as much ms", "ratio", "peak MB"]
    print_table(f"feature store: float16, {STEPS[0]} to {STEPS[1]} steps of {DIMS[0]} + {DIMS[1]} numbers", head, rows)
    print(f"a batch is {copied:.1f} MB of float32; the copy writes to memory it had before")
    return record


def _write(folder: str, clips: int) -> None:
    from avshot.features.store.store import StoreWriter

    rng = np.random.default_rng(0)
    with StoreWriter(folder, spec={"made": "for the benchmark"}, dtype="float16", dims=DIMS) as writer:
        for i in range(clips):
            audio, visual = (rng.standard_normal((int(rng.integers(*STEPS)), dim), np.float32) for dim in DIMS)
            times = (np.arange(len(values), dtype=np.float32) for values in (audio, visual))
            writer.add(f"clip{i}", audio=audio, audio_time=next(times), visual=visual, visual_time=next(times))


def _gather(folder: str) -> tuple[dict[str, float], float]:
    """Seconds of opening, of a batch and of a copy of its bytes, and how many MB these are."""
    import torch

    from avshot.features.store.store import FeatureStore

    store, rng = FeatureStore(folder), np.random.default_rng(0)
    batches = [rng.integers(0, len(store), BATCH) for _ in range(20)]
    first = [store.gather(rows) for rows in batches]
    block = torch.zeros(int(np.mean([part.audio.numel() + part.visual.numel() for part in first])))
    del first
    works = {
        "open": lambda: FeatureStore(folder),
        "gather": lambda: [store.gather(rows) for rows in batches],
        "copy": lambda: [block.clone() for _ in batches],
    }
    seconds = interleaved(works, 5)
    return {
        name: value / (1 if name == "open" else len(batches)) for name, value in seconds.items()
    }, block.nbytes / 1e6


# --- gathering ahead -------------------------------------------------------------------------------------------------


def _ahead() -> dict[str, Any]:
    rows, record = [], {}
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, 200 if options.quick else 2000)
        for method, steps in LIGHT.items():
            seconds, _ = with_peak_memory(_train, folder, method, 2 if options.quick else steps)
            rate = {name: (2 if options.quick else steps) * BATCH / value for name, value in seconds.items()}
            gain = seconds["when asked for"] / seconds["one ahead"]
            rows.append([method, *(f"{rate[name]:.0f}" for name in ("when asked for", "one ahead")), f"{gain:.2f}"])
            record[method] = seconds
    head = ["method", "gathered when asked for, clips/s", "one batch ahead, clips/s", "ratio"]
    print_table(f"training on sequences of a store, batch {BATCH}", head, rows)
    print("devise stands for the least that a step can do; trained by avshot it reads averages, which need no thread")
    return record


def _train(folder: str, method: str, steps: int) -> dict[str, float]:
    import torch

    from avshot.method import Inputs, Recipe
    from avshot.registry import create_method
    from avshot.training.loop import train

    source = _source(folder)
    recipe = Recipe(epochs=1, batches_per_epoch=steps, passes_per_epoch=0, batch_size=BATCH)

    def once(waits: str) -> None:
        torch.manual_seed(0)
        model = create_method(method, Inputs.of(source.features(slice(0, 1)), source.classes))
        source.dataset.features.waits = waits  # type: ignore[union-attr]
        train(model, source, recipe, seed=0)

    once("network")
    return interleaved({"when asked for": lambda: once(""), "one ahead": lambda: once("network")}, 5)


def _source(folder: str) -> ClipSource:
    import torch

    from avshot.data.dataset import Dataset
    from avshot.features.store.store import FeatureStore
    from avshot.training.clips import ClipSource
    from avshot.types import Classes, Clip

    store, names = FeatureStore(folder), tuple(f"class {i}" for i in range(50))
    clips = tuple(Clip(id, label=names[i % len(names)]) for i, id in enumerate(store.ids))
    dataset = Dataset("made", clips, names, {"train": np.arange(len(clips))}, features=store)
    text = torch.randn(len(names), 300, generator=torch.Generator().manual_seed(0))
    return ClipSource(dataset, dataset.fold("train"), Classes(names, {"made": text}, torch.ones(len(names)).bool()))


# --- one copy for many processes -------------------------------------------------------------------------------------


def _sharing() -> dict[str, Any]:
    """Proportional set size, in which a page that n processes map counts 1/n in each of them."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("memory of several processes: this system does not say which pages they share")
        return {}
    rows, record = [], {}
    scale = 0.01 if options.quick else SCALE
    for count in PROCESSES[:2] if options.quick else PROCESSES:
        found = {reads: _summed_pss(count, reads, scale) for reads in READS}
        more = [found[reads] - found[READS[0]] for reads in READS[1:]]
        rows.append([count, *(f"{found[reads]:.0f}" for reads in READS), *(f"{value:.0f}" for value in more)])
        record[str(count)] = found
    head = ["processes", *(f"MB, {reads}" for reads in READS), "own averages add", "the shared copy adds"]
    print_table(f"memory of all processes together (summed PSS): {_size(scale):.0f} MB of averages", head, rows)
    return record


def _size(scale: float) -> float:
    from avshot.data.simulated.simulate import simulate

    source = simulate("vggsound-cls", scale=scale).features
    assert source is not None
    return len(source.ids) * sum(source.dims) * 4 / 1e6


def _summed_pss(count: int, reads: str, scale: float) -> float:
    """MB of `count` processes that have read all averages, and wait."""
    from avshot.data.mapped import shared_averages
    from avshot.data.simulated.simulate import simulate

    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        shares = reads == READS[2]
        with shared_averages(simulate("vggsound-cls", scale=scale), Path(folder)) if shares else nullcontext() as copy:
            pipes, processes = [], []
            for _ in range(count):
                here, there = context.Pipe()
                processes.append(context.Process(target=_reader, args=(there, reads, scale, copy), daemon=True))
                processes[-1].start()
                pipes.append(here)
            for pipe in pipes:
                pipe.recv()
            time.sleep(0.2)
            total = sum(_pss(process.pid) for process in processes)
            for pipe, process in zip(pipes, processes, strict=True):
                pipe.send("go")
                process.join()
    return total


def _reader(pipe: Any, reads: str, scale: float, copy: Dataset | None) -> None:
    import torch

    from avshot.data.simulated.simulate import simulate

    torch.set_num_threads(1)
    dataset = simulate("vggsound-cls", scale=scale) if copy is None else copy
    if reads == READS[0]:
        dataset.gather(np.arange(256))
    if reads != READS[0]:
        for start in range(0, len(dataset), 256):
            dataset.averaged.gather(np.arange(start, min(start + 256, len(dataset))))
    pipe.send("ready")
    pipe.recv()


def _pss(process: int | None) -> float:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
