"""One self-contained HTML page and its Markdown twin, from finished Runs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from avshot.report import clip_maps
from avshot.report.bars import per_class
from avshot.report.confusion import confusion
from avshot.report.document import Document
from avshot.report.html import html_table
from avshot.report.lines import learning, seen_unseen
from avshot.report.look import titled
from avshot.report.published import published
from avshot.report.rows import Row, remarks, summarise, table, tables
from avshot.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(runs: Sequence[Run], file: Path, *, classes: Sequence[str] = ()) -> None:
    """Write `file` (HTML, nothing is fetched when it is opened) and the same content as Markdown beside it.

    Args:
        runs: Finished Runs, at least one, of one or several datasets.
        file: Path of the HTML page; the Markdown file has the suffix `.md`, its figures lie in `<stem>-figures/`.
        classes: Draw only these in the t-SNE of clips; all where none is named.

    Raises:
        ValueError: No Runs, a path that does not end in `.html`, or a class without test clips.
    """
    if not runs:
        raise ValueError("Got 0 Runs for a report; expected at least one.")
    rows = summarise(runs)
    if classes:
        firsts = [row.runs[0].scored("test") for row in rows if row.runs]
        clip_maps.check_classes([test for test in firsts if test is not None], classes)
    document = Document(file, "avshot report", about(runs))
    for paragraph in dict.fromkeys(row.task.explain for row in rows):
        document.say(paragraph)
    for name, members in tables(rows).items():
        document.heading(name)
        for warning in (*members[0].runs[0].info["data"]["warnings"], *remarks(members)):
            document.warn(warning)
        _add_tables(members, document)
        if any(len(run.draws) > 1 for row in members for run in row.runs):
            document.say("Figures and tables of single classes and clips are of the first draw.")
        for title, figure in _figures(members, classes):
            document.figure(title, figure)
        for row in _detailed(members):
            _add_class_table(row, document)
    document.heading("Settings")
    for row in rows:
        add_settings(row, document)
    document.write()


def about(runs: Sequence[Run]) -> str:
    """Date, and the versions that the first Run was made with."""
    made = ", ".join(f"{name} {version}" for name, version in runs[0].info["versions"].items())
    return f"{date.today().isoformat()} · {made}"


def _add_tables(rows: list[Row], document: Document) -> None:
    head, cells = table(rows)
    document.table(head, cells, [not row.runs for row in rows])
    theirs = published(rows[0].runs[0].info["data"]["name"])
    if not theirs:
        return
    metrics = [m for m in rows[0].task.metrics if m in theirs[0]]  # papers print no AUSUC
    if not metrics:
        return
    ours = {row.runs[0].experiment.method: row for row in reversed(rows) if row.runs}  # the best row of each method
    columns = ["published", *(f"{m} {who}" for m in metrics for who in ("published", "ours")), "our row", "source"]
    sources: dict[tuple[str, ...], list[str]] = {}  # later papers quote the numbers of earlier ones
    for row in theirs:
        sources.setdefault((row["method"], *(row[m] for m in metrics)), []).append(_said_of(row))
    lines = []
    for (who, *numbers), said in sources.items():
        mine = ours.get(who.split()[0])  # "ez_avgzl ranking loss" is a variant of ez_avgzl
        pairs = [
            value
            for m, number in zip(metrics, numbers, strict=True)
            for value in (number, "-" if mine is None else mine.cell(m))
        ]
        told = "-" if mine is None else f"{mine.label}, selected on {mine.selected_on}"
        lines.append([who, *pairs, told, "; ".join(said)])
    document.heading("Published numbers beside ours", 3)
    document.table(columns, lines)


def _said_of(row: dict[str, str]) -> str:
    """Source of a published row, what selected epoch and calibration, and what is odd about its numbers."""
    by = row["selected_on"]
    chosen = "selection not stated" if by == "unstated" else f"selected on {by}"
    return f"{row['source']}, {chosen}" + (f" ({row['note']})" if row["note"] else "")


def _figures(rows: list[Row], classes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Figures over all rows, then the detailed ones for the best row and, where it is another, `ez_avgzl`."""

    def maps(row: Row) -> Figure | None:
        return clip_maps.tsne(row, classes)

    detailed: tuple[tuple[str, Callable[[Row], Figure | None]], ...] = (
        ("Accuracy per class", per_class),
        ("Confusion", confusion),
        ("Input and learnt embeddings", maps),
    )
    made = [("Seen against unseen", seen_unseen(rows)), ("Learning", learning(rows))]
    for row in _detailed(rows):
        made += [(f"{title}: {row.label}", draw(row)) for title, draw in detailed]
        made += [(f"Class-embedding optimisation: {row.label}", figure) for figure in _class_embeddings(row)]
    yield from ((title, figure) for title, figure in made if figure is not None)


def _class_embeddings(row: Row) -> list[Figure]:
    """Class-embedding optimisation of stage 2, one figure per text encoder; none where it did not run."""
    from avshot.classes.optimise.plot import draw_outcome

    outcomes = row.runs[0].info["optimise"]["test"] if row.runs else {}
    return [draw_outcome(outcome, title=titled(row, f"text: {name}", 11.0)) for name, outcome in outcomes.items()]


def _detailed(rows: list[Row]) -> list[Row]:
    """The best row and, where it is another, the best of `ez_avgzl`."""
    best = [row for row in rows if row.runs][:1]
    own = [row for row in rows if row.runs and row.runs[0].experiment.method == "ez_avgzl"][:1]
    return best + [row for row in own if row not in best]


def _add_class_table(row: Row, document: Document) -> None:
    """Accuracy of every class, folded away: figures name only so many."""
    test = row.runs[0].scored("test")
    if test is None or not all(run.metrics.get("per_class") for run in row.runs):
        return
    clips = torch.bincount(test.labels, minlength=len(test.names)).tolist()
    lines = []
    for i, name in enumerate(test.names):
        found = [100 * run.metrics["per_class"][i] for run in row.runs if run.metrics["per_class"][i] is not None]
        value = f"{sum(found) / len(found):.1f}" if found else "-"
        lines.append([name, row.task.kinds[0 if test.seen[i] else 1], value, str(clips[i])])
    content = html_table(["class", "kind", "accuracy (%)", "test clips"], lines)
    document.fold(f"Accuracy per class as a table: {row.label}", content)


def add_settings(row: Row, document: Document) -> None:
    """Everything a row was made with, folded away."""
    import yaml

    if not row.runs:
        return
    first = row.runs[0]
    content = yaml.safe_dump(
        {"experiment": first.experiment.model_dump(mode="json"), "resolved": first.info["resolved"]}
        | {"chosen": first.info["chosen"], "features": first.info["features"]},
        sort_keys=False,
    )
    title = f"{row.dataset}: {row.label}, seeds {', '.join(str(run.experiment.seed) for run in row.runs)}"
    document.fold(title, f"<pre>{escape(content)}</pre>")
