"""Tables of antonyms: a line for each adverb that has one, columns `adverb` and `antonym` (as ReGaDa releases them)."""

from __future__ import annotations

from pathlib import Path

from avshot.classes.names import tidy
from avshot.data.label_table import filled_cell, lacking_column
from avshot.data.pairs import both_ways
from avshot.errors import BadDataset
from avshot.files.text import read_table


def read_antonyms(path: str | Path) -> dict[str, str]:
    """`{adverb: antonym}`, both ways.

    Raises:
        ValueError: Not such a table, an empty cell, or an adverb with two antonyms.
        OSError: There is no such file.
    """
    table = read_table(Path(path))
    columns = [table.column(name) for name in ("adverb", "antonym")]
    if None in columns:
        raise BadDataset(lacking_column(table, "adverb or antonym"))
    found: dict[str, str] = {}
    for row in table.rows:
        adverb, antonym = (tidy(filled_cell(row, str(column))) for column in columns)
        if found.setdefault(adverb, antonym) != antonym:
            raise BadDataset(f"{row.place} gives {adverb!r} a second antonym, {antonym!r}; keep one.")
    return both_ways(found)
