"""Speed and memory of the line, as tables. `python benchmarks/run.py` runs all; name some to run only those.

extraction   clips per second of the built-in features against bare decoding of the same files
training     clips per second of each method that reads sequences, at the benchmarks' feature sizes
evaluation   the full beta grid on a simulated VGGSound-GZSL test set
store        a batch of 64 random clips from the feature store against a plain copy of as much memory
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

import numpy as np
from measure import interleaved, keep, machine, with_peak_memory

from avshot.tables import print_table

# --- extraction ------------------------------------------------------------------------------------------------------


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


def extraction() -> None:
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


# --- training --------------------------------------------------------------------------------------------------------


def _training(name: str, steps: int) -> float:
    """Clips per second of whole steps (gather, loss, backward, Adam) on simulated VGGSound-GZSL in one process."""
    import torch

    from avshot.data.simulate import simulate
    from avshot.method import Inputs, Recipe, create_method
    from avshot.train import ClipSource, train
    from avshot.types import Classes

    torch.manual_seed(0)
    dataset = simulate("vggsound-cls", temporal=True)
    names = dataset.classes_of("train")
    rows = torch.tensor([dataset.names.index(n) for n in names])
    text = {encoder: vectors[rows] for encoder, vectors in dataset.text.items()}
    classes = Classes(names, text, torch.ones(len(names), dtype=torch.bool))
    source = ClipSource(dataset, dataset.folds["train"], classes)
    model = create_method(name, Inputs.of(source.features(slice(0, 1)), classes), preset=_preset(name))
    recipe = Recipe(epochs=2, batches_per_epoch=steps, batch_size=64)
    train(model, source, recipe, seed=0, epochs=1)  # warm
    started = time.perf_counter()
    train(model, source, recipe, seed=1, epochs=1)
    return steps * 64 / (time.perf_counter() - started)


def _preset(name: str) -> str:
    from avshot.method import get_method

    return "vggsound-cls" if "vggsound-cls" in get_method(name).presets else "default"


def training() -> None:
    """Table of training clips per second and peak memory of the methods that read sequences (others: full_size.py)."""
    from avshot.method import get_method, list_methods

    rows, record = [], {}
    for name in [name for name in list_methods() if get_method(name).needs.temporal]:
        rate, memory = with_peak_memory(_training, name, 8)
        reads = "10 audio + 15 visual steps"
        rows.append([name, reads, _preset(name), f"{rate:.0f}", f"{memory:.0f}"])
        record[name] = {"clips_per_s": rate, "peak_mb": memory, "preset": _preset(name), "reads": reads}
    head = ["method", "reads", "preset", "clips/s", "peak MB"]
    print_table("training: simulated VGGSound-GZSL, batch 64, gathering included", head, rows)
    keep("training", {"methods": record})


# --- evaluation ------------------------------------------------------------------------------------------------------


def _evaluation(betas: int) -> dict[str, float]:
    import torch

    from avshot.metrics import exact_curve, grid_curve, gzsl_metrics

    generator = torch.Generator().manual_seed(0)
    seen = torch.arange(271) < 207
    labels = torch.cat(
        [torch.randint(207, (9032,), generator=generator), torch.randint(207, 271, (3200,), generator=generator)]
    )
    scores = torch.randn(len(labels), 271, generator=generator)
    grid = np.linspace(0, 3, betas)
    works = {
        "loop over beta": lambda: [gzsl_metrics_of(scores, labels, seen, float(b)) for b in grid],
        "one pass": lambda: grid_curve(scores, labels, seen, grid),
        "every beta there is": lambda: exact_curve(scores, labels, seen),
        "S, U, HM, ZSL, AUSUC": lambda: gzsl_metrics(scores, labels, seen, 0.5),
    }
    return interleaved(works)


def gzsl_metrics_of(scores: object, labels: object, seen: object, beta: float) -> tuple[float, float]:
    """What the released code does for each beta: subtract, argmax, accuracy per class."""
    from avshot.metrics import per_class_accuracy, predict_calibrated

    accuracy = per_class_accuracy(predict_calibrated(scores, seen, beta), labels, scores.shape[1])
    return float(accuracy[seen].nanmean()), float(accuracy[~seen].nanmean())


def evaluation() -> None:
    """Table of seconds for the beta grids of the field and for the exact curve."""
    rows, record = [], {}
    for betas in (16, 76):
        seconds, memory = with_peak_memory(_evaluation, betas)
        for name, value in seconds.items():
            speed = seconds["loop over beta"] / value
            rows.append([f"{betas} betas: {name}", f"{1000 * value:.1f}", f"{speed:.1f}", f"{memory:.0f}"])
        record[str(betas)] = {"seconds": seconds, "peak_mb": memory}
    head = ["work", "ms", "times faster than the loop", "peak MB"]
    print_table("evaluation: simulated VGGSound-GZSL cls test, 12,232 clips x 271 classes", head, rows)
    keep("evaluation", record)


# --- store -----------------------------------------------------------------------------------------------------------


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


def store() -> None:
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


BENCHMARKS = {"extraction": extraction, "training": training, "evaluation": evaluation, "store": store}


def main() -> None:
    """Run the named benchmarks, or all."""
    chosen = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"Benchmark {unknown[0]!r} does not exist; benchmarks: {', '.join(BENCHMARKS)}.")
    print(machine())
    for name in chosen:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
