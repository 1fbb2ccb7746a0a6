"""The audit of a released split of adverbs: what `avshot.data.pair_audit` counts, beside what is printed of it.

Printed: Mercea, thesis, Tübingen 2024, Tables 6.1 and E.1 (unseen compositions) and section 6.4 (seen ones, of the
annotations before videos were lost).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from avshot.data.findings import Finding, rendered
from avshot.data.official.adverb_tables import AdverbTables, read_adverbs
from avshot.data.pair_audit import PairRow, PairSplit, audit_pairs

# Pairs of train, unlabelled, test as Tables 6.1 and E.1 print them.
PRINTED_PAIRS = {
    "vatex-adverbs": (319, 168, 316),
    "activitynet-adverbs": (635, 537, 543),
    "msrvtt-adverbs": (225, 114, 225),
}
# Clips, adverbs, actions of the annotations.
PRINTED_SIZES = {
    "howto100m-adverbs": (5824, 6, 72),
    "air": (7003, 10, 48),
    "activitynet-adverbs": (3099, 20, 114),
    "msrvtt-adverbs": (1824, 18, 106),
    "vatex-adverbs": (14617, 34, 135),
}
_PARTS = ("train", "unlabelled", "test")


def audit_adverbs(root: str | Path, name: str, split: str = "seen") -> tuple[Finding, ...]:
    """Look through the tables of a released split.

    Args:
        root: Folder of the tables.
        name: Benchmark (`avshot.data.official.adverb_tables.SETS`).
        split: "seen" or "unseen" compositions.

    Raises:
        ValueError: A table is not there or not of the released form.
    """
    tables = read_adverbs(root, name, split)
    return (*audit_pairs(rows_of(tables)), *_against_print(tables))


def adverbs_rendered(root: str | Path, name: str, split: str = "seen") -> str:
    """The audit as text. Raises ValueError as `audit_adverbs`."""
    return rendered(f"{name}, {split} compositions", audit_adverbs(root, name, split))


def rows_of(tables: AdverbTables) -> PairSplit:
    """The rows of the tables as `avshot.data.pair_audit` looks at them."""
    rows = {part: [PairRow(row.clip, *row.pair) for row in tables.rows[part]] for part in _PARTS if part in tables.rows}
    return PairSplit(rows, tables.antonyms, tables.composition == "unseen")


def _against_print(tables: AdverbTables) -> Iterator[Finding]:
    rows = {part: tables.rows[part] for part in _PARTS if part in tables.rows}
    if tables.composition == "unseen" and tables.name in PRINTED_PAIRS:
        counted = tuple(len({row.pair for row in found}) for found in rows.values())
        printed = PRINTED_PAIRS[tables.name]
        wrong = sum(a != b for a, b in zip(counted, printed, strict=True))
        told = f"printed {' / '.join(map(str, printed))}, counted {' / '.join(map(str, counted))}"
        swapped = [name for name, other in PRINTED_PAIRS.items() if other == counted and wrong]
        told += f": what is printed of {swapped[0]}" if swapped else ""
        yield Finding(
            "printed", "pairs that differ from Tables 6.1 and E.1", wrong, len(printed), told if wrong else ""
        )
    elif tables.composition == "seen":
        clips, adverbs, actions = PRINTED_SIZES[tables.name]
        every = list(tables.all_rows())
        words = (
            f"{len({row.action for row in every})} of {actions} actions, {len({r.adverb for r in every})} of {adverbs}"
        )
        yield Finding("printed", "rows of the clips of section 6.4", len(every), clips, f"{words} adverbs")
