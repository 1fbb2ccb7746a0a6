"""What a person said of events: marks from the page, or from labels edited elsewhere; and corrected labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from avshot.errors import BadDataset, told_as
from avshot.events.event import Event, Events
from avshot.events.files import get_format, guess_format, read_events, stems_of
from avshot.events.format import one_line
from avshot.events.formats.csv import read_rows, table_text
from avshot.files.atomic import save_text
from avshot.files.text import Row, read_table
from avshot.settings import did_you_mean

Verdict = Literal["right", "wrong", "renamed", "missed"]
_SAME = 0.5  # share of time in common from which two spans are the same event


@dataclass(frozen=True)
class Marked:
    """An event and what a person said of it.

    Attributes:
        found: As it was found; of a missed one, as the person put it there.
        verdict: What it is: "right", "wrong", "renamed" or "missed".
        event: As it really is, the span and the name corrected; None where nothing is there.
    """

    found: Event
    verdict: Verdict
    event: Event | None


def read_marks(path: str | Path, original: str | Path | None = None) -> list[Marked]:
    """The marks in a table that the page saved, or in labels edited elsewhere, compared with what was found.

    Args:
        path: A table with a column `mark` (and `renamed`), or a file of events of any format.
        original: Of events, as it was before somebody edited it; needed unless there are marks.

    Raises:
        ValueError: Neither, a mark that is none, a new name that is missing; the message names the line.
        OSError: A file cannot be read.
    """
    path = Path(path)
    if original is None:
        with told_as(BadDataset):
            return _marks_of(path)
    before = Events.read(original)
    kind = get_format(guess_format(path))
    file = _recording_of(path, kind.endings, before.files)
    after = [
        replace(event, file=_recording_of(event.file, (), before.files) or event.file)
        for event in read_events(path, file=file, names=before.names)
    ]
    if not kind.several:  # it says nothing of other recordings
        before = Events(event for event in before if event.file == (file or next((e.file for e in after), "")))
    return compare(before, after)


def _recording_of(path: str | Path, endings: Sequence[str], files: Sequence[str]) -> str | None:
    """Which of the recordings a path means, or a file of labels by its own name; None where that is not clear."""
    if str(path) in files:
        return str(path)
    name = re.split(r"[\\/]", str(path))[-1]
    ending = next((ending for ending in endings if name.lower().endswith(ending)), "")
    stem = name.removesuffix(ending) if endings else name
    fitting = [file for file in files if stem in (file.replace("\\", "/").rpartition("/")[2], stems_of(files)[file])]
    if len(fitting) == 1:
        return fitting[0]
    return files[0] if endings and len(files) == 1 else None


def _marks_of(path: Path) -> list[Marked]:
    table = read_table(path) if guess_format(path) == "csv" else None
    column = None if table is None else table.column("mark")
    if table is None or column is None:
        raise BadDataset(
            f"{path} holds no marks; save them from the review page, or pass what it was before somebody edited it."
        )
    rows = [(event, row) for event, row in read_rows(path, "") if row[column]]
    return [_mark(event, row, row[column].lower(), row.get(table.column("renamed") or "")) for event, row in rows]


def _mark(event: Event, row: Row, word: str, name: str) -> Marked:
    if word not in get_args(Verdict):
        near = did_you_mean(word, get_args(Verdict))
        raise BadDataset(f"{row.place}: mark is {word!r}; expected {', '.join(get_args(Verdict))} or nothing.{near}")
    verdict = cast(Verdict, word)
    if verdict != "renamed":
        return Marked(event, verdict, None if verdict == "wrong" else _certain(event))
    if not name:
        raise BadDataset(f"{row.place} is renamed, and the column renamed is empty; say what it is.")
    return Marked(event, verdict, replace(_certain(event), name=one_line(name)))


def compare(before: Sequence[Event], after: Sequence[Event]) -> list[Marked]:
    """What was found against what somebody made of it.

    Events of one name in one recording that share at least half of the shorter one's time are the same: right, with the
    corrected span. Of the others, those that share half of the time that both cover are the same event with another
    name. What is left of `before` is wrong, of `after` missed.

    Args:
        before: As found.
        after: As corrected.
    """
    found: list[Marked] = []
    for file in dict.fromkeys(event.file for event in (*before, *after)):
        left, new = ([event for event in events if event.file == file] for events in (before, after))
        for same_name in (True, False):
            pairs = _pairs(left, new, same_name=same_name)
            word: Verdict = "right" if same_name else "renamed"
            found += [Marked(left[i], word, _certain(new[j])) for i, j in pairs.items()]
            left = [event for i, event in enumerate(left) if i not in pairs]
            new = [event for j, event in enumerate(new) if j not in set(pairs.values())]
        found += [Marked(event, "wrong", None) for event in left]
        found += [Marked(event, "missed", _certain(event)) for event in new]
    return sorted(found, key=lambda mark: (mark.found.file, mark.found.start, mark.found.end, mark.found.name))


def _pairs(left: Sequence[Event], new: Sequence[Event], *, same_name: bool) -> dict[int, int]:
    """Which of `left` is which of `new`; those that share most time first."""
    shares = [(_common(a, b, same_name=same_name), i, j) for i, a in enumerate(left) for j, b in enumerate(new)]
    found: dict[int, int] = {}
    taken: set[int] = set()
    for share, i, j in sorted(shares, key=lambda one: (-one[0], one[1:])):
        if share >= _SAME and i not in found and j not in taken:
            found[i] = j
            taken.add(j)
    return found


def _common(a: Event, b: Event, *, same_name: bool) -> float:
    """The share of time by which two events may be the same, 0 where their names speak against it."""
    if (one_line(a.name) == one_line(b.name)) != same_name:
        return 0.0
    common = min(a.end, b.end) - max(a.start, b.start)
    whole = min(a.length, b.length) if same_name else max(a.end, b.end) - min(a.start, b.start)
    return max(0.0, common) / whole if whole > 0 else float(common == 0)


def _certain(event: Event) -> Event:
    return replace(event, probability=1.0, sound=None, picture=None)


def corrected(marks: Iterable[Marked]) -> Events:
    """The events as they really are: right, renamed and missed ones."""
    return Events(mark.event for mark in marks if mark.event is not None)


def write_labels(path: str | Path, events: Iterable[Event]) -> int:
    """Write a table that `avshot dataset` takes: file, label, start, end.

    A span of a recording has one label in such a table; of several events with the very same span the first one by name
    is kept.

    Args:
        path: The table; an existing one is replaced.
        events: As they really are.

    Returns:
        How many events were left out: points in time, and those with the span of another one.

    Raises:
        OSError: It cannot be written.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    given = list(events)
    for event in given:
        start, end = f"{event.start:.3f}", f"{event.end:.3f}"
        if float(end) > float(start):
            rows.setdefault((event.file, start, end), [event.file, one_line(event.name), start, end])
    save_text(path, table_text(("file", "label", "start", "end"), list(rows.values())))
    return len(given) - len(rows)
