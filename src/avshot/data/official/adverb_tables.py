"""The released split tables of video-adverb retrieval: a row for each clip, action and adverb.

`<set>/train.csv`, `test.csv`, `antonyms.csv`, and for unseen compositions `unlabelled.csv`, in folders as ReGaDa
d9d0bfb has them (`seen_compositions/<set>`) or called `seen` and `unseen`; or Adverbs in Recipes as its authors release
it (`air/train_df.csv`, air-cvpr23). Words are those after clustering, where a table has both. The same clip may stand
in several rows and in several tables: rows are kept as they are, in their order, which decides the order of words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from avshot.classes.names import tidy
from avshot.data.antonyms import read_antonyms
from avshot.data.label_table import filled_cell
from avshot.errors import BadDataset, MissingFile
from avshot.files.text import read_table
from avshot.settings import did_you_mean

SETS = {
    "howto100m-adverbs": "HowTo100M_Adverbs",
    "air": "AIR",
    "activitynet-adverbs": "ActivityNet_Adverbs",
    "msrvtt-adverbs": "MSR-VTT_Adverbs",
    "vatex-adverbs": "VATEX_Adverbs",
}
COMPOSITIONS = {"seen": ("train", "test"), "unseen": ("train", "unlabelled", "test")}
_IDS, _ACTIONS, _ADVERBS, _VIDEOS = (
    ("clip_id", "seg_id"),
    ("clustered_action", "clustered_verb", "action", "verb"),
    ("clustered_adverb", "adverb"),
    ("youtube_id",),
)


@dataclass(frozen=True)
class Row:
    """One row of a table: a clip, and one way of saying what is done in it.

    Attributes:
        clip: Its id; those of HowTo100M are numbers, kept as text.
        action: What is done.
        adverb: How.
        video: The source that it was cut from, where the table says; else None.
    """

    clip: str
    action: str
    adverb: str
    video: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Action and adverb."""
        return self.action, self.adverb


@dataclass(frozen=True)
class AdverbTables:
    """The tables of one split.

    Attributes:
        folder: Where they are.
        name: `vatex-adverbs` and so on.
        composition: "seen" or "unseen".
        rows: `{"train" | "unlabelled" | "test": rows}` in the order of the files.
        antonyms: `{adverb: adverb}`, both ways.
    """

    folder: Path
    name: str
    composition: str
    rows: Mapping[str, tuple[Row, ...]]
    antonyms: Mapping[str, str]

    def all_rows(self) -> Iterator[Row]:
        """Train, then test, by which words are ordered; then the unlabelled ones."""
        for table in ("train", "test", "unlabelled"):
            yield from self.rows.get(table, ())


def find_adverbs(root: str | Path, name: str, composition: str) -> Path:
    """The folder of a split: below `root`, or `root` itself.

    Raises:
        ValueError: No such benchmark or composition, or no folder with its training table.
    """
    if name not in SETS:
        raise BadDataset(
            f"Benchmark {name!r} is not known; expected one of {', '.join(SETS)}.{did_you_mean(name, SETS)}"
        )
    if composition not in COMPOSITIONS:
        raise BadDataset(f"Split {composition!r} is not known; expected one of {', '.join(COMPOSITIONS)}.")
    root, own = Path(root), SETS[name]
    places = [root / f"{composition}_compositions" / own, root / composition / own, root / own, root]
    places += [root / "air"] if name == "air" else []
    for folder in places:
        if _file(folder, "train") is not None:
            return folder
    raise MissingFile(
        f"{root} has no table train.csv of {own} ({composition} compositions); pass the folder that holds "
        f"{composition}_compositions/{own}/train.csv."
    )


def read_adverbs(root: str | Path, name: str, composition: str = "seen") -> AdverbTables:
    """Read the tables of a split.

    Args:
        root: Folder of the tables (`find_adverbs`).
        name: One of `SETS`.
        composition: "seen" or "unseen".

    Raises:
        ValueError: A table is not there, lacks a column, or a cell is empty; the message names file and line.
    """
    folder = find_adverbs(root, name, composition)
    files = {table: _file(folder, table) for table in COMPOSITIONS[composition]}
    lacking = [table for table, file in files.items() if file is None]
    if lacking:
        raise MissingFile(f"{folder} has no table {lacking[0]}.csv; expected {', '.join(files)} and antonyms.")
    rows = {table: tuple(_rows(file)) for table, file in files.items() if file is not None}
    return AdverbTables(folder, name, composition, rows, read_antonyms(folder / "antonyms.csv"))


def _file(folder: Path, table: str) -> Path | None:
    return next((path for stem in (table, f"{table}_df") if (path := folder / f"{stem}.csv").is_file()), None)


def _rows(path: Path) -> Iterator[Row]:
    table = read_table(path)
    found = [next((c for name in names if (c := table.column(name))), None) for names in (_IDS, _ACTIONS, _ADVERBS)]
    if None in found:
        what = ("clip_id", "action", "adverb")[found.index(None)]
        raise BadDataset(f"{path} has no column {what}; its columns: {', '.join(table.columns)}.")
    id, action, adverb = (str(column) for column in found)
    video = next((c for name in _VIDEOS if (c := table.column(name))), "")
    for row in table.rows:
        words = [tidy(filled_cell(row, column)) for column in (action, adverb)]
        yield Row(filled_cell(row, id), words[0], words[1], row.get(video) or None)
