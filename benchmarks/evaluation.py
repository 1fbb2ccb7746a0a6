"""The whole beta grid, the exact best calibration and all metrics, beside a loop over beta; growth with clips, classes.

Scores imitate VGGSound-GZSL (main): 12,482 test clips among 276 classes, seen and unseen ones in mixed order, as names
sort them. The reference is what the released programs do for each beta: subtract, take the best class, count per class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Target, exponent, interleaved, keep, options, with_peak_memory

from avshot.terminal.tables import print_table

if TYPE_CHECKING:
    from torch import Tensor

CLIPS, CLASSES, SEEN, BETAS = 12482, 276, 207, 76
WANTED = 50  # times faster than the loop
MORE_CLIPS, MORE_CLASSES = (6000, 12000, 24000, 48000), (100, 300, 1000, 3000)
FITTED = 3  # largest sizes the exponent is fitted to
LOOP, PASS, TIES = "loop over beta", "S and U on the grid", "the same, scores of 8 bits (many ties)"
GRID = np.linspace(0, 5, BETAS)  # ClipClap's


def run() -> list[Target]:
    """Speed beside the loop, then growth."""
    sizes = (1000, 30) if options.quick else (CLIPS, CLASSES)
    (seconds, apart), _ = with_peak_memory(_speed, *sizes, 1 if options.quick else 5)
    names = (LOOP, PASS) if options.quick else [name for name in seconds if name != TIES]
    memory = {name: with_peak_memory(_once, name, *sizes)[1] for name in names}
    bare = with_peak_memory(_once, None, *sizes)[1]
    targets, rows = [], []
    for name, value in seconds.items():
        target = Target(f"{name}, {BETAS} betas, beside the loop", seconds[LOOP] / value, WANTED)
        extra = f"{max(0.0, memory[name] - bare):.0f}" if name in memory else "-"
        wanted = [f"{WANTED}", target.verdict] if name == PASS else ["", ""]
        rows.append([name, f"{1000 * value:.2f}", f"{target.got:.1f}", *wanted, extra])
        targets += [target] if name == PASS else []
    head = ["work", "ms", "times faster", "target", "verdict", "peak MB beyond the scores"]
    print_table(f"evaluation: {sizes[0]} clips x {sizes[1]} classes x {BETAS} betas", head, rows)
    print(f"largest difference between pass and loop: {apart:.0e}")
    grown = _growth()
    record = {"sizes": sizes, "seconds": seconds, "peak_mb": memory, "bare_mb": bare, "apart": apart, "growth": grown}
    keep("evaluation", record)
    return targets


def _growth() -> dict[str, Any]:
    rows, record = [], {}
    for axis, sizes in (("clips", MORE_CLIPS), ("classes", MORE_CLASSES)):
        chosen = [size // 10 for size in sizes[:2]] if options.quick else list(sizes)
        seconds, _ = with_peak_memory(_grown, axis, chosen, 1 if options.quick else 5)
        for name in (PASS, "exact curve"):
            found = [seconds[f"{name} {size}"] for size in chosen]
            fitted = exponent(chosen[-FITTED:], found[-FITTED:])
            cells = ", ".join(f"{size}: {1000 * value:.1f}" for size, value in zip(chosen, found, strict=True))
            rows.append([name, axis, cells, f"{fitted:.2f}"])
            record[f"{axis}: {name}"] = {"exponent": fitted, "seconds": dict(zip(map(str, chosen), found, strict=True))}
    print_table("growth (12,482 clips or 276 classes)", ["work", "axis", "ms at each size", "exponent"], rows)
    return record


def _task(clips: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of which about half put the true class first, labels, and which classes are seen."""
    import torch

    generator = torch.Generator().manual_seed(0)
    seen = torch.randperm(classes, generator=generator) < classes * SEEN // CLASSES
    labels = torch.randint(classes, (clips,), generator=generator)
    scores = torch.randn(clips, classes, generator=generator)
    scores[torch.arange(clips), labels] += 2.5
    return scores, labels, seen


def _works(scores: Tensor, labels: Tensor, seen: Tensor, coarse: Tensor | None = None) -> dict[str, Any]:
    from avshot.metrics.generalised import gzsl_metrics
    from avshot.metrics.stacking import Rivals, exact_curve

    ties = {} if coarse is None else {TIES: lambda: Rivals(coarse, labels, seen).curve(GRID)}

    def best() -> tuple[float, float]:
        curve = exact_curve(scores, labels, seen)
        return float(curve.beta[curve.best()]), curve.area()

    return {
        LOOP: lambda: [_released(scores, labels, seen, float(beta)) for beta in GRID],
        PASS: lambda: Rivals(scores, labels, seen).curve(GRID),
        "exact curve": lambda: exact_curve(scores, labels, seen),
        "exact best beta and AUSUC": best,
        "all metrics at one beta": lambda: gzsl_metrics(scores, labels, seen, 0.5),
    } | ties


def _released(scores: Tensor, labels: Tensor, seen: Tensor, beta: float) -> tuple[float, float]:
    from avshot.metrics.accuracy import per_class_accuracy
    from avshot.metrics.stacking import predict_calibrated

    accuracy = per_class_accuracy(predict_calibrated(scores, seen, beta) == labels, labels, scores.shape[1])
    return float(accuracy[seen].nanmean()), float(accuracy[~seen].nanmean())


def _speed(clips: int, classes: int, repeats: int) -> tuple[dict[str, float], float]:
    scores, labels, seen = _task(clips, classes)
    works = _works(scores, labels, seen, scores.bfloat16().float())
    loop, curve = np.array(works[LOOP]()), works[PASS]()
    apart = np.abs(loop - np.stack([curve.seen, curve.unseen], axis=1)).max()
    for work in works.values():
        work()  # first calls allocate
    return interleaved(works, repeats), float(apart)


def _once(name: str | None, clips: int, classes: int) -> None:
    """For its peak memory: one work, or only what all of them are given."""
    works = _works(*_task(clips, classes))
    if name is not None:
        works[name]()


def _grown(axis: str, sizes: list[int], repeats: int) -> dict[str, float]:
    works = {}
    for size in sizes:
        made = _works(*(_task(size, CLASSES) if axis == "clips" else _task(CLIPS, size)))
        works |= {f"{name} {size}": made[name] for name in (PASS, "exact curve")}
    for work in works.values():
        work()
    return interleaved(works, repeats)
