"""Confusion matrices: which classes are taken for which. Only classes that have test clips get a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avshot.report import look
from avshot.report.rows import Row
from avshot.run import Run
from avshot.task import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NAMES = 60  # on an axis that grows with them
_WHITE = {"color": "white", "linewidth": 1.5}


@dataclass(frozen=True)
class Confusion:
    """Whose clips were taken for what.

    Attributes:
        shares: `[row, column]` share of the clips of a row's class that were predicted as a column's class.
        true: Classes of the rows: those with test clips, first those trained on a full set of clips (`Classes.seen`).
        predicted: Classes of the columns: those of the rows in the same order, then others that were predicted.
        n_seen: How many of the rows are such classes.
        clips: `[row]` number of test clips.
    """

    shares: np.ndarray
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    n_seen: int
    clips: np.ndarray


def confusion(row: Row) -> Figure | None:
    """Confusion matrix at the calibration of each seed, mean over seeds, rows scaled to 100 %; unseen or novel last."""
    tests = [(run, test) for run in row.runs if (test := run.scored("test")) is not None]
    if not tests:
        return None
    found = confused(tests)
    width, height, margin = matrix_size(found)
    figure, axis = look.blank(width + margin + 2.0, height + margin + 1.2)
    image = draw_matrix(axis, found)
    seeds = ", ".join(str(run.experiment.seed) for run, _ in tests)
    over = f"mean over seeds {seeds}" if len(tests) > 1 else f"seed {seeds}"
    notes = [f"{row.task.kinds[1]} classes follow the white lines"] if 0 < found.n_seen < len(found.true) else []
    notes += (
        ["behind the dotted line: predicted, but without test clips"] if len(found.predicted) > len(found.true) else []
    )
    text = f"confusion of test clips ({'; '.join([over, *notes])})"
    figure.suptitle(look.titled(row, text, figure.get_figwidth()), fontsize=11)
    figure.colorbar(image, ax=axis, label="share of the class's test clips (%)", shrink=0.7)
    return figure


def confused(tests: Sequence[tuple[Run, Scored]]) -> Confusion:
    """The confusion of Runs of one row, that is on the same clips: the mean of their shares."""
    first = tests[0][1]
    n = len(first.names)
    guesses = [run.task.apply(test.scores, test.seen, run.settings).argmax(dim=1) for run, test in tests]
    counts = torch.stack([count(test.labels, guess, n) for (_, test), guess in zip(tests, guesses, strict=True)])
    clips = torch.bincount(first.labels, minlength=n)
    groups = (clips > 0) & first.seen, (clips > 0) & ~first.seen, (clips == 0) & (counts.sum(dim=(0, 1)) > 0)
    seen, rest, others = (group.nonzero().flatten().tolist() for group in groups)
    rows, columns = [*seen, *rest], [*seen, *rest, *others]
    shares = (counts / counts.sum(dim=2, keepdim=True).clamp(min=1)).mean(dim=0)[rows][:, columns]
    true, predicted = (tuple(first.names[i] for i in places) for places in (rows, columns))
    return Confusion(shares.numpy(), true, predicted, len(seen), clips[rows].numpy())


def count(labels: Tensor, guess: Tensor, n: int) -> Tensor:
    """`[class, class]` how many clips of a class (row) were taken for another (column)."""
    return torch.bincount(labels * n + guess, minlength=n * n).reshape(n, n).double()


def matrix_size(found: Confusion) -> tuple[float, float, float]:
    """Width and height of a matrix in inches, and what its names take beside and below it, where there are any."""
    named = len(found.predicted) <= _MOST_NAMES
    margin = 0.07 * max(len(look.shown(name)) for name in found.predicted) + 0.4 if named else 0.3  # at 8 points
    width, height = (max(3.2, 0.24 * len(names)) if named else 6.0 for names in (found.predicted, found.true))
    return width, height, margin


def draw_matrix(axis: Any, found: Confusion, *, names: bool = True) -> Any:
    """The matrix in per cent on one scale from 0 to 100; returns the image, for a colour bar.

    Args:
        axis: To draw on.
        found: The matrix.
        names: Name the rows, with their clips, where they are few enough; columns are named in any case.
    """
    values = 100 * found.shares
    image = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="equal", interpolation="nearest")
    few = len(found.predicted) <= _MOST_NAMES
    axis.set_xticks([], []) if not few else axis.set_xticks(
        range(len(found.predicted)), [look.shown(name) for name in found.predicted], rotation=90, fontsize=8
    )
    told = [f"{look.shown(name)}  n={clips}" for name, clips in zip(found.true, found.clips, strict=True)]
    axis.set_yticks(range(len(told)) if few else [], (told if names else [""] * len(told)) if few else [], fontsize=8)
    if 0 < found.n_seen < len(found.true):
        axis.axhline(found.n_seen - 0.5, **_WHITE)
        axis.axvline(found.n_seen - 0.5, **_WHITE)
    if len(found.predicted) > len(found.true):
        axis.axvline(len(found.true) - 0.5, linestyle=":", **_WHITE)
    axis.set(
        xlabel="predicted class", ylabel="" if not names else "true class (n: test clips)" if few else "true class"
    )
    return image
