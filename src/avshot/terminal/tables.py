"""Tables for people: aligned in the terminal, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print an aligned table: columns of numbers to the right, text to the left, missing cells as "-"."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    console = Console()
    for i, name in enumerate(head):
        numeric = is_numeric(row[i] for row in rows)  # on a narrow terminal words wrap and numbers stay whole
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    if not console.is_terminal:  # a log or a pipe: never wrap
        needed = (max(cell_len(str(row[i])) for row in [head, *rows]) + 3 for i in range(len(head)))
        console = Console(width=max(120, sum(needed)))
    console.print(Text(title, style="bold"), soft_wrap=True)  # as the table's own title it would wrap at its width
    console.print(table)


def is_numeric(cells: Iterable[object]) -> bool:
    """Every cell is a number with at most its deviation or unit, or says that there is none."""
    number = re.compile(r"-|[-+]?[\d.,/]+( ?± ?[\d.]+)?( ?(%|s|k|M|MB|ms|x))?|")
    return all(number.fullmatch(str(cell)) for cell in cells)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same table as Markdown, padded so that it reads as plain text too."""
    cells = [[_cell(c) for c in row] for row in [head, *rows]]
    width = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]
    right = [is_numeric(row[i] for row in rows) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, width, right, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(width, right, strict=True)) + "|"
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])]) + "\n"


def _cell(content: object) -> str:
    text = " ".join(str(content).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
