"""`avshot report`: the table in the terminal, the page in a file; or two Runs side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avshot.errors import BadSetting
from avshot.terminal.progress import note, say
from avshot.terminal.tables import print_table


def write_report(
    roots: Sequence[Path], out: Path | None, *, runs: list[Any] | None = None, classes: Sequence[str] = ()
) -> Path:
    """`avshot report`: print the table, write the HTML page and its Markdown twin; returns the page's path.

    A damaged Run is named in a note and left out.

    Args:
        roots: Folders with Runs in or below them.
        out: The page; None for `report.html` in the folder, or in the one that holds all of them.
        runs: Where they have been read already.
        classes: For the maps of clips.
    """
    from avshot.report.document import check_page
    from avshot.report.page import write_page
    from avshot.report.rows import remarks, summarise, table, tables

    page = check_page(out or _shared(roots) / "report.html")
    runs = _found(roots) if runs is None else runs
    rows = summarise(runs)
    for name, members in tables(rows).items():
        print_table(f"{name}: per cent, mean ± deviation over seeds", *table(members))
        for remark in remarks(members):
            note(remark)
    write_page(runs, page, classes=classes)
    say(f"report: {page}")
    return page


def compare_runs(folders: Sequence[Path], out: Path | None, *, classes: Sequence[str] = ()) -> Path:
    """`avshot report A B --compare`: what differs between two Runs, in words and in pictures; returns the page's path.

    Args:
        folders: Two, each a Run or with exactly one Run below it.
        out: The page; None for `compare.html` in the folder that holds both.
        classes: For the maps of clips.

    Raises:
        ValueError: Not two folders, not one Run in each, or Runs that cannot be compared.
    """
    from avshot.report.comparison import write_comparison
    from avshot.report.difference import difference
    from avshot.report.document import check_page

    if len(folders) != 2:
        raise BadSetting(f"Got {len(folders)} folders to compare; expected two Runs: avshot report RUN RUN --compare.")
    first, second = (_one_run(folder) for folder in folders)
    page = check_page(out or _shared(folders) / "compare.html")
    write_comparison(first, second, page, classes=classes)
    say(difference(first, second))
    say(f"comparison: {page}")
    return page


def _found(roots: Sequence[Path]) -> list[Any]:
    """The Runs of all folders, each once."""
    from avshot.run import find_runs

    found: dict[Path, Any] = {}
    for root in roots:
        if not root.is_dir():
            raise BadSetting(f"{root} is not a folder; pass one with Runs in or below it.")
        here = find_runs(root, skipped=note)
        if not here:
            raise BadSetting(f"No finished Run in or below {root} that can be read; make one with `avshot train`.")
        found |= {run.path.resolve(): run for run in here if run.path.resolve() not in found}
    return list(found.values())


def _one_run(folder: Path) -> Any:
    runs = _found([folder])
    if len(runs) > 1:
        some = ", ".join(str(run.path) for run in runs[:4])
        raise BadSetting(f"{folder} holds {len(runs)} Runs; compare two single ones, for example {some}.")
    return runs[0]


def _shared(folders: Sequence[Path]) -> Path:
    """The folder itself, or the one that holds all of several."""
    for folder in folders:
        if not folder.is_dir():
            raise BadSetting(f"{folder} is not a folder; pass one with Runs in or below it.")
    if len(folders) == 1:
        return folders[0]
    shared = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    if shared == Path(shared.anchor):
        raise BadSetting("The folders have nothing in common; say with --out where the page is to go.")
    return shared
