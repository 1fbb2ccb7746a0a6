"""One self-contained HTML page and its Markdown twin, from finished Runs alone."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from avshot.files.atomic import save_bytes, save_text
from avshot.files.lock import sole_writer
from avshot.files.output import output_file
from avshot.report import figures
from avshot.report.published import published
from avshot.report.rows import Row, remarks, summarise, table, tables
from avshot.run import Run
from avshot.terminal.tables import is_numeric, markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1b1b; max-width: 68rem;
       margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.6rem; border-bottom: 2px solid #0072B2; }
h3 { margin-top: 1.8rem; } .lead { color: #555; margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; white-space: nowrap; }
th, td { padding: .28rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
.words { text-align: left; } th { border-bottom: 2px solid #1b1b1b; }
tr.reference td { color: #666; font-style: italic; } tr.best td { font-weight: 600; }
img { max-width: 100%; height: auto; } figure { margin: 1.2rem 0; } .warn { background: #fff4e0; padding: .5rem .9rem;
border-left: 4px solid #E69F00; } code { background: #f2f2f2; padding: 0 .25rem; } details { margin: .6rem 0; }
"""
_PICTURE = "[0-9][0-9][0-9]-*.png"


def write_page(runs: Sequence[Run], file: Path) -> None:
    """Write `file` (HTML, nothing is fetched when it is opened) and the same content as Markdown beside it.

    Args:
        runs: Finished Runs, at least one, of one or several datasets.
        file: Path of the HTML page; the Markdown file has the suffix `.md`, its figures lie in `<stem>-figures/`.

    Raises:
        ValueError: No Runs, or a path that ends in `.md`.
    """
    if not runs:
        raise ValueError("Got 0 Runs for a report; expected at least one.")
    check_page(file)
    rows = summarise(runs)
    folder = file.with_name(f"{file.stem}-figures")
    with sole_writer(folder):
        for partial in folder.parent.glob(f".{file.stem}.*.partial"):  # of a command that was killed while it wrote
            partial.unlink(missing_ok=True)
        _write_page(rows, file, folder)


def check_page(file: Path) -> Path:
    """`file`, when a page can be written there. Raises ValueError or OSError otherwise, before any figure is drawn."""
    output_file(file, (".html", ".htm"), "report")
    try:
        file.with_name(f"{file.stem}-figures").mkdir(exist_ok=True)
    except FileExistsError:
        raise ValueError(f"A file is in the way of the figures of {file}; pass another path.") from None
    return file


def _write_page(rows: list[Row], file: Path, folder: Path) -> None:
    """All parts are made before the first file is written; pictures of an earlier report go last."""
    explained = list(dict.fromkeys(row.task.explain for row in rows))
    html, text = [], ["# avshot report\n", *(f"{paragraph}\n" for paragraph in explained)]
    pictures: dict[Path, bytes] = {}
    for name, members in tables(rows).items():
        html.append(f"<h2>{escape(name)}</h2>")
        text.append(f"## {_plain(name)}\n")
        for warning in (*members[0].runs[0].info["data"]["warnings"], *remarks(members)):
            html.append(f'<p class="warn">{escape(warning)}</p>')
            text.append(f"> {_plain(warning)}\n")
        _add_tables(members, html, text)
        for title, figure in _figures(members):
            path = folder / f"{len(pictures):03d}-{_slug(title)}.png"
            pictures[path] = _png(figure)
            html.append(_image(title, pictures[path]))
            text.append(f"### {_plain(title)}\n\n![{_plain(title)}](<{folder.name}/{path.name}>)\n")
        html += [_class_table(row) for row in _detailed(members)]
    about = f"{date.today().isoformat()} · {_versions([run for row in rows for run in row.runs])}"
    head = f"<h1>avshot report</h1><p class='lead'>{about}</p>" + "".join(f"<p>{escape(p)}</p>" for p in explained)
    body = f"<title>avshot report</title><style>{_STYLE}</style>{head}{''.join(html)}{_settings(rows)}"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    for path, content in pictures.items():
        save_bytes(path, content)
    save_text(file, f'<!doctype html><html lang="en">{meta}{body}</html>\n')
    save_text(file.with_suffix(".md"), "\n".join(text))
    for old in set(folder.glob(_PICTURE)) - set(pictures):  # of an earlier report
        old.unlink(missing_ok=True)


def _add_tables(rows: list[Row], html: list[str], text: list[str]) -> None:
    head, cells = table(rows)
    html.append(_html_table(head, cells, [not row.runs for row in rows]))
    text.append(markdown(head, cells))
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
        about = "-" if mine is None else f"{mine.label}, selected on {mine.selected_on}"
        lines.append([who, *pairs, about, "; ".join(said)])
    html.append("<h3>Published numbers beside ours</h3>" + _html_table(columns, lines, [False] * len(lines)))
    text.append("### Published numbers beside ours\n\n" + markdown(columns, lines))


def _said_of(row: dict[str, str]) -> str:
    """Source of a published row, what selected epoch and calibration, and what is odd about its numbers."""
    by = row["selected_on"]
    chosen = "selection not stated" if by == "unstated" else f"selected on {by}"
    return f"{row['source']}, {chosen}" + (f" ({row['note']})" if row["note"] else "")


def _figures(rows: list[Row]) -> list[tuple[str, Figure]]:
    """Figures over all rows, then the detailed ones for the best row and, where it is another, `ez_avgzl`."""
    made: list[tuple[str, Figure | None]] = [
        ("Seen against unseen", figures.seen_unseen(rows)),
        ("Learning", figures.learning(rows)),
    ]
    draw: tuple[tuple[str, Callable[[Row], Figure | None]], ...] = (
        ("Accuracy per class", figures.per_class),
        ("Confusion", figures.confusion),
        ("Input and learnt embeddings", figures.tsne),
    )
    for row in _detailed(rows):
        made += [(f"{title}: {row.label}", function(row)) for title, function in draw]
        made += [(f"Class-embedding optimisation: {row.label}", figure) for figure in figures.class_embeddings(row)]
    return [(title, figure) for title, figure in made if figure is not None]


def _detailed(rows: list[Row]) -> list[Row]:
    """The best row and, where it is another, the best of `ez_avgzl`."""
    best = [row for row in rows if row.runs][:1]
    own = [row for row in rows if row.runs and row.runs[0].experiment.method == "ez_avgzl"][:1]
    return best + [row for row in own if row not in best]


def _class_table(row: Row) -> str:
    """Accuracy of every class, folded away: figures name only so many."""
    test = row.runs[0].scored("test")
    if test is None or not all(run.metrics.get("per_class") for run in row.runs):
        return ""
    clips = torch.bincount(test.labels, minlength=len(test.names)).tolist()
    lines = []
    for i, name in enumerate(test.names):
        found = [100 * run.metrics["per_class"][i] for run in row.runs if run.metrics["per_class"][i] is not None]
        value = f"{sum(found) / len(found):.1f}" if found else "-"
        lines.append([name, "seen" if test.seen[i] else "unseen", value, str(clips[i])])
    content = _html_table(["class", "kind", "accuracy (%)", "test clips"], lines, [False] * len(lines))
    return f"<details><summary>Accuracy per class as a table: {escape(row.label)}</summary>{content}</details>"


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the built-in font lacks
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _image(title: str, content: bytes) -> str:
    code = base64.b64encode(content).decode()
    return f'<figure><h3>{escape(title)}</h3><img alt="{escape(title)}" src="data:image/png;base64,{code}"></figure>'


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]], reference: Sequence[bool]) -> str:
    words = [not is_numeric(row[i] for row in rows) for i in range(len(head))]

    def line(cells: Sequence[str], tag: str, kind: str = "") -> str:
        opened = (f'<{tag} class="words">' if word else f"<{tag}>" for word in words)
        return f"<tr{kind}>" + "".join(f"{o}{escape(c)}</{tag}>" for o, c in zip(opened, cells, strict=True)) + "</tr>"

    kinds = [' class="reference"' if is_reference else "" for is_reference in reference]
    body = "".join(line(row, "td", kind) for row, kind in zip(rows, kinds, strict=True))
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def _settings(rows: Sequence[Row]) -> str:
    """Everything each row was made with, folded away."""
    import yaml

    parts = ["<h2>Settings</h2>"]
    for row in rows:
        if row.runs:
            first = row.runs[0]
            content = yaml.safe_dump(
                {"experiment": first.experiment.model_dump(mode="json"), "resolved": first.info["resolved"]}
                | {"chosen": first.info["chosen"], "features": first.info["features"]},
                sort_keys=False,
            )
            title = f"{row.dataset}: {row.label}, seeds {', '.join(str(r.experiment.seed) for r in row.runs)}"
            parts.append(f"<details><summary>{escape(title)}</summary><pre>{escape(content)}</pre></details>")
    return "".join(parts)


def _versions(runs: Sequence[Run]) -> str:
    return escape(", ".join(f"{name} {version}" for name, version in runs[0].info["versions"].items()))


def _slug(text: str) -> str:
    """For a file name: short enough for every file system."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())[:60].strip("-")


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
