"""`avshot report`: the table in the terminal, the page in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avshot.terminal.progress import note, say
from avshot.terminal.tables import print_table


def write_report(root: Path, out: Path | None, *, runs: list[Any] | None = None) -> Path:
    """`avshot report`: print the table, write the HTML page and its Markdown twin; returns the page's path.

    A damaged Run is named in a note and left out.
    """
    from avshot.report.page import check_page, write_page
    from avshot.report.rows import remarks, summarise, table, tables
    from avshot.run import find_runs

    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; pass one with Runs in or below it.")
    page = check_page(out or root / "report.html")
    runs = find_runs(root, skipped=note) if runs is None else runs
    if not runs:
        raise ValueError(f"No finished Run in or below {root} that can be read; make one with `avshot train`.")
    rows = summarise(runs)
    for name, members in tables(rows).items():
        print_table(f"{name}: per cent, mean ± deviation over seeds", *table(members))
        for remark in remarks(members):
            note(remark)
    write_page(runs, page)
    say(f"report: {page}")
    return page
