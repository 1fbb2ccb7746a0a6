"""What each knob of the simulated features does: the Bayes limit, and how near closed-form linear methods come to it.

    python benchmarks/simulated_limits.py                # all knobs
    python benchmarks/simulated_limits.py --more-clips   # what ever more training clips do

Zero-shot accuracy per class on test_unseen of simulated UCF-GZSL main (9 classes), in per cent, mean and deviation over
seeds. "taught" is the limit for a linear map that knows of a class vector only what the 42 seen classes can teach.
"regression" is Gaussian discriminant analysis whose class means are regressed from class vectors: right for this story,
with everything estimated from the training clips. Needs no data; one minute, or three, on one core.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset
from avshot.data.simulated.bayes_limit import bayes_accuracy
from avshot.data.simulated.simulate import simulate
from avshot.method import Inputs
from avshot.registry import create_method
from avshot.task import get_task
from avshot.terminal.tables import markdown
from avshot.training.clips import ClipSource
from avshot.types import Classes

NARROW = {"noise": 2.0, "dims": (24, 32), "width": 12}  # fewer entries than seen classes: everything can be learnt
SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("300 entries, features of 512 (as released)", {}),
    ("300 entries, noise=2", {"noise": 2.0}),
    ("12 entries, features of 24 and 32, noise=2", NARROW),
    *(
        (f"- the same, {', '.join(f'{knob}={value:g}' for knob, value in knobs.items())}", NARROW | knobs)
        for knobs in (
            {"signal": 0.0},
            {"signal": 0.5},
            {"signal": 2.0},
            {"noise": 1.0},
            {"noise": 3.0},
            {"scene": 4.0},
            {"audio_signal": 0.5},
            {"audio_signal": 0.0},
            {"audio_signal": 0.5, "visual_signal": 0.5},
            {"audio_signal": 0.5, "visual_signal": 0.5, "overlap": 1.0},
            {"imbalance": 0.5},
            {"imbalance": 1.0},
            {"gap": 0.1},
            {"gap": 0.2},
            {"gap": 0.5},
            {"gap": 1.0},
        )
    ),
)
HEAD = ("simulated:ucf-main", "Bayes", "audio alone", "visual alone", "taught", "regression", "eszsl")


def made(seed: int, scale: float, width: int | None = None, **knobs: Any) -> Dataset:
    """The dataset of one setting and seed; `width` narrows the random class vectors."""
    rng = np.random.default_rng(seed)
    vectors = None if width is None else {f"class {i}": rng.standard_normal(width) for i in range(51)}
    return simulate("ucf-main", seed=seed, scale=scale, vectors=vectors, **knobs)


def mean_accuracy(scores: Tensor, labels: Tensor) -> float:
    """Mean accuracy per class."""
    right = scores.argmax(dim=1) == labels
    return float(np.mean([right[labels == c].double().mean() for c in labels.unique()]))


def regression(train: ClipSource, test: ClipSource) -> float:
    """Discriminant analysis with class means regressed from class vectors and one covariance, from training clips."""
    (known,), (asked,) = (tuple(s.classes.text.values()) for s in (train, test))
    clips, queries = (torch.cat(s.features(slice(None)).pooled(), dim=1).double() for s in (train, test))
    means = torch.stack([clips[train.labels == c].mean(dim=0) for c in range(len(known))])
    rest = clips - means[train.labels]
    covariance = rest.T @ rest / (len(rest) - len(known))
    covariance += 1e-4 * covariance.diagonal().mean() * torch.eye(len(covariance))
    there = torch.linalg.lstsq(known.double(), means, driver="gelsd").solution
    means = asked.double() @ there
    weights = torch.linalg.solve(covariance, means.T)
    return mean_accuracy(queries @ weights - (means.T * weights).sum(dim=0) / 2, test.labels)


def eszsl(train: ClipSource, test: ClipSource) -> float:
    """The method `eszsl`."""
    model = create_method("eszsl", Inputs.of(train.features(slice(0, 1)), train.classes)).eval()
    model.adapt(train.once(torch.device("cpu")), train.classes)
    return mean_accuracy(model.score(test.features(slice(None)), test.classes), test.labels)


def measured(data: Dataset) -> list[float]:
    """The numbers of one row, in the order of `HEAD`."""
    stage, unseen = get_task("gzsl").stages(data)[1], data.classes_of("test_unseen")

    def source(clips: np.ndarray, names: tuple[str, ...]) -> ClipSource:
        rows = torch.tensor([data.names.index(name) for name in names])
        text = {encoder: vectors[rows] for encoder, vectors in data.text.items()}
        return ClipSource(data, clips, Classes(names, text, torch.zeros(len(names), dtype=torch.bool)))

    train, test = source(stage.train, stage.seen), source(data.fold("test_unseen"), unseen)
    limits = [bayes_accuracy(data, "test_unseen", modality=modality) for modality in ("both", "audio", "visual")]
    taught = bayes_accuracy(data, "test_unseen", taught_by=stage.seen)
    return [*limits, taught, regression(train, test), eszsl(train, test)]


def cells(seeds: int, scale: float, knobs: dict[str, Any]) -> list[str]:
    """One row: mean and deviation over seeds."""
    found = 100 * np.array([measured(made(seed, scale, **knobs)) for seed in range(seeds)])
    return [f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in zip(found.mean(0), found.std(0), strict=True)]


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.5, help="share of the benchmark's clips")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--more-clips", action="store_true", help="0.5, 2 and 8 times the benchmark's clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.more_clips:
        rows = [
            [f"{label}, scale={scale:g}", *cells(options.seeds, scale, knobs)]
            for label, knobs in (SETTINGS[0], SETTINGS[2])
            for scale in (0.5, 2.0, 8.0)
        ]
    else:
        rows = [[label, *cells(options.seeds, options.scale, knobs)] for label, knobs in SETTINGS]
    print(markdown(HEAD, rows), end="")


if __name__ == "__main__":
    main()
