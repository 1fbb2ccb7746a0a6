"""The picture of the separability-semantics curve: a row of panels for each vocabulary, a column for each margin.

Lines are named where they end, by the weight of the rank term over that of the separation. Three are drawn heavily, and
told apart by dashes and signs as well as by colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TITLES = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}
COLUMNS = {0.0: "margin 0: pairs out of order pay", 1.0: "margin 1: every pair pays"}
RATIOS = {
    (1.0, 0.9): "1/9", (1.0, 0.5): "1", (1.0, 0.1): "9", ("classes", 0.9): "C/9", ("classes", 0.5): "C",
    ("classes", 0.1): "9C",
}  # fmt: skip
ABOUT = (
    "At a line's end: weight of the rank term over that of the separation; C: number of classes.\n"
    "On heavy lines a circle is where the distance has grown 1.35 times, a square where it has doubled.\n"
    "Dotted upright: where the text encoder put the classes."
)
GAP = 0.058  # of a panel's height, between two names
FRAME = ((-0.08, 1.48), (-0.12, 1.08))  # of the panels of released vectors


@dataclass(frozen=True)
class Heavy:
    """How a line that matters is drawn; colours of Okabe and Ito, told apart by the colour-blind."""

    name: str
    colour: str
    dashes: Any


ALONE = Heavy("separation alone", "black", "-")
PAPER = Heavy("1: the paper's", "#D55E00", (0, (6, 2)))
STIFF = Heavy("C: stiff", "#0072B2", (0, (7, 1.5, 1.5, 1.5)))


def draw(vocabularies: Mapping[str, Any], path: Path) -> None:
    """Write the picture of `curve.json`'s vocabularies; the ending of `path` chooses the format."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    released = [name for name in TITLES if name in vocabularies]
    words = [name for name in vocabularies if name not in TITLES]
    style = {"svg.hashsalt": "avshot", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    with mpl.rc_context(style):
        rows = len(released) + (len(words) + 1) // 2
        figure = Figure(figsize=(10, 3.1 * rows + 0.9), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, 2, squeeze=False)
        for row, name in zip(panels, released, strict=False):
            for axes, margin in zip(row, COLUMNS, strict=True):
                _released(axes, TITLES[name], vocabularies[name], margin)
        rest = panels[len(released) :].ravel()
        for axes, name in zip(rest, words, strict=False):
            _words(axes, vocabularies[name])
        for axes in rest[len(words) :]:
            axes.set_visible(False)
        figure.supxlabel(f"mean cosine distance to the nearest other class\n\n{ABOUT}", fontsize=9)
        figure.supylabel("mean rank correlation with the order before", fontsize=9)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _released(axes: Any, title: str, found: Mapping[str, Any], margin: float) -> None:
    """All ratios at one margin, and separation alone."""
    axes.set(xlim=FRAME[0], ylim=FRAME[1])
    axes.set_title(f"{title}, {found['classes']} classes; {COLUMNS[margin]}", fontsize=10)
    _lines(axes, found, [line for line in found["traces"] if line["alpha"] == 1 or line["margin"] == margin])


def _words(axes: Any, found: Mapping[str, Any]) -> None:
    """The heavy lines alone: more were not traced."""
    low = min(min(line["correlation"]) for line in found["traces"])
    right = max(max(line["nearest"]) for line in found["traces"])
    left = min(min(line["nearest"]) for line in found["traces"])
    axes.set(xlim=(left - 0.03, right + 0.35 * (right - left)), ylim=(low - 0.1 * (1 - low), 1 + 0.1 * (1 - low)))
    axes.set_title(f"{found['classes']:,} words, built-in text encoder", fontsize=10)
    _lines(axes, found, found["traces"])


def _lines(axes: Any, found: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    ends = []
    for line in lines:
        heavy = heavy_of(line)
        x, y = line["nearest"], line["correlation"]
        if heavy is None:
            axes.plot(x, y, color="0.6", linewidth=1.0, zorder=1)
        else:
            axes.plot(x, y, color=heavy.colour, linestyle=heavy.dashes, linewidth=2.2, zorder=2)
            for growth, sign in (("1.35", "o"), ("2", "s")):
                at = line["at"][growth]
                if at is not None:
                    rim = {"markeredgecolor": "white", "markersize": 7.5, "zorder": 3}
                    axes.plot(at["nearest"], at["correlation"], sign, color=heavy.colour, **rim)
        name = RATIOS[line["weight"], line["alpha"]] if heavy is None else heavy.name
        ends.append((x[-1], y[-1], name, heavy))
    start = found["traces"][0]["nearest"][0]
    axes.axvline(start, color="0.5", linewidth=0.9, linestyle=":", zorder=0)
    _name_ends(axes, [end for end in ends if end[0] >= start], right=True)
    _name_ends(axes, [end for end in ends if end[0] < start], right=False)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def heavy_of(line: Mapping[str, Any]) -> Heavy | None:
    """Whether a line is one of those that matter."""
    if line["alpha"] == 1:
        return ALONE
    return {(0.5, 1.0, 1.0): PAPER, (0.5, 0.0, "classes"): STIFF}.get((line["alpha"], line["margin"], line["weight"]))


def _name_ends(axes: Any, ends: Sequence[tuple[float, float, str, Heavy | None]], *, right: bool) -> None:
    """Names in a column beside the outermost end, each with a thin line to its own."""
    if not ends:
        return
    (left_edge, right_edge), (low, high) = axes.get_xlim(), axes.get_ylim()
    outermost = max(x for x, *_ in ends) if right else min(x for x, *_ in ends)
    column = outermost + (0.035 if right else -0.035) * (right_edge - left_edge)
    heights = apart([y for _, y, *_ in ends], GAP * (high - low), low, high)
    for (x, y, name, heavy), height in zip(ends, heights, strict=True):
        colour = "0.35" if heavy is None else heavy.colour
        axes.annotate(
            name, (x, y), xytext=(column, height), va="center", ha="left" if right else "right", fontsize=8.5,
            color=colour, fontweight="normal" if heavy is None else "bold",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "0.6", "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Values moved as little as need be for any two of them to be `gap` apart, between `low` and `high`, order kept.

    The steps of `gap` taken off, that is the nearest sequence that never falls (least squares).
    """
    import numpy as np
    from sklearn.isotonic import isotonic_regression

    if not values:
        return []
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    found = np.empty(len(values))
    found[order] = steps + isotonic_regression(np.array(values)[order] - steps, y_min=low, y_max=high - steps[-1])
    return found.tolist()
