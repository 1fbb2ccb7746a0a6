"""Video-adverb retrieval at the full size of VATEX Adverbs: an epoch, and a test in both directions, beside loops.

    python benchmarks/full_adverbs.py                       # every method of pairs, and devise
    python benchmarks/full_adverbs.py --methods devise --scale 0.1

Features are simulated: 11,157 training rows and 2,790 test rows, 34 adverbs by 135 actions = 4,590 pairs, sequences of
1,024 numbers. An epoch is one pass in the published batch. A test scores every clip with the 34 pairs of its action:
one call of the method for each action, whose scores are matrix products, and then all adverbs are ranked for each clip
and all clips for each adverb at once. Beside it the loops that it replaces: a call for each pair, of all its action's
clips, and scikit-learn's average precision for each adverb. Both must agree. Each method is a process on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from measure import keep, machine, with_peak_memory

from avshot.terminal.tables import print_table

NAME = "vatex-adverbs"
HEAD = ["method", "rows/s", "test s", "loop over pairs s", "metrics s", "loop of metrics s", "mAP W", "MB", "peak MB"]


def main() -> None:
    """Measure, print, keep."""
    from avshot.registry import get_method, list_methods

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows")
    options = parser.parse_args()
    own = ["devise", *(name for name in list_methods() if get_method(name).needs.pairs)]
    print(machine())
    rows = []
    for name in options.methods.split(",") if options.methods else own:
        row, peak = with_peak_memory(measure, name, options.scale)
        rows.append(row | {"peak MB": peak})
        print(json.dumps(rows[-1]), flush=True)
    print_table(
        f"an epoch and a test at the size of {NAME}, simulated", HEAD, [[cell(r[k]) for k in HEAD] for r in rows]
    )
    keep("full_adverbs", {"rows": rows, "scale": options.scale})


def measure(name: str, scale: float) -> dict[str, Any]:
    """One epoch and one test of one method, and the test again in loops."""
    import numpy as np
    import torch

    from avshot.data.dataset import MemoryFeatures
    from avshot.data.simulated.pairs import simulate_pairs
    from avshot.experiment import Experiment, resolve
    from avshot.registry import get_method
    from avshot.task import Scored
    from avshot.training.clips import ClipSource
    from avshot.training.fitting import as_read, embedded, fit
    from avshot.training.scoring import Judged, score_clips

    made = simulate_pairs(NAME, scale=scale, temporal=get_method(name).needs.temporal)
    made = made.with_features(MemoryFeatures(made.features.ids, made.gather(np.arange(len(made)))))
    preset = NAME if NAME in get_method(name).presets else "default"
    parts = resolve(
        Experiment(dataset=f"simulated:{NAME}", method=name, preset=preset, task="adverb", text=("simulated",))
    )
    parts = dataclasses.replace(parts, recipe=dataclasses.replace(parts.recipe, epochs=1, passes_per_epoch=1))
    dataset = as_read(parts, made)
    _, stage = parts.task.stages(dataset)
    classes = embedded(parts, dataset).select(stage.candidates)
    seen = torch.tensor([pair in set(stage.seen) for pair in classes.names])
    classes = dataclasses.replace(classes, seen=seen)
    dataset.gather(stage.train[:1])
    started = time.perf_counter()
    model, _ = fit(parts, dataset, stage, classes)
    trained = time.perf_counter()
    judged = Judged(ClipSource(dataset, stage.judge, classes), classes, stage.trials)
    scores = score_clips(model, judged)
    tested = time.perf_counter()
    scored: Scored = judged.scored(scores)
    metrics = parts.task.measure(scored, {"view": "both"})
    done = time.perf_counter()
    one_by_one = looped(model, judged)
    loop = time.perf_counter()
    expected = metrics_looped(scored)
    end = time.perf_counter()
    assert torch.allclose(one_by_one[scores.isfinite()], scores[scores.isfinite()], atol=1e-4)
    assert abs(expected - metrics["mAP M"]) < 1e-9
    return {
        "method": name,
        "rows/s": len(stage.train) / (trained - started),
        "test s": tested - trained,
        "loop over pairs s": loop - done,
        "metrics s": done - tested,
        "loop of metrics s": end - loop,
        "mAP W": metrics["mAP W"],
        "MB": scores.numel() * scores.element_size() / 1e6,
    }


def looped(model: Any, judged: Any) -> Any:
    """The same scores, a call of the method for each pair: `[clip, class]`."""
    import torch

    found = torch.full((len(judged), len(judged.classes)), -torch.inf)
    with torch.inference_mode():
        for trial in judged.trials:
            features = judged.source.only(trial.clips).features(slice(None))
            rows = torch.as_tensor(trial.clips)
            for pair in trial.classes:
                column = model.score(features, judged.classes.select([pair]))
                found[rows, judged.classes.index(pair)] = column[:, 0]
    return found


def metrics_looped(scored: Any) -> float:
    """MAP M by scikit-learn, clip by clip and adverb by adverb."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    adverb = scored.factors["adverb"].index.tolist()
    labels = np.array([adverb[label] for label in scored.labels.tolist()])
    table = np.full((len(labels), max(adverb) + 1), -np.inf)
    for i, row in enumerate(scored.scores):
        for column in row.isfinite().nonzero().flatten().tolist():
            table[i, adverb[column]] = max(table[i, adverb[column]], float(row[column]))
    return float(np.mean([average_precision_score(labels == v, table[:, v]) for v in np.unique(labels)]))


def cell(value: Any) -> str:
    """A number as the table shows it."""
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value >= 100 else f"{value:.3f}" if value < 1 else f"{value:.1f}"


if __name__ == "__main__":
    main()
