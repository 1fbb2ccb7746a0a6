"""Find labelled videos: in a folder whose sub-folders are labels, or through a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from avshot.classes.names import refuse_alike, tidy
from avshot.data.folders import MEDIA_SUFFIXES, OWN, MediaFiles, media_files, printable
from avshot.data.label_table import Columns, read_label_table
from avshot.data.pairs import numbered
from avshot.data.sources import first_few
from avshot.data.unlabelled import ways
from avshot.errors import BadDataset, MissingFile, told_as
from avshot.types import Clip

__all__ = ["MEDIA_SUFFIXES", "Columns", "Listing", "MediaFiles", "list_clips", "media_files"]

_SPLITS = frozenset(("train", "training", "val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing"))

_TABLES = tuple(f"{stem}.{suffix}" for stem in ("labels", "metadata", "annotations") for suffix in ("csv", "tsv"))


@dataclass(frozen=True)
class Listing:
    """Clips that were found, where their files are, and what was odd.

    Attributes:
        clips: Clips with a label; `path` is the full path of the file.
        media: The folder that file names are relative to.
        warnings: Oddities that do not prevent use.
        pair_of: `{label: (action, adverb)}` where labels are pairs.
    """

    clips: tuple[Clip, ...]
    media: Path
    warnings: tuple[str, ...]
    pair_of: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@told_as(BadDataset)
def list_clips(
    source: str | Path, columns: Columns | None = None, *, media: str | Path | None = None, skip_missing: bool = False
) -> Listing:
    """List the clips of a folder (sub-folder name = label) or of a table.

    Args:
        source: The folder, or the `.csv` file.
        columns: What the columns of the table mean; not used for a folder.
        media: Folder of the files a table names; None tries the table's own folder, then its sub-folders.
        skip_missing: Leave clips out whose file is not there, with a warning, in place of an error.

    Raises:
        ValueError: Nothing there, nothing labelled, a column or file is missing, a label is empty or cannot be said,
            two labels differ only in spelling, a clip is listed twice, or the sub-folders are folds (train, test) and
            not labels.
    """
    source = Path(source)
    if source.is_dir():
        if columns is not None and columns.pairs is not None:
            raise BadDataset(
                f"{source} is a folder; pairs of an action and an adverb stand in a table (CSV): pass that."
            )
        listing = _list_folder(source)
    elif source.suffix.lower() in MEDIA_SUFFIXES and source.is_file():
        raise BadDataset(f"{source} is a single recording; pass a folder of videos or a table (CSV). {ways(source)}")
    elif source.is_file():
        columns = columns or Columns()
        clips, base, warnings, pair_of = read_label_table(source, columns, media, skip_missing)
        ids = {clip.id: clip for clip in clips}
        short = dict(zip(ids, short_ids(list(ids.values())), strict=True))
        clips = numbered([replace(clip, id=short[clip.id].id) for clip in clips])
        listing = Listing(tuple(clips), base, tuple(warnings), pair_of)
    else:
        raise MissingFile(f"{source} is not there; expected a folder of videos or a table (CSV).")
    if not listing.clips:
        told = " ".join(["", *listing.warnings]) + _table_told(source)
        raise BadDataset(f"{source} lists no videos; expected sub-folders with videos, or a table with rows.{told}")
    refuse_alike(sorted({str(clip.label) for clip in listing.clips}), f"{source}: ")
    return listing


def _table_told(source: Path) -> str:
    """A sentence about the table that may say what the files of a folder are; empty where there is none."""
    table = _table_near(source)
    if table is None:
        return ""
    return f" There is a table {table}: pass that in place of the folder (avshot dataset {table} NAME.toml)."


def _table_near(source: Path) -> Path | None:
    """A table that may say what the files of a folder are, in it or beside it."""
    if not source.is_dir():
        return None
    named = [source / name for name in _TABLES] + [source.parent / name for name in _TABLES]
    usual = [path for path in named if path.is_file()]
    inside = sorted(path for suffix in (".csv", ".tsv") for path in source.glob(f"*{suffix}"))
    return next(iter((*usual, *inside)), None)


def _list_folder(folder: Path) -> Listing:
    found = media_files(folder)
    _check_paths(found)
    below = [path for path in found.files if path.parent != folder]
    if found.files and not below:
        told = _table_told(folder) or f" {ways(folder)}"
        raise BadDataset(f"{folder} holds {len(found.files)} recordings and no labels.{told}")
    _check_splits(folder, below)
    clips = [_clip(path, folder) for path in below]
    clips, again = _without_repeats(clips)
    warnings = [*_folder_notes(found, below), *found.notes(), *_alike_files(clips)]
    if again:
        told = first_few([f"{id} = {first}" for id, first in again])
        warnings.append(f"{len(again)} files are left out, the same file as another of their label (links): {told}.")
    return Listing(tuple(short_ids(clips)), folder, tuple(warnings))


def _clip(path: Path, folder: Path) -> Clip:
    id = path.relative_to(folder)
    try:
        return Clip(id.as_posix(), str(path), label=tidy(id.parts[0]))
    except ValueError as error:
        raise BadDataset(f"{folder}: {error} (It is the name of a folder; rename it.)") from None


def _check_paths(found: MediaFiles) -> None:
    """Refuse names that no table can hold."""
    bad = [path for path in found.files if "\r" in str(path)]
    for paths, what in ((found.unnamed, "are not UTF-8"), (bad, "hold a carriage return")):
        if paths:
            told = first_few([printable(path, found.folder) for path in paths])
            raise BadDataset(f"{found.folder} has {len(paths)} files whose names {what}: {told}; rename them.")


def _check_splits(folder: Path, files: Sequence[Path]) -> None:
    """Refuse folders that are folds by their name and hold label folders, or are the only ones."""
    tops = {path.relative_to(folder).parts[0] for path in files}
    deep = {path.relative_to(folder).parts[0] for path in files if len(path.relative_to(folder).parts) > 2}
    splits = sorted(name for name in tops if name.casefold() in _SPLITS)
    if any(name in deep for name in splits) or (splits and len(splits) == len(tops)):
        raise BadDataset(
            f"{folder} has folders that are folds by their name, not labels: {', '.join(splits)}. Pass one of them "
            f"({folder / splits[0]}), or a table (CSV) of files and labels; if it is a label, rename it."
        )


def _folder_notes(found: MediaFiles, below: Sequence[Path]) -> Iterator[str]:
    folder = found.folder
    loose = [path.name for path in found.files if path.parent == folder]
    if loose:
        yield f"{len(loose)} files lie outside any label folder and are left out: {first_few(loose)}."
    tops = {path.relative_to(folder).parts[0] for path in below}
    subs = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    subs = [path for path in subs if path not in found.again]
    empty = [path.name for path in subs if path.name not in tops and not any((path / own).is_file() for own in OWN)]
    if empty:
        yield f"{len(empty)} label folders hold no video and are left out: {first_few(empty)}."
    nested = sorted({Path(*parts[:2]).as_posix() for p in below if len(parts := p.relative_to(folder).parts) > 2})
    if nested:
        yield f"{len(nested)} folders lie inside label folders, and their files count to those: {first_few(nested)}."


def _without_repeats(clips: Sequence[Clip]) -> tuple[list[Clip], list[tuple[str, str]]]:
    """One clip of each real file and label, and `(id left out, id kept)` of the others."""
    kept: dict[tuple[int, int | str, str | None], Clip] = {}
    again = []
    for clip in clips:
        about = Path(clip.path).stat()
        first = kept.setdefault((about.st_dev, about.st_ino or clip.path, clip.label), clip)
        if first is not clip:
            again.append((clip.id, first.id))
    return list(kept.values()), again


def _alike_files(clips: Sequence[Clip]) -> Iterator[str]:
    labels = defaultdict(set)
    stems = defaultdict(list)
    for clip in clips:
        labels[Path(clip.path).name, Path(clip.path).stat().st_size].add(clip.label)
        stems[without_suffix(clip.id)].append(clip.id)
    twice = sorted(name for (name, _), found in labels.items() if len(found) > 1)
    if twice:
        yield f"{len(twice)} files of the same name and size are under several labels: {first_few(twice)}."
    pairs = [" / ".join(ids) for ids in stems.values() if len(ids) > 1]
    if pairs:
        yield f"{len(pairs)} names stand for several files, which count as different clips: {first_few(pairs)}."


def short_ids(clips: Sequence[Clip]) -> list[Clip]:
    """Ids without the file suffix where that leaves them unique."""
    short = [without_suffix(clip.id) for clip in clips]
    count = Counter(short)
    return [clip if count[id] > 1 else replace(clip, id=id) for clip, id in zip(clips, short, strict=True)]


def without_suffix(id: str) -> str:
    """An id without the suffix of a video or sound file, where it has one; a span behind it stays."""
    name, at, span = id.partition("@")
    path = Path(name)
    return (path.with_suffix("").as_posix() if path.suffix.lower() in MEDIA_SUFFIXES else name) + at + span
