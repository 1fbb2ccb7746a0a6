"""Media files below a folder: which they are, and what is left out and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.media.suffixes import MEDIA_SUFFIXES

OWN = ("store.json", "experiment.yaml")  # what lies in a feature store and in a Run


@dataclass(frozen=True)
class MediaFiles:
    """Files found below a folder, each as it is reached from there (links are not resolved), in the order of names.

    Attributes:
        folder: The folder.
        files: Files that are video or sound by their suffix.
        other: Files with another suffix, or none.
        hidden: Media files whose name begins with a dot, or that lie in such a folder, a feature store or a Run.
        broken: Links that lead nowhere, and folders that cannot be opened.
        unnamed: Media files whose name is no UTF-8 text, which no table or record can hold.
        again: Folders not entered, because links lead to the same folder more than once.
    """

    folder: Path
    files: tuple[Path, ...]
    other: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    broken: tuple[Path, ...] = ()
    unnamed: tuple[Path, ...] = ()
    again: tuple[Path, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of thing that was left out; none where nothing was."""
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in self.other)
        kinds = first_few([f"{suffix} {count}" for suffix, count in sorted(suffixes.items(), key=_by_count)])
        found = (
            (self.other, f"{_count(self.other, 'file')} left out, no video or sound by their suffix: {kinds}."),
            (self.hidden, self._told(self.hidden, "media file", "left out, hidden or inside a feature store or Run")),
            (self.broken, self._told(self.broken, "entry", "left out, a link to nothing or not to be opened")),
            (self.unnamed, self._told(self.unnamed, "media file", "left out, the name is not UTF-8 (rename it)")),
            (self.again, self._told(self.again, "folder", "not entered, links lead to the same folder twice")),
        )
        return tuple(text for paths, text in found if paths)

    def _told(self, paths: Sequence[Path], what: str, why: str) -> str:
        return f"{_count(paths, what)} {why}: {first_few([printable(path, self.folder) for path in paths])}."


def media_files(folder: str | Path) -> MediaFiles:
    """Find the media files below `folder`, following links to files and folders; each real folder is entered once.

    Hidden folders, feature stores and Runs of avshot are only searched for media files to report as left out.

    Args:
        folder: An existing folder.

    Raises:
        ValueError: It is not a folder.
        OSError: It cannot be opened.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadDataset(f"{folder} is not a folder; expected one with media files in it.")
    os.scandir(folder).close()  # a folder below that cannot be opened is reported, this one is an error
    found = _Found(folder)
    # Folders reached without links come first: those are the names that people know.
    waiting: list[tuple[Path, bool]] = [(folder, False)]
    linked: list[tuple[Path, bool]] = []
    while waiting or linked:
        found.look(*(waiting or linked).pop(), waiting, linked)
    kinds = ("files", "other", "hidden", "broken", "unnamed", "again")
    return MediaFiles(folder, **{kind: tuple(sorted(getattr(found, kind))) for kind in kinds})


def printable(path: str | Path, base: Path | None = None) -> str:
    r"""A path, relative to `base`, that can be printed: bytes that are not UTF-8 as `\xe9`, a line end as `\n`."""
    inside = base is not None and Path(path) != base and Path(path).is_relative_to(base)
    shown = Path(path).relative_to(base) if base is not None and inside else path
    text = os.fsencode(shown).decode("utf-8", errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_text(path: str | Path) -> bool:
    """The path can be written as UTF-8."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _count(paths: Sequence[Path], what: str) -> str:
    many = "entries" if what == "entry" else f"{what}s"
    return f"{len(paths)} {what if len(paths) == 1 else many}"


@dataclass
class _Found:
    """What a walk has found so far."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    other: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)
    again: list[Path] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def look(self, here: Path, hidden: bool, waiting: list[tuple[Path, bool]], linked: list[tuple[Path, bool]]) -> None:
        """Sort the content of one folder; folders in it are put on the list they belong to."""
        try:
            about = here.stat()
            entries = sorted(here.iterdir())
        except OSError:
            self.broken.append(here)
            return
        if (about.st_dev, about.st_ino) in self.seen:
            self.again.append(here)
            return
        self.seen.add((about.st_dev, about.st_ino))
        if here != self.folder:  # the folder that was asked for is looked into, whatever it is
            hidden = hidden or any((here / name).is_file() for name in OWN)
        for path in entries:
            unseen = hidden or path.name.startswith(".")
            if path.is_dir():
                if not (unseen and path.is_symlink()):
                    (linked if path.is_symlink() else waiting).append((path, unseen))
            elif path.is_file():
                self._sort(path, unseen)
            elif path.is_symlink() and not unseen:
                self.broken.append(path)

    def _sort(self, path: Path, unseen: bool) -> None:
        if path.suffix.lower() not in MEDIA_SUFFIXES:
            if not unseen:
                self.other.append(path)
        elif unseen:
            self.hidden.append(path)
        else:
            (self.files if is_text(path) else self.unnamed).append(path)
