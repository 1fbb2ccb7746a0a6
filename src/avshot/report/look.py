"""What all figures of a report share: colours, line styles, sizes, how names are shown."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from avshot.report.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common colour-vision deficiency. In print without colour the dashes and
# the markers tell lines apart, so each line has its own of both.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
DASHES: tuple[Any, ...] = (
    "-", (0, (6, 2)), (0, (1.2, 1.6)), (0, (7, 2, 1.2, 2)), (0, (3, 1.5)), (0, (9, 2, 1.2, 2, 1.2, 2)), (0, (12, 3)),
)  # fmt: skip
MARKERS = "os^DvPX"
SEEN, UNSEEN = PALETTE[0], PALETTE[1]
HATCH = "////"  # of what is unseen, where bars are told apart in print without colour
MOST_TICKS = 40  # class names that stay legible on one axis
MOST_LINES = len(DASHES)  # rows with a look of their own in a line figure; the others are grey
BAND = {"alpha": 0.15, "linewidth": 0, "zorder": 0.5}  # of a deviation around a line
LONGEST = 36  # characters of a name in a figure


def blank(width: float, height: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure of some inches and its axes, without the two upper spines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots(**grid)
    for axis in np.atleast_1d(axes).flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def line(i: int, label: str) -> dict[str, Any]:
    """Look of the i-th line, best row first; those after `MOST_LINES` are grey and share one label."""
    if i >= MOST_LINES:
        shared = "further rows, see the table" if i == MOST_LINES else "_nolegend_"
        return {"color": "#bbbbbb", "linewidth": 0.8, "zorder": 1, "label": shared}
    own = {"color": PALETTE[i], "linestyle": DASHES[i], "marker": MARKERS[i], "markersize": 5, "zorder": 2.5}
    return own | {"linewidth": 1.6, "label": label}


def dot(i: int) -> dict[str, Any]:
    """Look of the points that were chosen on the i-th line: its marker, large and rimmed."""
    if i >= MOST_LINES:
        return {"color": "#bbbbbb", "marker": "o", "linestyle": "", "markersize": 4, "zorder": 1}
    rim = {"markeredgecolor": "black", "markeredgewidth": 1.0}
    return {"color": PALETTE[i], "marker": MARKERS[i], "linestyle": "", "markersize": 9, "zorder": 3, **rim}


def titled(row: Row, text: str, width: float) -> str:
    """The text under the row's label, broken over lines for a figure `width` inches wide."""
    most = int(11 * width)  # characters of 11 points
    return "\n".join(part for whole in (shown(row.label, 180), text) for part in wrap(whole, most))


def shown(name: str, longest: int = LONGEST) -> str:
    """A name as matplotlib is to draw it: on one line, not too long, and `$` no formula."""
    flat = plain(name)
    return (flat if len(flat) <= longest else flat[: longest - 1] + "…").replace("$", r"\$")


def plain(name: str) -> str:
    """A name on one line, without what no XML may hold."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())


def legend_below(figure: Figure) -> None:
    """Long names leave the axes alone when the legend has its own strip."""
    names = [text for axis in figure.axes for text in axis.get_legend_handles_labels()[1]]
    columns = 1 if len(names) <= 4 or max(map(len, names), default=0) > 40 else 2 if len(names) <= 8 else 3
    figure.legend(frameon=False, fontsize=9, loc="outside lower left", ncols=columns, handlelength=4)


def seeds_of(row: Row) -> str:
    """`seed 0`, or `3 seeds`."""
    return f"seed {row.runs[0].experiment.seed}" if len(row.runs) == 1 else f"{len(row.runs)} seeds"
