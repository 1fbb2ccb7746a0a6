"""Every method that reads averages, at the full size of VGGSound-GZSL: speed of an epoch and a test, and memory.

    python benchmarks/full_size.py                    # all of them, two at a time, each a process on one thread
    python benchmarks/full_size.py --methods avca,ale

The features are simulated (docs/simulated-features.md) at the true counts: 70,351 training clips of 138 classes, 12,232
test clips among 271 classes, 128 audio and 4096 visual numbers a clip. An epoch is one pass in the published batch
size; what a method does besides (a closed form, a final classifier) is timed apart. Accuracy after one epoch is shown
only to see that something was learnt: it says nothing about the benchmark.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from measure import keep, machine, with_peak_memory

from avshot.terminal.tables import markdown, print_table

DATASET, PRESET = "vggsound-cls", "vggsound-cls"
NOT_BELOW_ZERO = {"f_vaegan_d2"}  # its published preset makes features from 0 to 1; simulated ones go below
HEAD = [
    "method",
    "preset",
    "clips/s",
    "adapt s",
    "evaluation s",
    "test HM after it",
    "parameters",
    "peak MB",
]


def main() -> None:
    """Measure, print, keep."""
    from avshot.registry import get_method, list_methods

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="")
    parser.add_argument("--scale", type=float, default=1.0, help="of the clip counts")
    parser.add_argument("--jobs", type=int, default=2, help="methods at a time, each on one thread")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    options = parser.parse_args()
    names = options.methods.split(",") if options.methods else [m for m in list_methods() if not temporal(m)]
    print(machine())
    for name in names:
        if get_method(name).needs.temporal:
            raise SystemExit(f"{name} reads sequences; this benchmark is of methods that read averages.")

    def one(name: str) -> dict[str, Any]:
        row, peak = with_peak_memory(measure, name, options.scale)
        print(json.dumps(row | {"peak MB": peak}), flush=True)
        return row | {"peak MB": peak}

    with ThreadPoolExecutor(options.jobs) as pool:  # each measurement is a process of its own, on one thread
        found = list(pool.map(one, names))
    cells = [[cell(row.get(key)) for key in HEAD] for row in found]
    print_table("one epoch and one test at the size of VGGSound-GZSL (cls), simulated", HEAD, cells)
    for row in found:
        if "reason" in row:
            print(f"{row['method']}: {row['reason']}")
    keep("full_size", {"rows": found, "scale": options.scale, "jobs": options.jobs})
    if options.markdown:
        options.markdown.write_text(markdown(HEAD, cells))


def temporal(name: str) -> bool:
    """Whether a method reads sequences."""
    from avshot.registry import get_method

    return get_method(name).needs.temporal


def measure(name: str, scale: float) -> dict[str, Any]:
    """One epoch, what follows it, and one test, of one method; what does not fit says why."""
    import torch

    from avshot.data.simulated.simulate import simulate
    from avshot.method import Inputs
    from avshot.metrics.generalised import gzsl_metrics
    from avshot.registry import get_method, get_preset
    from avshot.task import get_task
    from avshot.training.clips import ClipSource
    from avshot.training.loop import train
    from avshot.training.scoring import Judged, score_clips
    from avshot.types import Classes

    torch.manual_seed(0)
    dataset = simulate(DATASET, scale=scale).averaged
    first, second = get_task("gzsl").stages(dataset)
    presets = get_method(name).presets
    preset = next((p for p in (PRESET, "vggsound-main") if p in presets and name not in NOT_BELOW_ZERO), "default")
    settings = get_preset(name, preset)
    recipe = dataclasses.replace(settings.recipe, epochs=1, passes_per_epoch=1)

    def candidates(stage: Any) -> Classes:
        rows = [dataset.names.index(c) for c in stage.candidates]
        seen = torch.tensor([c in set(stage.seen) for c in stage.candidates])
        return Classes(stage.candidates, {key: vectors[rows] for key, vectors in dataset.text.items()}, seen)

    classes = candidates(first)
    try:
        model = get_method(name)(settings.config, Inputs.of(dataset.gather(first.train[:1]), classes))
    except ValueError as error:
        return {"method": name, "preset": preset, "reason": str(error)}
    source = ClipSource(dataset, first.train, classes.select(first.seen))
    started = time.perf_counter()
    if model.phases():
        train(model, source, recipe, seed=0)
    trained = time.perf_counter()
    tested = candidates(second)  # the test's candidates, seen ones of stage 1 and all others unseen by this model
    tested = Classes(tested.names, tested.text, torch.tensor([c in set(first.seen) for c in tested.names]))
    judged = Judged(ClipSource(dataset, second.judge, tested), tested, second.trials)
    model.eval()
    model.adapt(source.once(model.device), tested)
    adapted = time.perf_counter()
    scores = score_clips(model, judged)
    metrics = gzsl_metrics(scores, judged.source.labels, tested.seen, 0.0)
    done = time.perf_counter()
    steps = recipe.batches(len(source)) * recipe.batch_size
    return {
        "method": name,
        "preset": preset,
        "clips/s": steps / (trained - started) if model.phases() else None,
        "adapt s": adapted - trained if model.adapts() else None,
        "evaluation s": done - adapted,
        "test HM after it": 100 * metrics["HM"],
        "parameters": f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M",
    }


def cell(value: Any) -> str:
    """A number as the table shows it."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


if __name__ == "__main__":
    main()
