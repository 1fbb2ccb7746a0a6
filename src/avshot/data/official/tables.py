"""The class lists and clip tables of the released benchmark folders (`class-split/`), read as the authors' code does.

Three things differ from what one would expect, and this reader takes care of them. The text lists define a split, not
the clip tables: the "cls" tables still list classes that the "cls" lists drop. Names of UCF and ActivityNet classes
differ in case between files (HandStandPushups, HandstandPushups). VGGSound names hold commas.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from avshot.errors import BadDataset
from avshot.files.pickles.arrays import shown
from avshot.types import Clip

BENCHMARKS = ("UCF", "ActivityNet", "VGGSound")
SPLITS = ("main", "cls")
STAGES = {
    "train": "stage_1_train",
    "val_seen": "stage_1_val_seen",
    "val_unseen": "stage_1_val_unseen",
    "test_seen": "stage_2_test_seen",
    "test_unseen": "stage_2_test_unseen",
}
RETRAIN = (
    "stage_2_train"  # the union of the three stage-1 folds; only its lists and tables are read, never its features
)


@dataclass(frozen=True)
class Tables:
    """What the `class-split` folder of one benchmark says.

    Attributes:
        benchmark: "UCF", "ActivityNet" or "VGGSound".
        names: All classes in the order of the authors' class ids: sorted, upper case before lower case.
        phrases: `{class name: spelled-out name}`; the class vectors and descriptions are keyed by the latter.
        lists: `{split: {stage file: class names}}` from the text lists, in file order.
        clips: `{stage file: clips}` from the tables; a stage whose table is not there is absent.
        spelt: Class names as some list or table writes them, where that differs from `names`.
    """

    benchmark: str
    names: tuple[str, ...]
    phrases: Mapping[str, str]
    lists: Mapping[str, Mapping[str, tuple[str, ...]]]
    clips: Mapping[str, tuple[Clip, ...]]
    spelt: Mapping[str, str]

    def listed(self, split: str, stage: str) -> tuple[Clip, ...] | None:
        """Clips of `stage` whose class is on the list of `split`; None where the table is not there."""
        if stage not in self.clips:
            return None
        wanted = set(self.lists[split][stage])
        return tuple(clip for clip in self.clips[stage] if clip.label in wanted)

    def named(self, label: str, source: Path) -> str:
        """The class that a file of features is called after. Raises ValueError where no class has that name."""
        return _Names(self.names, exact=self.benchmark == "VGGSound")(label, source)

    @cached_property
    def retrain(self) -> tuple[Clip, ...] | None:
        """Clips of stage-2 training: its table, or the three stage-1 tables; None where neither is complete."""
        if RETRAIN in self.clips:
            return self.clips[RETRAIN]
        parts = [STAGES[fold] for fold in ("train", "val_seen", "val_unseen")]
        if any(stage not in self.clips for stage in parts):
            return None
        return tuple(clip for stage in parts for clip in self.clips[stage])


def find_benchmark(root: str | Path, name: str) -> Path:
    """Folder of benchmark `name`: `root/name`, or `root` itself; the one that holds `class-split`.

    Raises:
        ValueError: The name is not one of `BENCHMARKS`, or no such folder has a `class-split`.
    """
    if name not in BENCHMARKS:
        raise BadDataset(f"Benchmark {name!r} is not known; expected one of {', '.join(BENCHMARKS)}.")
    for folder in (Path(root) / name, Path(root)):
        if any((folder / split).is_dir() for split in _SPLIT_FOLDERS):
            return folder
    raise BadDataset(f"{Path(root) / name} has no folder class-split; pass the folder that holds {name}/class-split.")


def read_tables(root: str | Path, name: str) -> Tables:
    """Read the lists and tables of benchmark `name` under `root`.

    Raises:
        ValueError: The folder is not there, lacks a list, or names a class that `all_class.txt` does not.
    """
    base = lists_folder(root, name)
    names, known = _read_names(base, name)
    stages = (*STAGES.values(), RETRAIN)
    lists = {
        split: _read_lists(folder, stages, known) for split in SPLITS if (folder := base / f"{split}_split").is_dir()
    }
    if not lists:
        raise BadDataset(f"{base} has neither main_split nor cls_split; expected the released benchmark layout.")
    clips = {}
    for stage in stages:
        # The authors' cls tables equal the main ones, so either will do.
        found = [path for split in SPLITS if (path := base / f"{split}_split" / f"{stage}.csv").is_file()]
        if found:
            clips[stage] = _read_clips(found[0], known)
    return Tables(name, names, _read_phrases(base, known), lists, clips, dict(known.spelt))


def read_lists(root: str | Path, name: str, folder: str, stages: Sequence[str]) -> Tables:
    """Read the lists of `class-split/<folder>` alone, which has no tables of clips.

    Args:
        root: Of the benchmarks.
        name: Benchmark.
        folder: For example "5-shot"; the only split of the `Tables`.
        stages: Names of its lists, without `.txt`.

    Raises:
        ValueError: As `read_tables`.
    """
    base = lists_folder(root, name)
    names, known = _read_names(base, name)
    lists = {folder: _read_lists(base / folder, stages, known)}
    return Tables(name, names, _read_phrases(base, known), lists, {}, dict(known.spelt))


def lists_folder(root: str | Path, name: str) -> Path:
    """The folder `class-split` of a benchmark. Raises ValueError as `find_benchmark`."""
    folder = find_benchmark(root, name)
    return next(folder / split for split in _SPLIT_FOLDERS if (folder / split).is_dir())


_SPLIT_FOLDERS = ("class-split", "class_split")  # the code uses the first, its README the second


class _Names:
    """Class names as the lists spell them; `exact` for VGGSound, whose authors' code does not fold case."""

    def __init__(self, names: Sequence[str], *, exact: bool) -> None:
        self._exact = exact
        self._known = {self._key(name): name for name in names}
        self.spelt: dict[str, str] = {}

    def _key(self, name: str) -> str:
        return name if self._exact else name.lower()

    def __call__(self, name: str, source: Path) -> str:
        found = self._known.get(self._key(name))
        if found is None:
            raise BadDataset(f"{source} names class {name!r}, which all_class.txt does not; fetch the lists again.")
        if found != name:
            self.spelt[found] = name
        return found


def _read_names(base: Path, benchmark: str) -> tuple[tuple[str, ...], _Names]:
    """All classes in the order of the authors' class ids, and what knows them in other spellings."""
    listed = _lines(base / "all_class.txt")
    names = tuple(sorted(set(listed)))
    if len(names) != len(listed):
        twice = min(name for name in names if listed.count(name) > 1)
        raise BadDataset(f"{base / 'all_class.txt'} names class {twice!r} twice; fetch the lists again.")
    return names, _Names(names, exact=benchmark == "VGGSound")


def _text(path: Path) -> str:
    """A file of UTF-8 text, with or without byte order mark; line ends become line feeds."""
    if not path.is_file():
        raise BadDataset(f"{path} is not there; expected the released benchmark layout.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadDataset(f"{path} is not UTF-8 text (line {line}); fetch it again, or save it as UTF-8.") from None
    if "\0" in text:
        raise BadDataset(f"{path} is not text (it holds a zero byte); fetch it again, or save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).split("\n") if line.strip()]


@dataclass(frozen=True)
class Row:
    """One row of a table: where it is ("labels.csv line 7"), and its cells without space around them."""

    place: str
    cells: Mapping[str, str]


def read_table(path: Path, *needed: str) -> list[Row]:
    """The rows of a table that hold anything; the columns `needed` must be there and filled in every row.

    Raises:
        ValueError: It is not there, not UTF-8, not a table separated by commas, or lacks such a cell; names the line.
    """
    lines = io.StringIO(_text(path))
    reader = csv.reader(lines, strict=True)
    found: list[Row] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        lacking = [name for name in needed if name not in header]
        if lacking:
            raise BadDataset(
                f"{path} has no column {', '.join(lacking)}; expected a table separated by commas with the columns "
                f"{', '.join(needed)}, got {shown(', '.join(header)) or 'nothing'}."
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append(_row(f"{path} line {reader.line_num}", header, cells, needed))
    except csv.Error as error:
        raise BadDataset(f"{path} line {reader.line_num} is no row of a table ({error}); fetch it again.") from None
    return found


def _row(place: str, header: Sequence[str], cells: Sequence[str], needed: Sequence[str]) -> Row:
    if len(cells) > len(header):
        raise BadDataset(
            f"{place} has {len(cells)} cells and the header {len(header)}; put a cell that holds a comma in quotes."
        )
    row = Row(place, {name: cell.strip() for name, cell in zip(header, cells, strict=False)})
    for name in needed:
        if not row.cells.get(name):
            raise BadDataset(f"{place} has nothing in column {name}; fetch the table again.")
    return row


def _read_lists(folder: Path, stages: Sequence[str], known: _Names) -> dict[str, tuple[str, ...]]:
    paths = {stage: folder / f"{stage}.txt" for stage in stages}
    return {stage: tuple(dict.fromkeys(known(line, path) for line in _lines(path))) for stage, path in paths.items()}


def _read_phrases(base: Path, known: _Names) -> dict[str, str]:
    """Original name -> spelled-out name. Without the table every class keeps its own name."""
    paths = sorted(base.glob("*_w2v_class_names.csv"))
    if not paths:
        return {}
    rows = read_table(paths[0], "original", "manual")
    return {known(row.cells["original"], paths[0]): row.cells["manual"] for row in rows}


def _read_clips(path: Path, known: _Names) -> tuple[Clip, ...]:
    clips: dict[str, Clip] = {}
    for row in read_table(path, "filename", "label"):
        id = row.cells["filename"]
        if id in clips:
            raise BadDataset(f"{row.place} names clip {id!r} a second time; keep one of the rows.")
        start = _seconds(row)
        end = None if start is None else start + 10.0  # VGGSound clips are 10 s long
        group = row.cells.get("youtube_id") or source_of(id)
        clips[id] = Clip(id, label=known(row.cells["label"], path), start=start, end=end, group=group)
    return tuple(clips.values())


def _seconds(row: Row) -> float | None:
    text = row.cells.get("start_seconds")
    if not text:
        return None
    try:
        start = float(text)
    except ValueError:
        start = math.nan
    if not 0 <= start < math.inf:
        raise BadDataset(f"{row.place} has start_seconds {shown(text)!r}; expected seconds from 0 on.")
    return start


def source_of(id: str) -> str:
    """The recording that clip `id` was cut from: `v_Archery_g01_c02` -> `v_Archery_g01`; else the YouTube id."""
    return id.rsplit("_", 1)[0]
