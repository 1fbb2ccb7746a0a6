"""A table of clips whose features somebody has: an id and a label on each line, perhaps a fold and a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from avshot.classes.names import refuse_alike
from avshot.data.fold_table import check_clips, stated_folds
from avshot.data.label_table import (
    PAIRS,
    filled_cell,
    label_of,
    label_parts,
    lacking_column,
    pair_in,
    pattern_of,
)
from avshot.data.listing import short_ids
from avshot.data.pairs import numbered
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.files.text import Table, read_table
from avshot.types import Clip

_ID_COLUMNS = ("id", "clip", "filename")
_OTHER_FOLDS = ("split", "subset", "partition")


@dataclass(frozen=True)
class ClipTable:
    """Clips in the order of the lines.

    Attributes:
        clips: Without a file.
        fold_of: `{clip id: fold}` where the table states folds; None where it has no such column.
        warnings: Oddities that do not prevent use.
        pair_of: `{label: (action, adverb)}` where labels are pairs.
    """

    clips: tuple[Clip, ...]
    fold_of: dict[str, str] | None
    warnings: tuple[str, ...]
    pair_of: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def read_clip_table(path: str | Path, label: str = "label", *, pairs: bool = False) -> ClipTable:
    """Read a table with a column `id` (or `clip`, or `filename`), a label, and where there are some `fold` and `group`.

    Ids are as written; of file names the suffix is left out where that leaves them unique, as `list_clips` does.

    Args:
        path: The table; encodings, separators and header as `read_table` has them.
        label: Column of the label, or a pattern that combines several: `"{command} {colour}"`.
        pairs: Labels are the columns `action` and `adverb`, and an id may be in several rows with another pair in each.

    Raises:
        ValueError: Not a table, a column or cell is missing, an id is there twice, labels differ only in spelling, or
            folds that do not exist or contradict each other; the message names file and line.
        OSError: There is no such file.
    """
    table = read_table(path)
    column = next((name for wanted in _ID_COLUMNS if (name := table.column(wanted)) is not None), None)
    if column is None:
        raise BadDataset(lacking_column(table, " or ".join(_ID_COLUMNS)))
    if not table.rows:
        raise BadDataset(f"{path} has a header and no lines; expected one for each clip.")
    parts = label_parts(table, pattern_of(PAIRS) if pairs else label)
    group, fold = table.column("group"), table.column("fold")
    clips = [
        Clip(filled_cell(row, column), label=label_of(row, parts), group=row.get(group or "") or None)
        for row in table.rows
    ]
    if column.casefold() == "filename":
        clips = short_ids([replace(clip, id=clip.id.replace("\\", "/")) for clip in clips])
    pair_of = {}
    if pairs:
        _refuse_repeats(table, clips)
        clips = numbered(clips)
        columns = [column for _, column in parts]
        pair_of = {str(c.label): pair_in(row, columns) for row, c in zip(table.rows, clips, strict=True)}
    check_clips(table.rows, clips, pairs=pairs)
    refuse_alike(sorted({str(clip.label) for clip in clips}), f"{path}: ")
    fold_of = None
    if fold is not None:
        folds = stated_folds(table.rows, clips, fold, pairs=pairs)
        fold_of = {clips[i].id: name for name, rows in folds.items() for i in rows}
        if not fold_of:
            raise BadDataset(f"{path} has a column {fold} with nothing in it; fill it in, or take it out.")
    return ClipTable(tuple(clips), fold_of, tuple(_unread(table, fold)), pair_of)


def _refuse_repeats(table: Table, clips: Sequence[Clip]) -> None:
    """Raise ValueError, naming the line, where a clip is there twice with one pair."""
    first: set[tuple[str, str | None]] = set()
    for row, clip in zip(table.rows, clips, strict=True):
        if (clip.id, clip.label) in first:
            raise BadDataset(f"{row.place} has the clip {clip.id!r} with {clip.label!r} again; keep one.")
        first.add((clip.id, clip.label))


def _unread(table: Table, fold: str | None) -> Iterator[str]:
    """A column that looks like the folds, though nothing reads it."""
    alike = [name for name in table.columns if name.casefold() in _OTHER_FOLDS]
    if alike and fold is None:
        yield (
            f"Nothing reads the column{'s' * (len(alike) > 1)} {first_few(alike)}, and the folds are drawn; to state "
            "them, call the column fold and write train, val_seen, val_unseen, test_seen or test_unseen in it."
        )
