"""Whether a Run says that a clip is unlike its training clips, and how often it says so of clips that are not.

    python benchmarks/novelty.py RUN FOLDER...

Every clip below the folders is predicted: how many are told to be unlike the training, how far out they lie (1 is the
limit), how probable the first class is. Beside them stand the Run's own test clips and, for the rule whatever the
draw, `--draws` other divisions of all training and test clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from avshot.data.dataset import Dataset
from avshot.data.folders import media_files
from avshot.data.load import load_dataset
from avshot.prediction.novelty import strangeness, usual_of
from avshot.prediction.predictor import Predictor
from avshot.run import load_run
from avshot.terminal.tables import print_table
from avshot.types import MODALITIES, Clip, Features


def how_far(features: Features, usual: dict[str, torch.Tensor]) -> np.ndarray:
    """How far out each clip lies `[clip]`, by the modality that is farther out; 0 where it has none that is known."""
    found = np.zeros(len(features))
    for name, pooled in zip(MODALITIES, features.pooled(), strict=True):
        there = getattr(features, f"has_{name}").numpy()
        if f"{name}/limit" in usual and there.any():
            found[there] = np.maximum(found[there], strangeness(pooled[torch.from_numpy(there)], usual, name).numpy())
    return found


def of_dataset(dataset: Dataset, clips: np.ndarray, usual: dict[str, torch.Tensor], view: str) -> np.ndarray:
    """`how_far` of clips of a dataset."""
    parts = [how_far(dataset.gather(clips[i : i + 256]).prefer(view), usual) for i in range(0, len(clips), 256)]
    return np.concatenate(parts)


def row(name: str, far: np.ndarray, first: Sequence[float] = ()) -> list[str]:
    """One line of the table."""
    flagged = int((far > 1).sum())
    cells = [name, str(len(far)), f"{flagged} ({100 * flagged / len(far):.1f} %)"]
    cells += [f"{np.min(far):.2f} / {np.median(far):.2f} / {np.max(far):.2f}"]
    return [*cells, f"{100 * np.median(first):.0f} % / {100 * np.max(first):.0f} %" if len(first) else "-"]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--draws", type=int, default=3, help="other divisions into training and test clips")
    asked = parser.parse_args()
    run = load_run(asked.run)
    predictor, dataset = Predictor(run), load_dataset(run.experiment.dataset)
    stage = run.task.stages(dataset)[1]
    rows = [row("test clips of the Run", of_dataset(dataset, stage.judge, run.familiar(), run.view))]
    every = np.concatenate([stage.train, stage.judge])
    for draw in range(asked.draws):
        mixed = np.random.default_rng(draw).permutation(every)
        train, held = np.sort(mixed[: len(stage.train)]), mixed[len(stage.train) :]
        usual = usual_of(dataset, train, run.shown)
        rows.append(row(f"held-out clips, draw {draw}", of_dataset(dataset, held, usual, run.view)))
    for folder in asked.folders:
        far, first = [], []
        for path in map(str, media_files(folder).files):
            features = predictor.features(Clip(path, path))[0].prefer(run.view)
            far.append(how_far(features, run.familiar())[0])
            first.append(predictor.predict(path).ranking[0].probability)
        rows.append(row(str(folder), np.array(far), first))
    head = ["clips", "count", "told unlike", "least / median / most", "first class: median / most"]
    print_table(f"{asked.run}: how far out", head, rows)


if __name__ == "__main__":
    main()
