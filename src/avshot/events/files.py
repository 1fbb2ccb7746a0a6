"""Files of events, by name of their format: written, several formats at once, and read back.

A format is one file of `formats/`, and the file's name is its name: `formats/csv.py` is the format `csv`. The file
defines one class derived from `Format`. Files whose names begin with `_` are machinery.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from avshot.errors import BadDataset, BadSetting, MissingFile, told_as
from avshot.events.format import Format
from avshot.events.span import Event
from avshot.media.suffixes import MEDIA_SUFFIXES
from avshot.settings import did_you_mean

_FOLDER = "avshot.events.formats"


@cache
def format_names() -> tuple[str, ...]:
    """What formats there are, sorted."""
    path = importlib.import_module(_FOLDER).__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")))


def get_format(name: str) -> Format:
    """The format of that name. Raises ValueError naming what there is."""
    if name not in format_names():
        near = did_you_mean(name, format_names())
        raise BadSetting(f"There is no format {name!r}; formats: {', '.join(format_names())}.{near}")
    module = importlib.import_module(f"{_FOLDER}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Format) and value.__module__ == module.__name__
    )
    made: Format = found()
    return made


def format_for(path: str | Path) -> str:
    """The format that a file to be written has by its ending. Raises ValueError naming the endings there are."""
    name = Path(path).name.lower()
    by_ending = {ending: each for each in format_names() for ending in get_format(each).endings}
    fitting = [ending for ending in by_ending if name.endswith(ending)]
    if not fitting:
        raise BadSetting(f"Events cannot be written to {path} by its ending; endings: {', '.join(sorted(by_ending))}.")
    return by_ending[max(fitting, key=len)]


def write_events(path: str | Path, events: Sequence[Event], files: Sequence[str], *, format: str | None = None) -> Path:
    """Write events to one file, which is then complete or as it was.

    Args:
        path: The file; an existing one is replaced.
        events: By recording and start, as `Events` has them; none are fine.
        files: The recordings, also those without events.
        format: Its name; None goes by the ending of `path`.

    Returns:
        The file.

    Raises:
        ValueError: No such format or ending, a name of a recording that is no text, several recordings where the
            format holds one, or a library that it needs is missing.
        OSError: It cannot be written.
    """
    path, found = Path(path), get_format(format or format_for(path))
    if not found.several and len(files) > 1:
        raise BadSetting(f"{path} can hold one recording, and these are {len(files)}; write a file for each.")
    for file in files:
        if any("\ud800" <= letter <= "\udfff" for letter in file):
            raise BadSetting(f"The name of the recording {file!r} is not UTF-8 text, which files hold; rename it.")
    found.write(path, events, files)
    return path


def write_all(
    folder: str | Path, events: Sequence[Event], files: Sequence[str], formats: Sequence[str], *, stem: str = "events"
) -> list[Path]:
    """Write events in several formats: one file for all recordings where the format can, else one for each.

    The files are called `stem` and the format's ending, or like the recording (`yard.mp4` gives `yard.vtt`); recordings
    of one name in several folders get a number, in the order in which they come. Files of that name are replaced.

    Args:
        folder: Where to; it is made.
        events: Of all recordings.
        files: The recordings, also those without events: captions of nothing are written, too.
        formats: Names of formats.
        stem: Of the files that hold all recordings.

    Returns:
        The files, in the order of `formats` and `files`.

    Raises:
        ValueError: As `write_events`.
        OSError: As `write_events`.
    """
    folder, made = Path(folder), []
    kinds = [(get_format(name), name) for name in dict.fromkeys(formats)]  # a wrong name before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    stems = stems_of(files)
    for kind, name in kinds:
        ending = kind.endings[0]
        if kind.several:
            made.append(write_events(folder / f"{stem}{ending}", events, files, format=name))
            continue
        for file in files:
            own = [event for event in events if event.file == file]
            made.append(write_events(folder / f"{stems[file]}{ending}", own, [file], format=name))
    return made


def stems_of(files: Sequence[str]) -> dict[str, str]:
    """What files of each recording are called without their ending: its own name, numbered where several have it."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        plain = Path(file.replace("\\", "/")).stem or "recording"
        stem, number = plain, 1
        while stem.casefold() in taken:  # also on disks that do not tell capitals apart
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.casefold())
        found[file] = stem
    return found


def read_events(
    path: str | Path, *, format: str | None = None, file: str | None = None, names: Sequence[str] = ()
) -> list[Event]:
    """Read events from a file.

    Args:
        path: The file.
        format: Its name; None goes by ending and content.
        file: The recording, for formats that do not name it; None takes a media file beside `path` of its name.
        names: Names that captions may hold.

    Raises:
        ValueError: Not such a file; the message names the line, where there are lines.
        OSError: It cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFile(f"{path} is {'a folder' if path.is_dir() else 'not there'}; pass a file of events.")
    found = get_format(format or guess_format(path))
    with told_as(BadDataset):
        return found.read(path, file if file is not None else _recording_of(path, found), names)


def guess_format(path: str | Path) -> str:
    """The format of an existing file, by its ending and, where several have it or none, by its beginning.

    Raises:
        ValueError: It is like none of them.
        OSError: It cannot be read.
    """
    path = Path(path)
    with open(path, "rb") as opened:
        head = opened.read(4096)
    named = [name for name in format_names() if any(path.name.lower().endswith(e) for e in get_format(name).endings)]
    if len(named) == 1 and path.suffix.lower() != ".txt":  # any text may be called so
        return named[0]
    like = [name for name in (*named, *format_names()) if get_format(name).is_like(head)]
    if not like:
        raise BadDataset(
            f"{path} is no file of events by its ending and its beginning; formats: {', '.join(format_names())}."
        )
    return like[0]


def _recording_of(path: Path, format: Format) -> str:
    """The recording that a file of events is about by its name: the media file beside it, or its own stem."""
    ending = next((each for each in format.endings if path.name.lower().endswith(each)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    beside = [o.name for o in path.parent.iterdir() if o.stem == stem and o.suffix.lower() in MEDIA_SUFFIXES]
    return beside[0] if len(beside) == 1 else stem
