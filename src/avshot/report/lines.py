"""Figures of lines over all rows: seen against unseen accuracy, and the learning curves; means and bands over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from avshot.metrics.stacking import Curve, exact_curve
from avshot.report import look
from avshot.report.rows import Row, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RAYS = 181  # beside those through the corners
_PARALLEL = 1e-12


def seen_unseen(rows: Sequence[Row]) -> Figure | None:
    """Seen against unseen accuracy over the calibration: mean and band over seeds; the chosen calibration marked.

    The marked point with its bars is the mean S and U of the table.
    """
    figure, axis = look.blank(7.0, 6.4)
    drawn = 0
    for row in rows:
        curves = _curves(row)
        if not curves:
            continue
        angles, mean, spread = mean_curve(curves)
        style = look.line(drawn, f"{look.shown(row.label, 70)} (area {percent(row.values['AUSUC'])} %)")
        apart = (0.015 * (drawn % look.MOST_LINES), 0.11)  # markers of lines that lie together are not to cover another
        axis.plot(*(100 * mean * angles), **style, markevery=apart if "marker" in style else None)
        if spread is not None and drawn < look.MOST_LINES:
            edges = np.concatenate([(mean - spread) * angles, ((mean + spread) * angles)[:, ::-1]], axis=1)
            axis.fill(*np.clip(100 * edges, 0, 100), color=look.PALETTE[drawn], **look.BAND)
        u, s = (100 * np.array(row.values[name]) for name in ("U", "S"))
        bars = [v.std(ddof=1) if len(v) > 1 and drawn < look.MOST_LINES else None for v in (u, s)]
        axis.errorbar(u.mean(), s.mean(), xerr=bars[0], yerr=bars[1], elinewidth=1.2, capsize=2, **look.dot(drawn))
        drawn += 1
    if drawn == 0:
        return None
    axis.set(xlabel="accuracy on unseen classes, U (%)", ylabel="accuracy on seen classes, S (%)")
    axis.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal")
    title = "Seen against unseen accuracy over all calibrations", "large marks: as validation chose"
    figure.suptitle(_title(rows, *title, "bands and bars"), fontsize=11)
    look.legend_below(figure)
    return figure


def _title(rows: Sequence[Row], text: str, marks: str, bands: str) -> str:
    """The text, and below it what marks are, and lines and bands where some row has several seeds."""
    several = any(len(row.runs) > 1 for row in rows)
    about = f"{marks}; lines, {bands}: mean, ± deviation over seeds" if several else marks
    return "\n".join([text, *wrap(about[0].upper() + about[1:], 76)])


def _curves(row: Row) -> list[Curve]:
    """One curve for each seed; none where the task has no such curve or nothing was tested."""
    if not row.task.harmonic or "AUSUC" not in row.values:
        return []
    found = (run.scored("test") for run in row.runs)
    return [exact_curve(test.scores, test.labels, test.seen) for test in found if test is not None]


def mean_curve(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The mean of curves that fall from the axis of seen to that of unseen accuracy, taken along rays from the origin.

    At each unseen accuracy, or at each seen one, a mean would be of values that have nothing to do with each other
    where the curves are steep or flat, and they are both.

    Args:
        curves: At least one.

    Returns:
        `[2, ray]` directions (unseen, seen) of unit length; `[ray]` mean distance from the origin; `[ray]` its sample
        deviation, None for one curve.
    """
    corners = [_corners(curve) for curve in curves]
    turns = np.unique(np.concatenate([np.arctan2(y, x) for x, y in corners] + [np.linspace(0, np.pi / 2, _RAYS)]))
    rays = np.array([np.cos(turns), np.sin(turns)])
    far = np.array([_distances(x, y, rays) for x, y in corners])
    return rays, far.mean(axis=0), far.std(axis=0, ddof=1) if len(far) > 1 else None


def _corners(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The curve as corners from the axis of unseen accuracy up to that of seen accuracy."""
    order = np.argsort(curve.unseen, kind="stable")[::-1]
    x, y = curve.unseen[order], curve.seen[order]
    return np.concatenate([x[:1], x, [0.0]]), np.concatenate([[0.0], y, y[-1:]])


def _distances(x: np.ndarray, y: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """How far along each ray the polygon `(x, y)` is, whose corners have growing angles."""
    angles, wanted = np.arctan2(y, x), np.arctan2(rays[1], rays[0])
    end = np.clip(np.searchsorted(angles, wanted, side="left"), 1, len(x) - 1)
    dx, dy = x[end] - x[end - 1], y[end] - y[end - 1]
    across = rays[0] * dy - rays[1] * dx  # 0 where a side lies along the ray: its outer end counts
    through = x[end - 1] * dy - y[end - 1] * dx
    outer = np.maximum(np.hypot(x[end], y[end]), np.hypot(x[end - 1], y[end - 1]))
    flat = np.abs(across) < _PARALLEL
    return np.where(flat, outer, through / np.where(flat, 1.0, across))


def learning(rows: Sequence[Row]) -> Figure | None:
    """Validation score over the epochs of stage 1: mean and band over seeds, the epoch that each seed chose marked."""
    figure, axis = look.blank(7.0, 5.2)
    drawn, parts_apart = 0, False
    for row in rows:
        found = [run.history()["stage1"]["scores"] for run in row.runs]
        common = min(map(len, found), default=0)  # epochs that all seeds have
        if common == 0:
            continue
        scores = 100 * np.array([one[:common] for one in found])
        epochs, mean = np.arange(1, common + 1), scores.mean(axis=0)
        style = look.line(drawn, look.shown(row.label, 80))
        axis.plot(epochs, mean, **style, markevery=max(1, common // 8) if "marker" in style else None)
        if len(scores) > 1 and drawn < look.MOST_LINES:
            spread = scores.std(axis=0, ddof=1)
            axis.fill_between(epochs, mean - spread, mean + spread, color=look.PALETTE[drawn], **look.BAND)
        for run, own in zip(row.runs, found, strict=True):
            chosen = run.info["chosen"]
            if chosen["select"] == "val":  # an oracle chose in stage 2
                parts, starts = chosen["parts"], run.history()["stage1"]["starts"]
                parts_apart |= bool(parts)
                at = starts[-1] + parts[-1] if parts else chosen["epochs"]
                axis.plot(at, 100 * own[at - 1], **look.dot(drawn))
        drawn += 1
    if drawn == 0:
        return None
    main = rows[0].task.main
    apart = "; before the last part of a curriculum: the metric of that part" if parts_apart else ""
    title = f"Validation score ({main}) per epoch", f"large marks: the epoch that each seed chose{apart}"
    axis.set(xlabel="epoch of stage 1", ylabel=f"validation score, {main} (%)", ylim=(0, 102))
    axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(_title(rows, *title, "bands"), fontsize=11)
    look.legend_below(figure)
    return figure
