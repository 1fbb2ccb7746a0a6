"""Raven's selection table: a selection in each row, cells parted by tabs; its name in the column Annotation.

Source: Raven Pro 1.6 User's Manual, "Selection tables". Raven needs frequencies to draw a selection; an event has none,
so all are given the same. Tables of BirdNET-Analyzer have the same columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, event_at, one_line
from avshot.events.formats.audacity import seconds_of
from avshot.events.span import Event
from avshot.files.atomic import save_text
from avshot.files.text import read_text

_HEAD = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "Annotation",
    "Score",
)
_FREQUENCIES = ("0.0", "8000.0")
_NAMES = ("annotation", "annotations", "label", "common name", "species", "class", "name", "tags", "tag", "type")
_FILES = ("begin path", "begin file")
_SCORES = ("score", "confidence")


class Raven(Format):
    """`1<tab>Spectrogram 1<tab>1<tab>0.5000<tab>2.2500<tab>0.0<tab>8000.0<tab>yard.wav<tab>dog barking<tab>0.9000`."""

    endings: ClassVar[tuple[str, ...]] = (".selections.txt",)

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a table, times to the tenth of a millisecond."""
        rows = [_HEAD, *(_row(number, event) for number, event in enumerate(events, 1))]
        save_text(path, "".join("\t".join(row) + "\n" for row in rows))

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read selections; one that several views show is read once. `File Offset (s)` is its begin in its file."""
        lines = [(number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]
        columns = [cell.strip().lower() for cell in lines[0][1].split("\t")] if lines else []
        lacking = [name for name in ("begin time (s)", "end time (s)") if name not in columns]
        named = next((name for name in _NAMES if name in columns), None)
        if lacking or named is None:
            what = ", ".join(lacking) or "Annotation (or Label, Species, Common Name)"
            raise BadDataset(f"{path} line 1 has no column {what}; it has: {', '.join(columns) or 'nothing'}.")
        found: dict[str, Event] = {}
        for number, line in lines[1:]:
            row = dict(zip(columns, (cell.strip() for cell in line.split("\t")), strict=False))
            found.setdefault(
                row.get("selection") or f"line {number}", _event(row, named, f"{path} line {number}", file)
            )
        return list(found.values())

    def is_like(self, head: bytes) -> bool:
        """The column of begins in the first line."""
        return "begin time (s)\t" in beginning(head).partition("\n")[0].lower()


def _row(number: int, event: Event) -> tuple[str, ...]:
    times = (f"{event.start:.4f}", f"{event.end:.4f}")
    about = (one_line(event.file), one_line(event.name), f"{event.probability:.4f}")
    return (str(number), "Spectrogram 1", "1", *times, *_FREQUENCIES, *about)


def _event(row: dict[str, str], named: str, place: str, file: str) -> Event:
    start, end = seconds_of(row.get("begin time (s)", "")), seconds_of(row.get("end time (s)", ""))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise BadDataset(f"{place}: begin or end is no number of seconds; write both with a point.")
    offset = row.get("file offset (s)", "")
    if offset:  # the times are those in a sequence of files that Raven has open
        begin = seconds_of(offset)
        if not math.isfinite(begin):
            raise BadDataset(f"{place}: File Offset (s) is {offset!r}; expected seconds.")
        start, end = begin, begin + end - start
    score = next((row[name] for name in _SCORES if row.get(name)), "")
    probability = seconds_of(score) if score else 1.0
    of = next((row[name] for name in _FILES if row.get(name)), file)
    return event_at(place, of, start, end, row.get(named, ""), probability)
