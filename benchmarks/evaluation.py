"""The full beta grid and the metrics on a simulated VGGSound-GZSL test set, against a loop over beta."""

from __future__ import annotations

import numpy as np
from measure import interleaved, keep, with_peak_memory

from avshot.tables import print_table


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


def run() -> None:
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
