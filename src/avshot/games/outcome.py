"""What `avshot games play` leaves behind: one table in Markdown and CSV, and one page with pictures and messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avshot.errors import WrongRun
from avshot.files.atomic import load_sealed, save_text
from avshot.games.grid import HEAD, Cell, as_csv, table
from avshot.games.page import html_table, section, write_page
from avshot.games.plan import Plan
from avshot.terminal.tables import markdown

EXPLAIN = (
    "Score: success in rei, mean IoU in res, over held-out episodes that are the same for all; mean ± sample deviation "
    "over seeds. 95 %: interval of the first seed. p: two-sided paired test over its episodes. Words: of a message. "
    "Colours: share of words. KL: to the speaker before learning, in nats a message. No answer, empty: share of "
    "episodes. Printed: what the thesis has there, with other players."
)


def write_outcome(plan: Plan, cells: Sequence[Cell], out: Path) -> Path:
    """Write `games.md`, `games.csv` and `report.html` into a folder; returns the page."""
    lines = table(plan, cells)
    notes = [f"- {e.row}, {e.column}: {e.value:g}, {e.note}" for e in plan.published if e.note]
    source = f"Source: {plan.source}.\n\n" if plan.source else ""
    against = f"Tested against: {plan.against}.\n\n" if plan.against else ""
    text = f"# {plan.title}\n\n{source}{EXPLAIN}\n\n{against}{markdown(HEAD, lines)}\n"
    save_text(out / "games.md", text + ("\nPrinted numbers:\n\n" + "\n".join(notes) + "\n" if notes else ""))
    save_text(out / "games.csv", as_csv(plan, cells))
    parts = [f"<p>{EXPLAIN}</p>", html_table(HEAD, lines)]
    parts += [section(cell.folders[0], f"{cell.row}, {cell.column}") for cell in cells]
    page = out / "report.html"
    write_page(page, plan.title, plan.source, parts)
    return page


def report_folders(folders: Sequence[Path], page: Path, shown: int) -> int:
    """Write a page about all experiments in or below some folders; returns how many there are.

    Raises:
        ValueError: There is none.
    """
    found = sorted({path.parent for folder in folders for path in folder.rglob("play.json")})
    if not found:
        raise WrongRun(f"There is no finished game in {', '.join(map(str, folders))}; `avshot games play` makes them.")
    lines, parts = [], []
    for folder in found:
        record = load_sealed(folder / "play.json")
        now = record.get("after", record["before"])
        colours = "-" if now["colours"] is None else f"{now['colours']:.2f}"
        interval = f"{now['low']:.2f} to {now['high']:.2f}"
        measured = [f"{record['before']['score']:.3f}", f"{now['score']:.3f}", interval, f"{now['words']:.2f}", colours]
        lines.append([str(folder), record["asked"]["learner"], *measured])
        parts.append(section(folder, str(folder), shown))
    head = ("folder", "learner", "before", "after", "95 %", "words", "colours")
    write_page(page, "Reference games", "", [html_table(head, lines), *parts])
    return len(found)
