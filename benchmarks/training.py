"""Every method: training and evaluation in clips per second, and the share of the machine's matrix-product limit.

Steps are whole ones (gather, loss, backward, Adam) in the published batch size on clips that are in memory. The limit
is measured in turn with the steps, in the same process and on as many threads.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from measure import gflop, keep, matrix_limit, options, wait_for, with_peak_memory

from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from workload import Workload

SECONDS, REPEATS = 0.6, 3  # of steps between two measurements of the limit, and how often
QUICK = ("devise", "eszsl", "gru", "nearest_text")  # one of each kind, to see that it runs
AVERAGED_CLIPS, SEQUENCE_CLIPS = 1000, 300  # held in memory; a sequence takes 250 KB
HEAD = [
    "method",
    "preset",
    "reads",
    "batch",
    "training clips/s",
    "MFLOP/clip",
    "GFLOP/s",
    "of limit",
    "evaluation clips/s",
    "peak MB",
]


def run() -> None:
    """One process for each method. Raises RuntimeError at the end when a method failed; the others are shown."""
    from avshot.registry import list_methods

    rows, record, failed = [], {}, []
    for name in QUICK if options.quick else list_methods():
        print(f"training: {name}", file=sys.stderr, flush=True)  # the table comes when all are done
        try:
            found, memory = with_peak_memory(_measure, name, options.device, options.quick)
        except RuntimeError as error:
            failed.append(str(error))
            continue
        record[name] = found | ({"peak_mb": memory} if options.device == "cpu" else {})
        rows.append(_row(name, record[name]))
    fp32 = statistics.median(limit for found in record.values() for limit in found["limits"])
    bf16 = matrix_limit("bfloat16", device=options.device, repeats=3)
    print(f"matrix-product limit: {fp32:.3g} GFLOP/s in fp32, {bf16:.3g} in bf16 ({options.device})")
    if bf16 < fp32:
        print("this processor has no fast bf16 products: training in bf16 can only lose time on it")
    print_table("training and evaluation: simulated VGGSound-GZSL cls, 138 classes trained, 271 judged", HEAD, rows)
    print('"adapt": learns nothing by gradient; clips/s of its closed form, which is solved once.')
    keep("training", {"device": options.device, "limit_gflop_s": {"fp32": fp32, "bf16": bf16}, "methods": record})
    if failed:
        raise RuntimeError(" ".join(failed))


def _row(name: str, found: dict[str, Any]) -> list[str]:
    rate, each, limit = found["training_clips_s"], found["gflop_clip"], statistics.median(found["limits"])
    if each is not None:
        share = f"{100 * rate * each / limit:.0f} %"
        learning = [str(found["batch"]), f"{rate:.0f}", f"{1000 * each:.1f}", f"{rate * each:.1f}", share]
    else:
        learning = ["-" if rate is None else "adapt", "-" if rate is None else f"{rate:.0f}", "-", "-", "-"]
    scoring = [f"{found['evaluation_clips_s']:.0f}", f"{found['peak_mb']:.0f}"]
    return [name, found["preset"], found["reads"], *learning, *scoring]


def _measure(name: str, device: str, quick: bool) -> dict[str, Any]:
    """Rates of one method in this process, and the limits found in between."""
    import torch
    from workload import workload

    from avshot.registry import get_method

    torch.manual_seed(0)
    temporal = get_method(name).needs.temporal
    made = workload(name, SEQUENCE_CLIPS if temporal else AVERAGED_CLIPS // (4 if quick else 1), device)
    seconds, repeats = (0.1, 1) if quick else (SECONDS, REPEATS)
    if made.model.phases():
        each, batch = _gflop_per_clip(made), made.recipe.batch_size  # counted in the first steps, which allocate
        rate, limits = _training(made, seconds, repeats)
        _adapt(made)
    else:
        limits, each, batch = [matrix_limit(device=device, repeats=repeats)], None, None
        rate = len(made.source) / _adapt(made) if made.model.adapts() else None
    return {
        "preset": made.preset,
        "reads": made.reads,
        "batch": batch,
        "training_clips_s": rate,
        "gflop_clip": each,
        "limits": limits,
        "evaluation_clips_s": _evaluation(made, seconds / 2, repeats),
        "peak_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device != "cpu" else None,
    }


def _steps(made: Workload, steps: int, seed: int) -> float:
    """Seconds of so many training steps."""
    from avshot.training.loop import train

    recipe = dataclasses.replace(made.recipe, epochs=1, batches_per_epoch=steps, passes_per_epoch=0)
    started = time.perf_counter()
    train(made.model, made.source, recipe, seed=seed)
    wait_for(str(made.model.device))
    return time.perf_counter() - started


def _training(made: Workload, seconds: float, repeats: int) -> tuple[float, list[float]]:
    """Clips per second (median), and the limit measured before each count."""
    cycle, device = _cycle(made), str(made.model.device)
    steps = cycle * max(1, round(seconds / _steps(made, cycle, 0)))
    rates, limits = [], []
    for repeat in range(repeats):
        limits.append(matrix_limit(device=device, repeats=1))
        rates.append(steps * made.recipe.batch_size / _steps(made, steps, repeat))
    return statistics.median(rates), limits


def _cycle(made: Workload) -> int:
    """Steps until every player has had its turns."""
    return sum(turn.steps for turn in made.model.phases()[0].turns)


def _gflop_per_clip(made: Workload) -> float:
    """Of a training step, both passes, on average over the players."""
    cycle = _cycle(made)
    return gflop(lambda: _steps(made, cycle, 0)) / (cycle * made.recipe.batch_size)


def _adapt(made: Workload) -> float:
    """Seconds of getting ready for the candidates."""
    made.model.eval()
    started = time.perf_counter()
    made.model.adapt(made.source.once(made.model.device), made.candidates.to(made.model.device))
    wait_for(str(made.model.device))
    return time.perf_counter() - started


def _evaluation(made: Workload, seconds: float, repeats: int) -> float:
    """Scored clips per second (median), scores brought to the CPU."""
    from avshot.training.scoring import score_clips

    def once() -> float:
        started = time.perf_counter()
        score_clips(made.model, made.judged)
        return time.perf_counter() - started

    passes = max(1, round(seconds / once()))
    return statistics.median(passes * len(made.judged) / sum(once() for _ in range(passes)) for _ in range(repeats))
