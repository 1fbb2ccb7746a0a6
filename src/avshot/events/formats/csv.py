"""CSV: a table with a row for each event; times in seconds to the millisecond, probabilities to four digits."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, event_at, one_line
from avshot.events.span import Event
from avshot.files.atomic import save_text
from avshot.files.text import Row, Table, read_table

COLUMNS = ("file", "start", "end", "name", "probability", "sound", "picture")
_OTHERS = {"file": ("path", "filename", "video"), "name": ("label", "class")}  # as tables of labels call them


class Csv(Format):
    """`file,start,end,name,probability,sound,picture`; empty where a share is not known."""

    endings: ClassVar[tuple[str, ...]] = (".csv", ".tsv")
    several: ClassVar[bool] = True

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a table, its cells separated by commas; an ending `.tsv` makes them tabs."""
        rows = [[*cells_of(event)] for event in events]
        save_text(path, table_text(COLUMNS, rows, tabs=path.suffix.lower() == ".tsv"))

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read a table, as a spreadsheet saves it, too; needs start, end and name (or label); the rest may lack."""
        return [event for event, _ in read_rows(path, file)]

    def is_like(self, head: bytes) -> bool:
        """A header that names start and end."""
        lines = beginning(head).split("\n", 2)
        header = lines[1] if lines[0].lower().startswith("sep=") and len(lines) > 1 else lines[0]
        return {"start", "end"} <= {cell.strip(' "\r').lower() for cell in re.split("[,;\t]", header)}


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]], *, tabs: bool = False) -> str:
    """A table with a header as text, its cells in quotes where they need them."""
    out = io.StringIO()
    csv.writer(out, delimiter="\t" if tabs else ",", lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


def cells_of(event: Event) -> list[str]:
    """The cells of an event, in the order of `COLUMNS`."""
    numbers = (event.probability, event.sound, event.picture)
    shares = ["" if value is None else f"{value:.4f}" for value in numbers]
    return [event.file, f"{event.start:.3f}", f"{event.end:.3f}", one_line(event.name), *shares]


def read_rows(path: Path, file: str) -> list[tuple[Event, Row]]:
    """The events of a table, each with its row.

    Args:
        path: The table.
        file: The recording of rows that name none.

    Raises:
        ValueError: No such table; names the line.
    """
    table = read_table(path)
    spelt = {wanted: _column(table, wanted) for wanted in COLUMNS}
    lacking = [wanted for wanted in ("start", "end", "name") if spelt[wanted] is None]
    if lacking:
        raise BadDataset(
            f"{path} has no column {', '.join(lacking)}; its columns: {', '.join(table.columns)}. Events "
            "need start and end in seconds, and name."
        )
    return [(_event(row, spelt, file), row) for row in table.rows]


def _column(table: Table, wanted: str) -> str | None:
    names = (wanted, *_OTHERS.get(wanted, ()))
    return next((found for name in names if (found := table.column(name)) is not None), None)


def _event(row: Row, spelt: dict[str, str | None], file: str) -> Event:
    start, end = (row.seconds(spelt[key] or key) for key in ("start", "end"))
    if start is None or end is None:
        raise BadDataset(f"{row.place} has no {'start' if start is None else 'end'}; fill in seconds.")
    probability = _share(row, spelt["probability"])
    named = event_at(
        row.place,
        row.get(spelt["file"] or "") or file,
        start,
        end,
        row.get(spelt["name"] or ""),
        1.0 if probability is None else probability,
    )
    sound = _share(row, spelt["sound"])
    return named if sound is None else Event(*_first(named), sound, 1.0 - sound)


def _first(event: Event) -> tuple[str, float, float, str, float]:
    return event.file, event.start, event.end, event.name, event.probability


def _share(row: Row, column: str | None) -> float | None:
    value = None if column is None else row.seconds(column) if row.get(column) else None
    if value is not None and value > 1:
        raise BadDataset(f"{row.place}: {column} is {value:g}; expected 0 to 1.")
    return value
