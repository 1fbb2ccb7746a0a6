"""Find labelled videos: in a folder whose sub-folders are labels, or through a CSV table."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter

from avshot.data.folders import MEDIA_SUFFIXES, MediaFiles, media_files
from avshot.data.sources import first_few
from avshot.types import Clip

__all__ = ["MEDIA_SUFFIXES", "Columns", "Listing", "MediaFiles", "list_clips", "media_files"]

_PATH_COLUMNS = ("path", "filename", "file", "video")


@dataclass(frozen=True)
class Columns:
    """Which columns of a CSV say what.

    Attributes:
        label: Name of a column, or a template that combines several: `"{command} {colour}"`.
        path: Column with the file name; None takes the first of path, filename, file, video.
        start: Column with the first second of the clip; used when it is there, as are the next two.
        end: Column with the last second of the clip.
        group: Column with the source the clip was cut from.
    """

    label: str = "label"
    path: str | None = None
    start: str = "start"
    end: str = "end"
    group: str = "group"


@dataclass(frozen=True)
class Listing:
    """Clips that were found, where their files are, and what was odd.

    Attributes:
        clips: Clips with a label; `path` is the full path of the file.
        media: The folder that file names are relative to.
        warnings: Oddities that do not prevent use.
    """

    clips: tuple[Clip, ...]
    media: Path
    warnings: tuple[str, ...]


def list_clips(
    source: str | Path, columns: Columns | None = None, *, media: str | Path | None = None, skip_missing: bool = False
) -> Listing:
    """List the clips of a folder (sub-folder name = label) or of a CSV table.

    Args:
        source: The folder, or the `.csv` file.
        columns: What the columns of the table mean; not used for a folder.
        media: Folder of the files a table names; None tries the table's own folder, then its sub-folders.
        skip_missing: Leave clips out whose file is not there, with a warning, in place of an error.

    Raises:
        ValueError: Nothing there, a column or file is missing, a label is empty, two labels differ only in case or
            spaces, or a clip is listed twice.
    """
    source = Path(source)
    if source.is_dir():
        listing = _list_folder(source)
    elif source.is_file():
        listing = _list_table(source, columns or Columns(), media, skip_missing)
    else:
        raise ValueError(f"{source} is not there; expected a folder of videos or a CSV table.")
    if not listing.clips:
        raise ValueError(f"{source} lists no videos; expected sub-folders with videos, or a table with rows.")
    _check_labels(sorted({str(clip.label) for clip in listing.clips}))
    return listing


def _list_folder(folder: Path) -> Listing:
    clips, ignored = [], []
    loose = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file()]
    for sub in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(sub.rglob("*")):
            if not path.is_file() or path.name.startswith("."):
                continue
            if path.suffix.lower() not in MEDIA_SUFFIXES:
                ignored.append(path.relative_to(folder).as_posix())
                continue
            clips.append(Clip(path.relative_to(folder).as_posix(), str(path), label=sub.name.strip()))
    warnings = []
    if loose:
        warnings.append(f"{len(loose)} files lie outside any label folder and are left out: {first_few(loose)}.")
    if ignored:
        warnings.append(f"{len(ignored)} files are not videos by their suffix and are left out: {first_few(ignored)}.")
    labels = defaultdict(set)
    for clip in clips:
        labels[Path(clip.path).name, Path(clip.path).stat().st_size].add(clip.label)
    twice = sorted(name for (name, _), found in labels.items() if len(found) > 1)
    if twice:
        warnings.append(f"{len(twice)} files of the same name and size are under several labels: {first_few(twice)}.")
    return Listing(tuple(_short_ids(clips)), folder, tuple(warnings))


def _list_table(table: Path, columns: Columns, media: str | Path | None, skip_missing: bool) -> Listing:
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k is not None}) for row in reader]
    header = [name for name in (reader.fieldnames or []) if name]
    path_column = columns.path or next((name for name in _PATH_COLUMNS if name in header), None)
    if path_column is None:
        raise ValueError(f"{table} has no column {' or '.join(_PATH_COLUMNS)}; its columns: {', '.join(header)}.")
    template = columns.label if "{" in columns.label else "{" + columns.label + "}"
    needed = [path_column, *(field for _, field, _, _ in Formatter().parse(template) if field is not None)]
    lacking = sorted(set(needed) - set(header))
    if lacking:
        raise ValueError(f"{table} has no column {', '.join(lacking)}; its columns: {', '.join(header)}.")
    _check_cells(table, rows, needed)
    base = Path(media) if media is not None else _media_folder(table, [row[path_column] for _, row in rows])
    clips = []
    for line, row in rows:
        start, end = _seconds(table, line, row, columns.start), _seconds(table, line, row, columns.end)
        path = _with_suffix(base / row[path_column])
        label = " ".join(template.format_map(row).split())
        span = "" if start is None and end is None else f"@{'' if start is None else f'{start:g}'}-"
        span += "" if end is None else f"{end:g}"
        id = Path(row[path_column]).as_posix()
        clips.append(Clip(id + span, str(path), label, start, end, row.get(columns.group) or None))
    warnings = []
    missing = {clip.path for clip in clips if not Path(clip.path).is_file()}
    if missing:
        found = f"{len(missing)} files named in {table} are not in {base}: {first_few(sorted(map(_name, missing)))}"
        if not skip_missing:
            raise ValueError(f"{found}. Say where the videos are (media folder), or leave missing ones out.")
        warnings.append(f"{found}; their clips are left out.")
        clips = [clip for clip in clips if clip.path not in missing]
    _check_twice(table, clips)
    return Listing(tuple(_short_ids(clips)), base, tuple(warnings))


def _name(path: str) -> str:
    return Path(path).name


def _check_cells(table: Path, rows: Sequence[tuple[int, dict[str, str]]], needed: Sequence[str]) -> None:
    for column in dict.fromkeys(needed):
        empty = [str(line) for line, row in rows if not row.get(column)]
        if empty:
            raise ValueError(f"{table} has nothing in column {column!r} on line {first_few(empty)}; fill it in.")


def _check_twice(table: Path, clips: Sequence[Clip]) -> None:
    count = Counter(clip.id for clip in clips)
    twice = sorted(id for id, n in count.items() if n > 1)
    if twice:
        raise ValueError(
            f"{table} lists {len(twice)} clips twice: {first_few(twice)}; expected one row per file or span."
        )


def _check_labels(labels: Sequence[str]) -> None:
    alike = defaultdict(list)
    for label in labels:
        alike["".join(label.casefold().replace("_", " ").split())].append(label)
    clashes = [" / ".join(map(repr, found)) for found in alike.values() if len(found) > 1]
    if clashes:
        raise ValueError(f"Labels that differ only in case or spaces: {first_few(clashes)}; spell each one way.")


def _media_folder(table: Path, names: Sequence[str]) -> Path:
    """The table's own folder, unless only a sub-folder of it holds the files."""
    here = table.parent
    folders = [here, *sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))]
    sample = names[:50]
    hits = [sum(_with_suffix(folder / name).is_file() for name in sample) for folder in folders]
    return folders[hits.index(max(hits))] if hits and max(hits) > 0 else here


def _with_suffix(path: Path) -> Path:
    """`path`, or the one media file beside it that has its name with a suffix (tables often leave it out)."""
    if path.suffix.lower() in MEDIA_SUFFIXES or path.is_file():
        return path
    found = [full for suffix in sorted(MEDIA_SUFFIXES) if (full := path.with_name(path.name + suffix)).is_file()]
    return found[0] if len(found) == 1 else path


def _seconds(table: Path, line: int, row: dict[str, str], column: str) -> float | None:
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{table} line {line}: {column} is {text!r}; expected seconds as a number.") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{table} line {line}: {column} is {text!r}; expected seconds from 0.")
    return value


def _short_ids(clips: Sequence[Clip]) -> list[Clip]:
    """Ids without the file suffix where that leaves them unique."""
    short = [_without_suffix(clip.id) for clip in clips]
    count = Counter(short)
    return [clip if count[id] > 1 else replace(clip, id=id) for clip, id in zip(clips, short, strict=True)]


def _without_suffix(id: str) -> str:
    name, at, span = id.partition("@")
    path = Path(name)
    return (path.with_suffix("").as_posix() if path.suffix.lower() in MEDIA_SUFFIXES else name) + at + span
