"""Audacity's label track: start, end and name in a line, parted by tabs.

Source: Audacity manual, "Importing and Exporting Labels". A line that begins with a back-slash holds the frequencies of
the label above, which spectral labels have; it is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadDataset
from avshot.events.format import Format, beginning, event_at, one_line
from avshot.events.span import Event
from avshot.files.atomic import save_text
from avshot.files.text import read_text


class Audacity(Format):
    """`0.500000<tab>2.250000<tab>dog barking`; neither the recording nor probabilities."""

    endings: ClassVar[tuple[str, ...]] = (".txt",)

    def write(self, path: Path, events: Sequence[Event], files: Sequence[str]) -> None:
        """Write a line for each event, as Audacity exports labels: six digits behind the point."""
        lines = (f"{event.start:.6f}\t{event.end:.6f}\t{one_line(event.name)}\n" for event in events)
        save_text(path, "".join(lines))

    def read(self, path: Path, file: str, names: Sequence[str]) -> list[Event]:
        """Read labels; one without a name is refused, lines of frequencies are passed over."""
        found = []
        for number, line in enumerate(read_text(path).split("\n"), 1):
            if line.strip() and not line.startswith("\\"):
                found.append(_event(line, f"{path} line {number}", file))
        return found

    def is_like(self, head: bytes) -> bool:
        """The first line begins with two numbers."""
        cells = beginning(head).lstrip().partition("\n")[0].split("\t")
        return len(cells) >= 2 and all(math.isfinite(seconds_of(cell)) for cell in cells[:2])


def _event(line: str, place: str, file: str) -> Event:
    cells = line.split("\t", 2)
    start, end = (seconds_of(cell) for cell in (*cells, "", "")[:2])
    if not (math.isfinite(start) and math.isfinite(end)):
        raise BadDataset(f"{place} is {line!r}; expected start, end and name, parted by tabs, in seconds with a point.")
    if len(cells) < 3 or not cells[2].strip():
        raise BadDataset(f"{place} has no name; give the label one.")
    return event_at(place, file, start, end, cells[2])


def seconds_of(cell: str) -> float:
    """The number in a cell; NaN where it is none."""
    try:
        return float(cell) if "_" not in cell else math.nan
    except ValueError:
        return math.nan
