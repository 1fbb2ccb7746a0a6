"""Text and tables that people write: UTF-8 with or without byte order mark, tables as spreadsheets save them."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

# The longer mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LARGEST = 1 << 30  # bytes
_SEPARATORS = (",", ";", "\t")


def read_text(path: str | Path) -> str:
    """Read a text file: UTF-8, or UTF-16/32 where a byte order mark says so; all line ends become a line feed.

    Raises:
        ValueError: Not such text (the message names file and line, and what to do), or larger than a gigabyte.
        OSError: There is no such file, or it cannot be read.
    """
    path = Path(path)
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is larger than a gigabyte; expected a text file.")
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(f"{path} is not UTF-8 text (line {line}); save it again as UTF-8.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path} is not text (line {line} holds a zero byte); save it again as UTF-8 text.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a text file that hold something, without space around them: `(line number from 1, text)`."""
    return [(i, line.strip()) for i, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        place: File and line, as messages begin: `clips.csv line 7`.
        cells: Text of each column, without space around it; "" where there is nothing.
    """

    place: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def get(self, column: str) -> str:
        """The cell, "" where there is no such column."""
        return self.cells.get(column, "")

    def seconds(self, column: str) -> float | None:
        """A number of seconds from 0 on; None where the cell is empty or there is no such column.

        Raises:
            ValueError: Something else, a decimal comma among it; the message names file, line and column.
        """
        text = self.get(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf or "_" in text:  # float() reads 1_000, too
            raise ValueError(f"{self.place}: {column} is {text!r}; expected seconds from 0 as a number{_meant(text)}.")
        return value


def _meant(text: str) -> str:
    """What to write in place of a decimal comma or of hours, minutes and seconds."""
    point = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    match = re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)", point, flags=re.ASCII)
    if match:
        hours, minutes, seconds = match.groups()
        point = f"{int(hours or 0) * 3600 + int(minutes) * 60 + Decimal(seconds)}"
    return f"; write {point}" if point != text else ""


@dataclass(frozen=True)
class Table:
    """A table with a header: its columns, and its rows without the empty ones."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, wanted: str) -> str | None:
        """The column of that name, or the only one that has it in other capitals; None where there is none."""
        if wanted in self.columns:
            return wanted
        alike = [name for name in self.columns if name.casefold() == wanted.casefold()]
        return alike[0] if len(alike) == 1 else None


def read_table(path: str | Path, *, needed: Sequence[str] = (), whole: bool = False) -> Table:
    """Read a table with a header, its cells separated by commas, semicolons or tabs (whichever the header has most of).

    Rows without any text are left out, as spreadsheets leave them at the end. Cells that lack at the end of a row are
    empty; a cell beyond the header must be.

    Args:
        path: The file.
        needed: Columns that must be there, with something in every row.
        whole: Refuse rows with fewer cells than the header: they were cut off, where programs write the table.

    Raises:
        ValueError: Not text, no header, a column missing or named twice, a quote that is not closed, a row longer than
            the header, or nothing in a needed cell; the message names file and line.
        OSError: There is no such file.
    """
    path = Path(path)
    lines = read_text(path).split("\n")
    header = next((line for line in lines if line.strip()), "")
    separator = max(_SEPARATORS, key=lambda mark: header.count(mark))
    if lines[0].lower().startswith("sep=") and len(lines[0]) == 5:  # how Excel is told the separator
        separator, lines[0] = lines[0][4], ""
    found = _cells(path, lines, separator)
    if not found:
        raise ValueError(f"{path} is empty; expected a table with a header.")
    columns = [cell.strip() for cell in found[0][1]]
    while columns and not columns[-1]:
        columns.pop()
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}; name each column once.")
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise ValueError(
            f"{path} has no column {', '.join(lacking)}; its first line, the header, has: {', '.join(columns)}."
        )
    short = [line for line, cells in found[1:] if len(cells) < len(columns)] if whole else []
    if short:
        raise ValueError(f"{path} line {short[0]} has fewer cells than the header; was it cut off? Fill it in.")
    return Table(path, tuple(columns), tuple(_row(path, line, cells, columns, needed) for line, cells in found[1:]))


def _row(path: Path, line: int, cells: list[str], columns: Sequence[str], needed: Sequence[str]) -> Row:
    place, texts = f"{path} line {line}", [cell.strip() for cell in cells]
    if any(texts[len(columns) :]):
        raise ValueError(
            f"{place} has {len(texts)} cells, the header {len(columns)}; put a cell that holds the separator in quotes."
        )
    row = dict(zip(columns, [*texts, *[""] * len(columns)], strict=False))
    for name in needed:
        if not row[name]:
            raise ValueError(f"{place} has nothing in column {name!r}; fill it in (was the line cut off?).")
    return Row(place, row)


def _cells(path: Path, lines: list[str], separator: str) -> list[tuple[int, list[str]]]:
    """`(line, cells)` of every row that holds something; strict about quotes."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
    found, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path} line {line} is no row of a table ({error}); close each quote, and double a quote inside a cell."
        ) from None
    return found
