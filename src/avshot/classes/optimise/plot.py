"""A picture of what class-embedding optimisation did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avshot.classes.optimise.outcome import Outcome
from avshot.files.output import output_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".webp")  # what `plot_outcome` writes
BEFORE, AFTER = "#0072B2", "#D55E00"  # blue and vermilion of Okabe and Ito: told apart by the colour-blind
_LABELLED = 40  # classes that can be named one by one
_LONGEST = 32  # characters of a name


def plot_outcome(outcome: Outcome, path: str | os.PathLike[str]) -> None:
    """Write `draw_outcome` to a file.

    Args:
        outcome: What happened.
        path: Picture file; its ending chooses the format (see `PICTURES`).

    Raises:
        ValueError: Another ending; or the folder cannot be made.
    """
    draw_outcome(outcome).savefig(output_file(Path(path), PICTURES, "picture"))


def draw_outcome(outcome: Outcome | Mapping[str, Any], *, title: str = "") -> Figure:
    """Draw nearest-neighbour distances before and after, class by class, and the way there, step by step.

    Args:
        outcome: An `Outcome`, or its `to_dict()` as a Run stores it.
        title: What was optimised, for example the dataset and stage; shown above the summary.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data = outcome.to_dict() if isinstance(outcome, Outcome) else dict(outcome)
    count = len(data["names"])
    labelled = count <= _LABELLED
    figure = Figure(figsize=(11, max(4.8, 0.24 * count + 2.0) if labelled else 5.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # never a window, whatever backend the user has chosen
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 2))
    _draw_classes(figure.add_subplot(grid[:, 0]), data, labelled)
    _draw_history(figure.add_subplot(grid[0, 1]), data, "nearest", data["mean_before"], BEFORE)
    _draw_history(figure.add_subplot(grid[1, 1]), data, "correlation", 1.0, AFTER)
    figure.suptitle(f"{title}\n{_caption(data)}" if title else _caption(data), fontsize=11)
    return figure


def _caption(data: Mapping[str, Any]) -> str:
    return (
        f"Class-embedding optimisation of {len(data['names'])} classes: nearest neighbours "
        f"{data['growth']:.2f} times as far, rank correlation {data['correlation']:.3f}, stopped by {data['stopped']}"
    )


def _draw_classes(axes: Any, data: Mapping[str, Any], labelled: bool) -> None:
    """A line from before to after for each class, the classes with the nearest neighbours on the left (or on top)."""
    before, after = data["nearest_before"], data["nearest_after"]
    order = sorted(range(len(before)), key=lambda i: before[i])
    place = list(range(len(order)))
    ends = ([before[i] for i in order], [after[i] for i in order])
    size = 5 if labelled else 3
    distance = "cosine distance to the nearest other class"
    if labelled:
        axes.hlines(place, *ends, color="0.75", linewidth=1.5, zorder=1)
        axes.plot(ends[0], place, "o", color=BEFORE, markersize=size, label="before")
        axes.plot(ends[1], place, "D", color=AFTER, markersize=size, label="after")
        axes.set_yticks(place, [_short(data["names"][i]) for i in order], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(distance)
        axes.set_xlim(0, 1.05 * max(*before, *after, 0.01))
        axes.grid(axis="x", color="0.9")
    else:
        axes.vlines(place, *ends, color="0.8", linewidth=0.8, zorder=1)
        axes.plot(place, ends[0], "o", color=BEFORE, markersize=size, label="before")
        axes.plot(place, ends[1], "D", color=AFTER, markersize=size, label="after")
        axes.set_xlabel("class, by its distance before")
        axes.set_ylabel(distance)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.set_title("Each class", fontsize=10)
    axes.legend(loc="lower left" if labelled else "lower right", fontsize=9)  # where no class is


def _draw_history(axes: Any, data: Mapping[str, Any], key: str, start: float, colour: str) -> None:
    values = [start, *(entry[key] for entry in data["history"])]
    axes.plot(range(len(values)), values, "-o", color=colour, markersize=3, linewidth=1.5)
    axes.set_xlabel("step")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if key == "nearest":
        axes.set_title("Separation", fontsize=10)
        axes.set_ylabel("mean cosine distance\nto nearest class")
    else:
        axes.set_title("Relations kept", fontsize=10)
        axes.set_ylabel("mean rank correlation\nwith before")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _short(name: str) -> str:
    flat = " ".join(name.split())
    short = flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
    return short.replace("$", r"\$")  # a name is no formula
