"""Labelled videos from a table that people wrote: one row for each file or span of a file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from avshot.classes.names import tidy
from avshot.data.folders import MEDIA_SUFFIXES, printable
from avshot.data.sources import first_few
from avshot.errors import BadClassName, BadDataset
from avshot.files.text import Row, Table, read_table
from avshot.files.url import local_path
from avshot.types import Clip

_PATH_COLUMNS = ("path", "filename", "file", "video")
_SPAN_WORDS = ("start", "begin", "end", "stop", "onset", "offset", "time", "duration", "second")
_FOLD_COLUMNS = ("fold", "split", "subset", "partition")
_SAMPLE = 50  # rows by which the folder of the files is found


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what; capitals do not matter where only one column is meant.

    Attributes:
        label: Name of a column, or a template that combines several: `"{command} {colour}"`.
        path: Column with the file name; None takes the first of path, filename, file, video.
        start: Column with the first second of the clip; used when it is there, as are the next two.
        end: Column with the last second of the clip.
        group: Column with the source the clip was cut from.
        pairs: Columns of the action and of the adverb where labels are such pairs, in place of `label`. A file may then
            be in several rows, with another pair in each.
    """

    label: str = "label"
    path: str | None = None
    start: str = "start"
    end: str = "end"
    group: str = "group"
    pairs: tuple[str, str] | None = None


PAIRS = ("action", "adverb")  # the usual columns of pairs


def read_label_table(
    path: Path, columns: Columns, media: str | Path | None, skip_missing: bool
) -> tuple[list[Clip], Path, list[str], dict[str, tuple[str, str]]]:
    """The clips that a table names, the folder its file names are relative to, warnings, and what pair each label is.

    Ids are the file names as written, with `@start-end` where there is a span.

    Raises:
        ValueError: Not a table, a column or file is missing, a label or span is none, or a clip is listed twice; names
            file and line.
    """
    table = read_table(path)
    spelt = {wanted: table.column(wanted) for wanted in (columns.start, columns.end, columns.group)}
    path_column = _path_column(table, columns)
    parts = label_parts(table, columns.label if columns.pairs is None else pattern_of(columns.pairs))
    pair_of: dict[str, tuple[str, str]] = {}
    named = [(row, _file_name(filled_cell(row, path_column))) for row in table.rows]
    files = _Files(path.parent if media is None else Path(media))
    if media is None:
        files = _media_folder(path, [name for _, name in named])
    clips, missing = [], []
    for row, name in named:
        file = files.find(name, row.place)
        label = label_of(row, parts)
        if columns.pairs is not None:
            pair_of[label] = pair_in(row, [column for _, column in parts])
        start, end = read_span(row, spelt[columns.start] or columns.start, spelt[columns.end] or columns.end)
        id = Path(name if file.parent == (files.base / name).parent else name.replace("\\", "/")).as_posix()
        clips.append(
            Clip(id + span_text(start, end), str(file), label, start, end, row.get(spelt[columns.group] or "") or None)
        )
        if not file.is_file():
            missing.append((row, name))
    _check_twice(table, clips, labels=columns.pairs is not None)
    warnings = list(_unread(table, [path_column, *(c for _, c in parts), *filter(None, spelt.values())]))
    if missing:
        told = _told_missing(path, files.base, missing)
        if not skip_missing:
            raise BadDataset(
                f"{told}. Say which folder the names start from (--media FOLDER, media=...), or leave missing files "
                "out (--skip-missing, skip_missing=True)."
            )
        warnings.append(f"{told}; their clips are left out.")
        clips = [clip for clip in clips if Path(clip.path).is_file()]
    return clips, files.base, warnings, pair_of


def read_span(row: Row, start: str = "start", end: str = "end") -> tuple[float | None, float | None]:
    """Start and end of a row in seconds. Raises ValueError, naming the line, for what is no span."""
    first, last = row.seconds(start), row.seconds(end)
    if last is not None and last <= (first or 0.0):
        raise BadDataset(
            f"{row.place}: {end} is {row.get(end)}, not after {start} ({row.get(start) or 0}); expected seconds from "
            "the beginning of the file, the end after the start."
        )
    return first, last


def span_text(start: float | None, end: float | None) -> str:
    """A span as ids have it: "" for none, else `@start-end` with every digit, and without ".0" for whole seconds."""
    if start is None and end is None:
        return ""
    first, last = ("" if seconds is None else repr(seconds).removesuffix(".0") for seconds in (start, end))
    return f"@{first}-{last}"


def find_file(base: Path, name: str) -> Path:
    r"""The file `name` below `base`; back-slashes part folders where that leads to a file (`clips\a.mp4`)."""
    path = base / name
    if "\\" in name and not path.is_file() and (other := base / name.replace("\\", "/")).is_file():
        return other
    return path


class _Files:
    """Files that names in a table mean, below one folder; each folder is listed once."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._by_stem: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str, place: str = "") -> Path:
        """The file, or the one media file beside it that has its name with a suffix (tables often leave it out).

        Raises:
            ValueError: Several files have that name with a suffix, and `place` is where to say so.
        """
        for text in dict.fromkeys((name, name.replace("\\", "/"))):
            path = self.base / text
            if path.is_file():
                return path
            found = self._listed(path.parent).get(path.name, [])
            if len(found) > 1 and place:
                raise BadDataset(f"{place}: {name!r} may be {' or '.join(found)}; write the suffix, too.")
            if len(found) == 1:
                return path.with_name(found[0])
        return self.base / name

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._by_stem:
            stems = defaultdict(list)
            for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in MEDIA_SUFFIXES:
                    stems[stem].append(name)
            self._by_stem[folder] = stems
        return self._by_stem[folder]


def _media_folder(table: Path, names: Sequence[str]) -> _Files:
    """The table's own folder, unless only a sub-folder of it holds the files."""
    here = table.parent
    folders = [here, *sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))]
    choices = [_Files(folder) for folder in folders]
    hits = [sum(files.find(name).is_file() for name in names[:_SAMPLE]) for files in choices]
    return choices[hits.index(max(hits))]


def _path_column(table: Table, columns: Columns) -> str:
    wanted = _PATH_COLUMNS if columns.path is None else (columns.path,)
    found = next((name for column in wanted if (name := table.column(column)) is not None), None)
    if found is None:
        raise BadDataset(lacking_column(table, " or ".join(wanted)))
    return found


def label_parts(table: Table, label: str) -> list[tuple[str, str]]:
    """A label as pairs of fixed text and the column that follows it ("" for none).

    Args:
        table: Where the columns are.
        label: As `Columns.label`.

    Raises:
        ValueError: No such pattern, or a column of it that the table lacks.
    """
    try:
        parts = list(Formatter().parse(label)) if "{" in label else [("", label, "", None)]
    except ValueError:
        parts = []
    if not parts or any(field == "" or spec or conversion for _, field, spec, conversion in parts):
        raise BadDataset(
            f'Got the label pattern {label!r}; expected columns in braces, for example "{{command}} {{colour}}".'
        )
    fields = {field: table.column(field) for _, field, _, _ in parts if field is not None}
    lacking = sorted(field for field, column in fields.items() if column is None)
    if lacking:
        raise BadDataset(lacking_column(table, ", ".join(lacking)))
    return [(text, "" if field is None else str(fields[field])) for text, field, _, _ in parts]


def pattern_of(pairs: tuple[str, str]) -> str:
    """The pattern of labels that are pairs of two columns."""
    return " ".join(f"{{{column}}}" for column in pairs)


def pair_in(row: Row, columns: Sequence[str]) -> tuple[str, str]:
    """Action and adverb of a row. Raises ValueError, naming the line, for a cell without a word."""
    try:
        action, adverb = (tidy(filled_cell(row, column)) for column in columns)
    except BadClassName as error:
        raise BadDataset(f"{row.place}: {error}") from None
    return action, adverb


def label_of(row: Row, parts: Sequence[tuple[str, str]]) -> str:
    """The label of a row. Raises ValueError, naming the line, for a cell without text or a label without a word."""
    text = "".join(text + (filled_cell(row, column) if column else "") for text, column in parts)
    try:
        return tidy(text)
    except ValueError as error:
        raise BadDataset(f"{row.place}: {error}") from None


def filled_cell(row: Row, column: str) -> str:
    """A cell that must hold text. Raises ValueError, naming the line, where it does not."""
    if not row[column]:
        raise BadDataset(f"{row.place} has nothing in column {column!r}; fill it in, or leave the row out.")
    return row[column]


def _file_name(cell: str) -> str:
    """The path that a cell names; URLs of other machines stay as they are, and are missing."""
    try:
        return local_path(cell)
    except ValueError:
        return cell


def lacking_column(table: Table, columns: str) -> str:
    """Why a table without these columns is no use, and whether its first line is a header at all."""
    cells = ", ".join(table.columns)
    if any(
        Path(cell).suffix.lower() in MEDIA_SUFFIXES or find_file(table.path.parent, cell).is_file()
        for cell in table.columns
    ):
        return (
            f"{table.path} has no column {columns}: its first line looks like data ({cells}); write a header above it, "
            "for example filename,label."
        )
    missing = (
        "" if columns != Columns.label else "; add one with a class name for each file, and leave out files without"
    )
    return f"{table.path} has no column {columns}; its columns: {cells}{missing}."


def _unread(table: Table, used: Sequence[str]) -> Iterator[str]:
    """Columns that look as if they mattered, though nothing reads them."""
    left = [name for name in table.columns if name and name not in used]
    spans = [name for name in left if any(word in name.casefold() for word in _SPAN_WORDS)]
    if spans:
        yield f"Nothing reads {_columns(spans)}; a span stands in the columns start and end, in seconds."
    folds = [name for name in left if name.casefold() in _FOLD_COLUMNS]
    if folds:
        yield f"Nothing reads {_columns(folds)}; the rule draws the folds, and their table can be edited afterwards."


def _columns(names: Sequence[str]) -> str:
    return f"the column{'s' * (len(names) > 1)} {first_few(names)}"


def _told_missing(table: Path, base: Path, missing: Sequence[tuple[Row, str]]) -> str:
    names = sorted({name for _, name in missing})
    hint = " (a URL is not fetched: download the file first)" if any("://" in name for name in names) else ""
    first = missing[0][0].place.removeprefix(f"{table} ")
    told = first_few([printable(name) for name in names])
    return f"{len(names)} files named in {table} are not in {base}: {told}{hint}, the first on {first}"


def _check_twice(table: Table, clips: Iterable[Clip], *, labels: bool) -> None:
    """Refuse two rows for one file and span, whatever the file is called in them; with `labels`, for one label."""
    first: dict[tuple[str, float | None, float | None, str | None], str] = {}
    twice = []
    for clip in clips:
        key = (os.path.realpath(clip.path), clip.start or None, clip.end, clip.label if labels else None)
        twice += [clip.id if first[key] == clip.id else f"{first[key]} = {clip.id}"] if key in first else []
        first.setdefault(key, clip.id)
    if twice:
        raise BadDataset(
            f"{table.path} lists {len(twice)} clips twice: {first_few(twice)}; expected one row per file or span."
        )
