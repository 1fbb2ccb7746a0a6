"""Generalised zero-shot learning: which folds train, select and test, and among which classes.

Stage 1 trains on `train` and is judged on `val_seen` + `val_unseen`. Stage 2 trains on all three and is judged once on
`test_seen` + `test_unseen`. Source: Mercea et al. (AVCA), CVPR 2022, section 4.1; Xian et al., TPAMI 2018.
"""

from __future__ import annotations

import numpy as np

from avshot.data.dataset import Dataset
from avshot.task import Stage


def stages(dataset: Dataset) -> tuple[Stage, Stage]:
    """Cut a dataset into the two stages.

    A dataset without validation folds gives a stage 1 with nothing to judge (the recipe's epochs are then taken as they
    are and beta is 0); one without test folds gives a stage 2 with nothing to judge.

    Raises:
        ValueError: There are no training clips.
    """
    if len(dataset.folds.get("train", ())) == 0:
        raise ValueError(f"Dataset {dataset.name!r} has no clips in its fold 'train'; declare it with some.")
    first = _stage(dataset, "stage1", ("train",), ("val_seen", "val_unseen"))
    second = _stage(dataset, "stage2", ("train", "val_seen", "val_unseen"), ("test_seen", "test_unseen"))
    return first, second


def _stage(dataset: Dataset, name: str, train: tuple[str, ...], judge: tuple[str, ...]) -> Stage:
    def clips(folds: tuple[str, ...]) -> np.ndarray:
        parts = [np.asarray(dataset.folds.get(fold, ()), dtype=np.int64) for fold in folds]
        return np.concatenate(parts)

    def names(folds: tuple[str, ...]) -> list[str]:
        return list(dict.fromkeys(c for fold in folds if fold in dataset.folds for c in dataset.classes_of(fold)))

    seen = names(train)
    others = [c for c in names(judge) if c not in set(seen)]
    judged_on = tuple(fold for fold in judge if len(dataset.folds.get(fold, ())))
    return Stage(name, clips(train), clips(judge), judged_on, tuple(seen), tuple(seen + others))
