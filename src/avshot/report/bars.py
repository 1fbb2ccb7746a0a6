"""The figure of accuracies per class, with deviations over seeds and the number of clips behind each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avshot.report import look
from avshot.report.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 80  # classes that get a row of their own in a list


def per_class(row: Row) -> Figure | None:
    """Accuracy of each class, mean over seeds, worst first within each kind (`Task.kinds`); with test clips."""
    test = row.runs[0].scored("test") if row.runs else None
    if test is None:
        return None
    found = [run.metrics.get("per_class") for run in row.runs]
    if not all(found):  # not every task has accuracies of classes
        return None
    values = 100 * np.array([[np.nan if v is None else v for v in accuracies or ()] for accuracies in found])
    known = ~np.isnan(values).any(axis=0)
    mean, clips = values[:, known].mean(axis=0), torch.bincount(test.labels, minlength=len(test.names)).numpy()[known]
    spread = values[:, known].std(axis=0, ddof=1) if len(values) > 1 else None
    names = [name for name, keep in zip(test.names, known, strict=True) if keep]
    seen = test.seen.numpy()[known]
    order = np.array(sorted(range(len(names)), key=lambda i: (not seen[i], mean[i])), dtype=int)
    told = [f"{look.shown(names[i])}  n={clips[i]}" for i in order]
    deviation = None if spread is None else spread[order]
    if len(order) > MOST_ROWS:  # too many to name: the shape of the distribution is what can be read
        figure, axis = _upright(mean[order], deviation, seen[order], clips, row.task.kinds)
    else:
        figure, axis = _listed(mean[order], deviation, seen[order], told)
    about = f"mean and ± sample deviation of {len(values)} seeds" if spread is not None else look.seeds_of(row)
    text = f"accuracy per class ({about}; n: test clips)"
    figure.suptitle(look.titled(row, text, figure.get_figwidth()), fontsize=11)
    _legend(axis, seen, row.task.kinds)
    return figure


def _listed(mean: np.ndarray, spread: np.ndarray | None, seen: np.ndarray, told: Sequence[str]) -> tuple[Figure, Any]:
    """One named bar for each class; the number stands behind bar and deviation."""
    figure, axis = look.blank(8.5, 0.24 * len(mean) + 1.8)
    place = np.arange(len(mean))
    axis.barh(place, mean, height=0.75, xerr=spread, **_looks(seen), error_kw={"elinewidth": 1.0, "capsize": 2})
    for at, value, end in zip(place, mean, np.minimum(mean if spread is None else mean + spread, 100), strict=True):
        axis.annotate(f"{value:.0f}", (end, at), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7)
    axis.set_yticks(place, told, fontsize=8)
    axis.set(xlabel="accuracy (%)", ylabel="class", xlim=(0, 100), ylim=(-0.7, len(mean) - 0.3))
    return figure, axis


def _upright(
    mean: np.ndarray, spread: np.ndarray | None, seen: np.ndarray, clips: np.ndarray, kinds: tuple[str, str]
) -> tuple[Figure, Any]:
    figure, axis = look.blank(10.0, 4.6)
    place = np.arange(len(mean))
    axis.bar(place, mean, width=1.0, color=_looks(seen)["color"], yerr=spread, error_kw={"elinewidth": 0.5})
    many = f"{clips.min()}" if clips.min() == clips.max() else f"{clips.min()} to {clips.max()}"
    axis.set(xlabel=f"class, by accuracy within {' and '.join(kinds)} (n={many} clips each)", ylabel="accuracy (%)")
    axis.set(ylim=(0, 100), xticks=[], xlim=(-0.5, len(mean) - 0.5))
    return figure, axis


def _looks(seen: np.ndarray) -> dict[str, Any]:
    colours = [look.SEEN if one else look.UNSEEN for one in seen]
    return {
        "color": colours,
        "hatch": ["" if one else look.HATCH for one in seen],
        "edgecolor": "white",
        "linewidth": 0,
    }


def _legend(axis: Any, seen: np.ndarray, kinds: tuple[str, str]) -> None:
    from matplotlib.patches import Patch

    looks = ((look.UNSEEN, look.HATCH, kinds[1], ~seen), (look.SEEN, "", kinds[0], seen))
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, label=label)
        for colour, hatch, label, which in looks
        if which.any()
    ]
    axis.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.05, 1.0))
