"""Recordings: the video and sound files that were named, and those below folders that were."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avshot.data.folders import media_files, printable
from avshot.data.sources import first_few
from avshot.errors import BadMedia, BadSetting, MissingFile

# Folders of programs, in small letters: copies and small pictures of what lies elsewhere.
_CACHES = {
    *("cache", "caches", "__pycache__", "node_modules", "__macosx", "@eadir", "$recycle.bin"),
    *("system volume information", "lost+found"),
}
# How files of video and sound begin: the byte at which it stands, and what stands there.
_BEGINNINGS = (
    *((0, mark) for mark in (b"OggS", b"fLaC", b"ID3", b".snd", b"caff", b"FLV\x01", b"\x1aE\xdf\xa3", b"wvpk")),
    *((0, mark) for mark in (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")),
    *((8, mark) for mark in (b"WAVE", b"AVI ", b"AIFF", b"AIFC")),
    (4, b"ftyp"),
)
_PACKET = 188  # bytes of a packet of a transport stream, which begins with G
_AMBIGUOUS = (".ts", ".mts")  # also programs in TypeScript


@dataclass(frozen=True)
class Recordings:
    """Files, in the order in which they were named, those of a folder in natural order ("2.wav" before "10.wav").

    Attributes:
        files: Their paths, each once.
        notes: Sentences on what of the folders was left out.
    """

    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def recordings(
    paths: Iterable[str | os.PathLike[str]], *, without: Sequence[str | os.PathLike[str]] = ()
) -> Recordings:
    """The recordings that somebody means.

    A file that is named is taken as it is. Of a folder, those below it are taken that are video or sound by their
    ending, or by how they begin where the ending says nothing; hidden folders, those of programs' caches, and Runs and
    stores of avshot are left out.

    Args:
        paths: Files and folders.
        without: Folders not to look into.

    Raises:
        ValueError: Nothing is named, a path is not there, or a folder holds no recording.
    """
    named = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not named:
        raise BadSetting("No recording is given; name video or sound files, or folders of them.")
    found: dict[str, None] = {}
    notes: list[str] = []
    for path in named:
        if not os.path.exists(path):
            raise MissingFile(f"{path} is not there; name a video or sound file, or a folder of them.")
        if not os.path.isdir(path):
            found[path] = None
            continue
        inside, said = _inside(Path(path), [Path(folder).resolve() for folder in without])
        if not inside:
            raise BadMedia(f"{path} holds no recordings; name another folder.")
        found |= dict.fromkeys(inside)
        notes += [f"{path}: {note}" for note in said]
    return Recordings(tuple(found), tuple(notes))


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their size, and capitals beside small letters."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def _inside(folder: Path, without: Sequence[Path]) -> tuple[list[str], list[str]]:
    found = media_files(folder)
    unnamed = [path for path in found.other if not path.suffix or path.suffix.lower() in (".bin", ".tmp", ".part")]
    files = [path for path in (*found.files, *unnamed) if not _in_cache(path, folder)]
    files = [path for path in files if not any(path.resolve().is_relative_to(other) for other in without)]
    programs = [path for path in files if path.suffix.lower() in _AMBIGUOUS and not _begins_as_media(path)]
    kept = [p for p in files if p not in programs and (p not in unnamed or _begins_as_media(p))]
    notes = [note for note in found.notes() if "by their suffix" not in note]
    if programs:
        few = first_few([printable(path, folder) for path in programs])
        notes.append(f"{len(programs)} files left out, no transport streams by how they begin: {few}.")
    return sorted(map(str, kept), key=natural), notes


def _in_cache(path: Path, folder: Path) -> bool:
    return any(part.casefold() in _CACHES for part in path.relative_to(folder).parts[:-1])


def _begins_as_media(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(4 * 192)
    except OSError:
        return False
    packets = any(head[at::size][:4] == b"GGGG" for size in (_PACKET, 192) for at in (0, size - _PACKET))
    return packets or any(head[at : at + len(mark)] == mark for at, mark in _BEGINNINGS)
