"""The picture of the separability-semantics curve: one panel for each vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TITLES = {"ucf": "UCF, released vectors", "activitynet": "ActivityNet, released vectors"}
TITLES |= {"vggsound": "VGGSound, released vectors"}
LINES = {0.0: "-", 0.5: "--", 1.0: ":"}
# Points to find again in the table: (alpha, margin, weight), growth or None for the end, sign, colour, what it is.
# The colours are of Okabe and Ito, told apart by the colour-blind; the signs differ too.
MARKS = (
    ((0.5, 1.0, 1.0), "1.35", "*", "#D55E00", "EZ-AVGZL's setting as we run it (default): x1.35"),
    ((0.5, 1.0, 1.0), "2", "P", "#D55E00", "the same, x2"),
    ((0.5, 1.0, 1.0), None, "X", "#D55E00", "the same, to the end"),
    ((0.5, 0.0, "classes"), "1.35", "o", "#0072B2", "stiff (margin 0, weight C): x1.35"),
    ((0.5, 0.0, "classes"), "2", "s", "#0072B2", "the same, x2"),
    ((0.5, 0.0, "classes"), None, "D", "#0072B2", "the same, to the end"),
)


def draw(vocabularies: Mapping[str, Any], path: Path) -> None:
    """Write the picture of `curve.json`'s vocabularies; the ending of `path` chooses the format."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {"svg.hashsalt": "avshot", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    with mpl.rc_context(style):
        rows = (len(vocabularies) + 1) // 2
        figure = Figure(figsize=(10, 3.9 * rows + 1.5), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes, (name, found) in zip(panels, vocabularies.items(), strict=False):
            _panel(axes, name, found)
        for axes in panels[len(vocabularies) :]:
            axes.set_visible(False)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(axes: Any, name: str, found: Mapping[str, Any]) -> None:
    for line in found["traces"]:
        alone = line["alpha"] == 1
        style = {"color": "black", "linewidth": 2.0} if alone else {"color": _colour(line), "linewidth": 1.2}
        axes.plot(line["nearest"], line["correlation"], "-" if alone else LINES[line["margin"]], **style)
    for key, growth, sign, colour, _ in reversed(MARKS):  # the paper's lie on top
        point = _point(found, key, growth)
        if point is not None:
            axes.plot(*point, sign, color=colour, markersize=_size(sign), markeredgecolor="white", zorder=5)
    start = found["traces"][0]["nearest"][0]
    axes.axvline(start, color="0.7", linewidth=0.8, zorder=0)
    axes.set_title(f"{TITLES.get(name, 'words, built-in text encoder')}: {found['classes']:,} classes", fontsize=10)
    axes.set_xlabel("mean cosine distance to the nearest other class")
    axes.set_ylabel("mean rank correlation with before")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _point(found: Mapping[str, Any], key: tuple[Any, ...], growth: str | None) -> tuple[float, float] | None:
    """Where a setting is at a growth, or at its end; None where it does not come that far."""
    lines = [line for line in found["traces"] if (line["alpha"], line["margin"], line["weight"]) == key]
    if not lines:
        return None
    if growth is None:
        return lines[0]["nearest"][-1], lines[0]["correlation"][-1]
    at = lines[0]["at"][growth]
    return None if at is None else (at["nearest"], at["correlation"])


def _colour(line: Mapping[str, Any]) -> Any:
    """By the weight of the order against separation: alpha and weight act through nothing else."""
    return _shades()[(line["weight"] == "classes", line["alpha"])]


def _shades() -> dict[tuple[bool, float], Any]:
    import matplotlib as mpl

    scale = mpl.colormaps["viridis"]
    steps = [(False, 0.9), (False, 0.5), (False, 0.1), (True, 0.9), (True, 0.5), (True, 0.1)]
    return {step: scale(0.93 - 0.18 * i) for i, step in enumerate(steps)}


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    ratios = ("1/9", "1", "9", "C/9", "C", "9C")
    shades = [
        Line2D([], [], color=colour, label=f"rank term / separation = {ratio}")
        for ratio, colour in zip(ratios, _shades().values(), strict=True)
    ]
    lines = [Line2D([], [], color="0.3", linestyle=line, label=f"margin {margin:g}") for margin, line in LINES.items()]
    alone = [
        Line2D([], [], color="black", linewidth=2, label="separation alone"),
        Line2D([], [], color="0.7", linewidth=0.8, label="where the text encoder put them"),
    ]
    marks = [
        Line2D(
            [], [], marker=sign, color=colour, linestyle="", markersize=_size(sign), markeredgecolor="white", label=text
        )
        for _, _, sign, colour, text in MARKS
    ]
    filler = Line2D([], [], linestyle="", label=" ")  # so that each kind has its column
    return [*shades, *lines, *alone, filler, *marks]


def _size(sign: str) -> int:
    return {"*": 14, "P": 10, "X": 10}.get(sign, 8)
