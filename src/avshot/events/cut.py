"""The spans of events as files of their own, and a table of what was cut."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avshot.errors import BadMedia, BadSetting
from avshot.events.event import Event
from avshot.events.excerpt import write_excerpt
from avshot.events.files import stems_of
from avshot.events.format import one_line
from avshot.events.formats.csv import table_text
from avshot.files.atomic import save_text

TABLE = "cuts.csv"
_LONGEST = 60  # letters of a recording's name or of a class's in a file name


@dataclass(frozen=True)
class Cut:
    """An event that was written to a file, or why it was not.

    Attributes:
        event: What was found.
        start: Seconds in the recording at which the file begins.
        end: Seconds at which it ends.
        path: The file; None where it could not be written.
        error: Why it was not; None where it was.
    """

    event: Event
    start: float
    end: float
    path: Path | None = None
    error: ValueError | OSError | None = None


def plan_cuts(
    events: Sequence[Event], out: str | Path, *, before: float = 0.2, after: float = 0.2, by_name: bool = False
) -> list[tuple[Cut, Path]]:
    """What will be cut, and to which file, without its ending.

    Names sort by recording and time, hold letters, digits and `-` alone, and are told apart by a number where they
    would be equal: `yard_00083.250-00084.900_dog-barking`.

    Args:
        events: What to cut.
        out: Folder for the files.
        before: Seconds before each event that belong to its file, too.
        after: Seconds after it.
        by_name: A folder for each name, as `avshot teach` and `avshot dataset` take them.

    Raises:
        ValueError: A length below 0.
    """
    if not (0 <= before < float("inf") and 0 <= after < float("inf")):
        raise BadSetting(f"before is {before} s and after {after} s; expected 0 or more.")
    stems, taken, found = stems_of(list(dict.fromkeys(event.file for event in events))), set[str](), []
    for event in events:
        cut = Cut(event, max(0.0, event.start - before), event.end + after)
        folder = Path(out, _folder(event.name)) if by_name else Path(out)
        plain = f"{_safe(stems[event.file])}_{event.start:09.3f}-{event.end:09.3f}_{_safe(event.name)}"
        name, number = plain, 1
        while str(folder / name).casefold() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(str(folder / name).casefold())
        found.append((cut, folder / name))
    return found


def _folder(name: str) -> str:
    """A class's name as that of a folder: without what some system does not take in one."""
    return re.sub(r'[\\/:*?"<>|]', "-", one_line(name)).strip(". ")[:_LONGEST] or "-"


def _safe(text: str) -> str:
    return re.sub(r"[\W_]+", "-", one_line(text)).strip("-")[:_LONGEST] or "x"


def cut_events(
    events: Sequence[Event],
    out: str | Path,
    *,
    media: str | Path | None = None,
    before: float = 0.2,
    after: float = 0.2,
    by_name: bool = False,
    overwrite: bool = False,
) -> Iterator[Cut]:
    """Write each event to a file of its own, one after the other; a bad recording does not stop the rest.

    When all are done, `cuts.csv` in the folder tells what was cut, as a table that `avshot dataset` takes: path, label,
    group (the recording, so that folds can keep it together), from, to, probability.

    Args:
        events: What to cut.
        out: Folder for the files; it is made.
        media: Folder that recordings are named from; None: the current one.
        before: As `plan_cuts`, as are the next two.
        after: Seconds after each event.
        by_name: A folder for each name.
        overwrite: Replace files that are there.

    Raises:
        ValueError: At once: files that are there already, or a length below 0.
        OSError: The folder cannot be made, or the table not written.
    """
    planned = plan_cuts(events, out, before=before, after=after, by_name=by_name)
    there = [path for _, target in planned for path in _versions(target) if path.exists()]
    if there and not overwrite:
        raise BadSetting(
            f"{len(there)} of the files are there, the first {there[0]}; take another folder, or overwrite."
        )
    return _cut_all(planned, Path(out), Path(media or "."))


def _versions(target: Path) -> list[Path]:
    return [target.with_name(f"{target.name}{ending}") for ending in (".mp4", ".wav")]


def _cut_all(planned: Sequence[tuple[Cut, Path]], out: Path, media: Path) -> Iterator[Cut]:
    done = []
    out.mkdir(parents=True, exist_ok=True)
    for cut, target in planned:
        made = _written(cut, target, media)
        done.append(made)
        yield made
    rows = [
        [
            made.path.relative_to(out).as_posix(),
            one_line(made.event.name),
            made.event.file,
            f"{made.start:.3f}",
            f"{made.end:.3f}",
            f"{made.event.probability:.4f}",
        ]
        for made in done
        if made.path is not None
    ]
    save_text(out / TABLE, table_text(("path", "label", "group", "from", "to", "probability"), rows))


def _written(cut: Cut, target: Path, media: Path) -> Cut:
    source = media / cut.event.file
    try:
        if not source.is_file():
            raise BadMedia(f"{source} is not there; say which folder recordings are named from.")
        target.parent.mkdir(parents=True, exist_ok=True)
        path, length = write_excerpt(source, target, cut.start, cut.end)
    except (ValueError, OSError) as error:
        return Cut(cut.event, cut.start, cut.end, None, error)
    return Cut(cut.event, cut.start, cut.start + length, path)
