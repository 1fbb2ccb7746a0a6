"""The contract of a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Scored:
    """Scores of one set of clips.

    Attributes:
        scores: `[clip, class]`, before calibration.
        labels: `[clip]` index into `names`.
        seen: `[class]` bool.
        names: Class names.
        ids: Clip ids.
    """

    scores: Tensor
    labels: Tensor
    seen: Tensor
    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """What a judge says after an epoch: a score to maximise, and the calibration and view that go with it."""

    score: float
    beta: float
    view: str = "both"


@dataclass(frozen=True)
class Stage:
    """One stage of the protocol.

    Attributes:
        name: "stage1" or "stage2".
        train: `[clip]` indices into the dataset's clips.
        judge: `[clip]` indices of the clips that are scored: seen and unseen together.
        judged_on: Names of the folds in `judge` that have clips.
        seen: Classes that are trained.
        candidates: Classes to choose from when judging: the seen ones first, then the unseen ones.
    """

    name: str
    train: np.ndarray
    judge: np.ndarray
    judged_on: tuple[str, ...]
    seen: tuple[str, ...]
    candidates: tuple[str, ...]
