"""The figures of a report. Each function draws on a fresh matplotlib figure and returns it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avshot.classes.optimise.plot import draw_outcome
from avshot.metrics.stacking import exact_curve
from avshot.report.rows import Row
from avshot.run import Run
from avshot.task import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common colour-vision deficiency.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
STYLES = ("-", "--", "-.", ":")
SEEN, UNSEEN = PALETTE[0], PALETTE[1]
MOST_TICKS = 40  # class names that stay legible on one axis
MOST_ROWS = 80  # classes that get a row of their own in a list
LONGEST = 36  # characters of a name in a figure
TSNE_MOST = 1500  # clips
MOST_LINES = 7  # rows with a colour of their own in a line figure; the others are grey


def _figure(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots(**grid)
    for axis in np.atleast_1d(axes).flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _look(i: int, label: str) -> dict[str, Any]:
    """Colour and label of the i-th line, best row first; those after `MOST_LINES` are grey and share one label."""
    if i >= MOST_LINES:
        shared = "further rows, see the table" if i == MOST_LINES else "_nolegend_"
        return {"color": "#bbbbbb", "linewidth": 0.8, "zorder": 1, "label": shared}
    return {"color": PALETTE[i % len(PALETTE)], "linestyle": STYLES[i // 4 % len(STYLES)], "zorder": 2, "label": label}


def _dot(i: int) -> dict[str, Any]:
    """Look of the point that goes with the i-th line."""
    return {
        "color": _look(i, "")["color"],
        "markersize": 7 if i < MOST_LINES else 4,
        "zorder": 3 if i < MOST_LINES else 1,
    }


def _titled(row: Row, text: str, width: float) -> str:
    """The text under the row's label, broken over lines for a figure `width` inches wide."""
    most = int(11 * width)  # characters of 11 points
    return "\n".join(line for part in (shown(row.label, 180), text) for line in wrap(part, most))


def shown(name: str, longest: int = LONGEST) -> str:
    """A name as matplotlib is to draw it: on one line, not too long, and `$` no formula."""
    flat = " ".join(name.split())
    return (flat if len(flat) <= longest else flat[: longest - 1] + "…").replace("$", r"\$")


def _legend_below(figure: Figure) -> None:
    """Long names leave the axes alone when the legend has its own strip."""
    names = [text for axis in figure.axes for text in axis.get_legend_handles_labels()[1]]
    columns = 1 if len(names) <= 4 or max(map(len, names), default=0) > 40 else 2 if len(names) <= 8 else 3
    figure.legend(frameon=False, fontsize=9, loc="outside lower left", ncols=columns)


def seen_unseen(rows: Sequence[Row]) -> Figure | None:
    """Seen against unseen accuracy over the calibration, one line per row (first seed), the chosen point marked."""
    figure, axis = _figure(7.0, 6.0)
    drawn = 0
    for row in rows:
        scored = row.runs[0].scored("test") if row.runs else None
        if scored is None or not row.task.harmonic or "AUSUC" not in row.values:
            continue
        curve = exact_curve(scored.scores, scored.labels, scored.seen)
        area = row.runs[0].metrics["AUSUC"]
        label = f"{shown(row.label, 70)} (area {100 * area:.1f})"
        axis.plot(100 * curve.unseen, 100 * curve.seen, **_look(drawn, label))
        metrics = row.runs[0].metrics
        axis.plot(100 * metrics["U"], 100 * metrics["S"], "o", **_dot(drawn))
        drawn += 1
    if drawn == 0:
        return None
    axis.set(xlabel="accuracy on unseen classes, U (%)", ylabel="accuracy on seen classes, S (%)")
    axis.set(xlim=(-2, 102), ylim=(-2, 102))
    axis.set_title("Every calibration is a point; the dot is the one chosen on validation", fontsize=11)
    _legend_below(figure)
    return figure


def learning(rows: Sequence[Row]) -> Figure | None:
    """Validation score over the epochs of stage 1 (first seed), the chosen epoch marked."""
    figure, axis = _figure(7.0, 5.0)
    drawn = 0
    for row in rows:
        scores = row.runs[0].history()["stage1"]["scores"] if row.runs else []
        if not scores:
            continue
        axis.plot(range(1, len(scores) + 1), 100 * np.array(scores), **_look(drawn, shown(row.label, 80)))
        chosen = row.runs[0].info["chosen"]
        if chosen["select"] == "val":  # an oracle chose in stage 2
            axis.plot(chosen["epochs"], 100 * scores[chosen["epochs"] - 1], "o", **_dot(drawn))
        drawn += 1
    if drawn == 0:
        return None
    axis.set(xlabel="epoch of stage 1", ylabel="validation score (%)", ylim=(0, 102))
    axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(f"Validation score ({rows[0].task.main}) per epoch; the dot is the epoch chosen", fontsize=11)
    _legend_below(figure)
    return figure


def per_class(row: Row) -> Figure | None:
    """Accuracy of each class, mean over seeds, worst first within seen and unseen."""
    test = row.runs[0].scored("test") if row.runs else None
    if test is None:
        return None
    found = [run.metrics.get("per_class") for run in row.runs]
    if not all(found):  # not every task has accuracies of classes
        return None
    values = np.array([[np.nan if v is None else v for v in accuracies or ()] for accuracies in found])
    known = ~np.isnan(values).all(axis=0)
    mean = 100 * values[:, known].mean(axis=0)
    names = [name for name, keep in zip(test.names, known, strict=True) if keep]
    seen = test.seen.numpy()[known]
    order = sorted(range(len(names)), key=lambda i: (not seen[i], mean[i]))
    colours = [SEEN if seen[i] else UNSEEN for i in order]
    title = f"accuracy per class (mean of {len(row.runs)} seed{'s' * (len(row.runs) > 1)})"
    place, drawn = np.arange(len(order)), mean[order]
    if len(order) > MOST_ROWS:  # too many to name: the shape of the distribution is what can be read
        figure, axis = _figure(10.0, 4.6)
        axis.bar(place, drawn, color=colours, width=1.0)
        axis.set(xlabel="class, by accuracy within seen and unseen", ylabel="accuracy (%)", ylim=(0, 100), xticks=[])
        axis.set_xlim(-0.5, len(order) - 0.5)
    else:
        figure, axis = _figure(8.5, 0.24 * len(order) + 1.6)
        bars = axis.barh(place, drawn, color=colours, height=0.75)
        axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
        axis.set_yticks(place, [shown(names[i]) for i in order], fontsize=8)
        axis.set(xlabel="accuracy (%)", xlim=(0, 100), ylim=(-0.7, len(order) - 0.3))
    figure.suptitle(_titled(row, title, figure.get_figwidth()), fontsize=11)
    _seen_legend(axis, seen)
    return figure


def _seen_legend(axis: Any, seen: np.ndarray) -> None:
    from matplotlib.patches import Patch

    kinds = ((UNSEEN, "unseen", ~seen), (SEEN, "seen", seen))
    handles = [Patch(color=colour, label=label) for colour, label, which in kinds if which.any()]
    axis.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.05, 1.0))


def confusion(row: Row) -> Figure | None:
    """Confusion matrix of the first seed at its calibration, rows scaled to 1; unseen classes come last."""
    run = row.runs[0] if row.runs else None
    test = run.scored("test") if run is not None else None
    if run is None or test is None:
        return None
    matrix, names, n_seen = _confusion(run, test)
    named = len(names) <= MOST_TICKS
    margin = 0.07 * max(len(shown(name)) for name in names) if named else 0.3  # inches for the names, at 8 points
    size = (max(3.2, 0.24 * len(names)) if named else 6.0) + margin
    figure, axis = _figure(size + 1.6, size + 1.2)
    image = axis.imshow(matrix, cmap="cividis", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    if named:
        axis.set_xticks(range(len(names)), [shown(name) for name in names], rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), [shown(name) for name in names], fontsize=8)
    for edge in (axis.axhline, axis.axvline) if n_seen < len(names) else ():
        edge(n_seen - 0.5, color="white", linewidth=1.5)
    axis.set(xlabel="predicted class", ylabel="true class")
    text = "confusion; unseen classes follow the white lines" if n_seen < len(names) else "confusion"
    figure.suptitle(_titled(row, text, size + 1.6), fontsize=11)
    figure.colorbar(image, ax=axis, label="fraction of the class's clips", shrink=0.7)
    return figure


def _confusion(run: Run, test: Scored) -> tuple[np.ndarray, list[str], int]:
    order = torch.cat([test.seen.nonzero().flatten(), (~test.seen).nonzero().flatten()])
    guess = run.task.apply(test.scores, test.seen, run.settings).argmax(dim=1)
    n = len(test.names)
    counts = torch.bincount(test.labels * n + guess, minlength=n * n).reshape(n, n).double()
    rows = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    return rows[order][:, order].numpy(), [test.names[i] for i in order.tolist()], int(test.seen.sum())


def tsne(row: Row) -> Figure | None:
    """t-SNE of test clips: pooled input features on the left, the learnt joint space with class embeddings right."""
    run = row.runs[0] if row.runs else None
    test = run.scored("test") if run is not None else None
    if run is None or test is None or len(test.labels) < 12:
        return None
    made = run.embeddings()
    pick = np.linspace(0, len(test.labels) - 1, min(TSNE_MOST, len(test.labels))).astype(int)
    inputs = _standardised(torch.cat([made["audio"], made["visual"]], dim=1)[pick].numpy())
    panels: list[tuple[str, np.ndarray, np.ndarray | None]] = [("input features (time averages)", inputs, None)]
    if "clip" in made:
        panels.append(
            ("learnt embeddings, class embeddings as stars", made["clip"][pick].numpy(), made["class"].numpy())
        )
    figure, axes = _figure(6.2 * len(panels), 5.6, ncols=len(panels))
    labels, seen = test.labels[pick].numpy(), test.seen.numpy()
    for axis, (title, clips, classes) in zip(np.atleast_1d(axes), panels, strict=True):
        _scatter(axis, clips, classes, labels, seen, test.names)
        axis.set_title(title, fontsize=10)
        axis.set(xticks=[], yticks=[])
    text = "t-SNE of test clips (discs: seen classes, triangles: unseen)"
    figure.suptitle(_titled(row, text, figure.get_figwidth()), fontsize=11)
    return figure


def _scatter(
    axis: Any, clips: np.ndarray, classes: np.ndarray | None, labels: np.ndarray, seen: np.ndarray, names: Sequence[str]
) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba
    from sklearn.manifold import TSNE

    rows = clips
    if classes is not None:  # directions carry the classes, lengths differ between clips and classes
        rows = np.concatenate([_unit(clips), _unit(classes)])
    perplexity = min(30.0, (len(rows) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(rows.astype(np.float32))
    if len(seen) <= len(PALETTE):
        colours = np.array([to_rgba(colour) for colour in PALETTE[: len(seen)]])
    else:  # no palette tells this many apart; names stand beside the stars
        colours = colormaps["turbo"](0.03 + 0.94 * (np.arange(len(seen)) * 0.618034 % 1))  # neighbours far apart
    for mask, marker in ((seen[labels], "o"), (~seen[labels], "^")):
        axis.scatter(
            *flat[: len(labels)][mask].T, c=colours[labels[mask]], marker=marker, s=24, alpha=0.8, linewidths=0
        )
    if classes is not None:
        stars = flat[len(labels) :]
        size = 170 if len(names) <= MOST_TICKS else 45
        axis.scatter(*stars.T, c=colours, marker="*", s=size, edgecolors="black", linewidths=size / 200)
        for spot, name in zip(stars, names if len(names) <= MOST_TICKS else (), strict=False):
            axis.annotate(shown(name), spot, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=7)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)


def class_embeddings(row: Row) -> list[Figure]:
    """Class-embedding optimisation of stage 2, one figure per text encoder; none where it did not run."""
    outcomes = row.runs[0].info["optimise"]["test"] if row.runs else {}
    return [draw_outcome(outcome, title=_titled(row, f"text: {name}", 11.0)) for name, outcome in outcomes.items()]
