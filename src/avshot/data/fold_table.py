"""The table of a declared dataset: which clip lies in which fold. avshot writes it; people edit it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from avshot.classes.names import join_key, tidy
from avshot.data.dataset import FOLDS
from avshot.data.label_table import PAIRS, find_file, pair_in, read_span
from avshot.errors import BadDataset, told_as
from avshot.files.text import Row, read_table
from avshot.types import Clip

_FIELDS = ("id", "path", "label", "start", "end", "group", "fold")
_PAIR_FIELDS = (*PAIRS, "stored_as")  # further ones where labels are pairs
_UNLABELLED = "unlabelled"
# Classes of the fold on the left must not be in those on the right, as `Dataset` wants it.
_APART = {
    "val_unseen": ("train", "val_seen"),
    "test_unseen": ("train", "val_seen", "val_unseen", "test_seen"),
}


def folds_csv(
    clips: Sequence[Clip], fold_of: Mapping[str, str], base: Path, pair_of: Mapping[str, tuple[str, str]] | None = None
) -> str:
    """The table as text.

    Args:
        clips: In any order; the table has that of their ids.
        fold_of: `{clip id: fold}`; a clip that is not in it lies in no fold.
        base: Folder that paths are relative to. A clip without a file has none.
        pair_of: `{label: (action, adverb)}` where labels are pairs.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS + (_PAIR_FIELDS if pair_of else ()))
    for clip in sorted(clips, key=lambda clip: clip.id):
        span = ("" if seconds is None else repr(seconds) for seconds in (clip.start, clip.end))
        fold = fold_of.get(clip.id, "")
        path = relative(clip.path, base) if clip.path else ""
        path = f"./{path}" if path != path.lstrip() else path  # cells are read without space around them
        more = (*pair_of[str(clip.label)], clip.stored_as or "") if pair_of else ()
        writer.writerow((clip.id, path, clip.label or "", *span, clip.group or "", fold, *more))
    return out.getvalue()


@told_as(BadDataset)
def read_folds(table: Path) -> tuple[list[Clip], dict[str, np.ndarray], dict[str, tuple[str, str]]]:
    """Clips of the table, the rows of each fold, and `{label: (action, adverb)}` where labels are pairs.

    Raises:
        ValueError: Not such a table, a cell that is not what its column holds, or rows that contradict each other; the
            message names file and line.
    """
    found = read_table(table, needed=("id",), whole=True)
    lacking = [name for name in ("path", "label", "fold") if name not in found.columns]
    if lacking:
        raise BadDataset(f"{table} has no column {', '.join(lacking)}; expected {', '.join(_FIELDS)}.")
    base = Path(os.path.realpath(table.parent))
    pairs = all(name in found.columns for name in PAIRS)
    clips = [_clip(row, base) for row in found.rows]
    bare = [row for row in found.rows if not row["path"]]
    if bare and len(bare) < len(clips):
        raise BadDataset(
            f"{bare[0].place} has nothing in column 'path', though other clips have a file; fill it in (was the line "
            "cut off?)."
        )
    check_clips(found.rows, clips, pairs=pairs)
    pair_of = _pairs(found.rows, clips) if pairs else {}
    return clips, stated_folds(found.rows, clips, "fold", pairs=pairs), pair_of


def _pairs(rows: Sequence[Row], clips: Sequence[Clip]) -> dict[str, tuple[str, str]]:
    """The pair of each label. Raises ValueError, naming the line, where the label is another one."""
    found: dict[str, tuple[str, str]] = {}
    for row, clip in zip(rows, clips, strict=True):
        pair = pair_in(row, PAIRS)
        if clip.label != " ".join(pair) or found.setdefault(clip.label, pair) != pair:
            raise BadDataset(
                f"{row.place} has the label {clip.label!r} for {pair[0]!r} and {pair[1]!r}; spell it alike."
            )
    return found


def stated_folds(
    rows: Sequence[Row], clips: Sequence[Clip], column: str, *, pairs: bool = False
) -> dict[str, np.ndarray]:
    """The rows of each fold, as a column of the table states them.

    Args:
        rows: Rows of the table.
        clips: What each of them says.
        column: Where the fold stands; an empty cell is no fold.
        pairs: Labels are pairs, which may have a fold "unlabelled".

    Raises:
        ValueError: No such fold, a clip in a fold without a label, or a class that is both seen and unseen; the message
            names file and line.
    """
    known = (*FOLDS, _UNLABELLED) if pairs else FOLDS
    folds: dict[str, list[int]] = {fold: [] for fold in known}
    for i, (row, clip) in enumerate(zip(rows, clips, strict=True)):
        fold = row[column]
        if fold and fold not in folds:
            raise BadDataset(f"{row.place}: clip {clip.id!r} is in fold {fold!r}; expected {', '.join(known)}.")
        if fold and clip.label is None:
            raise BadDataset(f"{row.place}: clip {clip.id!r} is in fold {fold!r} without a label; give it one.")
        if fold:
            folds[fold].append(i)
    _check_apart(rows, clips, column)
    kept = {fold: rows for fold, rows in folds.items() if rows or fold in FOLDS}
    return {fold: np.array(rows, dtype=np.int64) for fold, rows in kept.items()}


def relative(path: str | Path, base: Path) -> str:
    """`path` relative to `base`, with forward slashes; absolute where there is no relative one (another drive).

    Folders are resolved first: ".." behind a symbolic link leads elsewhere. The file itself may be a link.
    """
    full = Path(os.path.realpath(Path(path).parent)) / Path(path).name
    try:
        return Path(os.path.relpath(full, os.path.realpath(base))).as_posix()
    except ValueError:
        return full.as_posix()


def _clip(row: Row, base: Path) -> Clip:
    path = row["path"]
    if path and "://" not in path:  # without one there are only features of the clip
        path = os.path.normpath(find_file(base, path))
    start, end = read_span(row)
    try:
        label = tidy(row["label"]) if row["label"] else None
    except ValueError as error:
        raise BadDataset(f"{row.place}: {error}") from None
    return Clip(row["id"], path, label, start, end, row.get("group") or None, row.get("stored_as") or None)


def check_clips(rows: Sequence[Row], clips: Sequence[Clip], *, pairs: bool = False) -> None:
    """Refuse an id, or a span of a file, that is there twice, and two spellings of one label.

    Args:
        rows: Rows of a table.
        clips: What each of them says.
        pairs: Labels are pairs: a span of a file may be there with several of them.

    Raises:
        ValueError: There is one; the message names file and both lines.
    """
    _check_twice(rows, clips, pairs)
    _check_labels(rows, clips)


def _check_twice(rows: Sequence[Row], clips: Sequence[Clip], pairs: bool) -> None:
    """No id, and no span of a file, may be there twice."""
    first: dict[object, Row] = {}
    for row, clip in zip(rows, clips, strict=True):
        span = (clip.path, clip.start or None, clip.end, clip.label if pairs else None)
        told_of = [(clip.id, f"the id {clip.id!r}"), (span, f"the file and span of {clip.id!r}")]
        for what, told in told_of[: 1 + bool(clip.path)]:
            if what in first:
                raise BadDataset(f"{row.place} has {told} again ({_line(first[what])} has it, too); keep one.")
            first[what] = row


def _check_labels(rows: Sequence[Row], clips: Sequence[Clip]) -> None:
    first: dict[str, tuple[str, Row]] = {}
    for row, clip in zip(rows, clips, strict=True):
        if clip.label is None:
            continue
        label, where = first.setdefault(join_key(clip.label), (clip.label, row))
        if label != clip.label:
            raise BadDataset(
                f"{row.place} has the label {clip.label!r}, {_line(where)} {label!r}, which differ only in case, space "
                "or punctuation; spell each one way."
            )


def _check_apart(rows: Sequence[Row], clips: Sequence[Clip], column: str) -> None:
    first: dict[tuple[str | None, str], Row] = {}
    for row, clip in zip(rows, clips, strict=True):
        first.setdefault((clip.label, row[column]), row)
    for (label, fold), row in first.items():
        for other in _APART.get(fold, ()):
            if (label, other) in first:
                raise BadDataset(
                    f"{row.place} has {label!r} in fold {fold!r}, {_line(first[label, other])} in {other!r}; a class "
                    f"of {fold!r} must not be in {', '.join(_APART[fold])}."
                )


def _line(row: Row) -> str:
    return row.place[row.place.rindex("line ") :]
