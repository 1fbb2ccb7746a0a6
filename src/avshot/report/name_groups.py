"""Groups of classes whose names share a word: more classes than colours are told apart by these."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from avshot.report.look import PALETTE

OTHER = "other"
_MOST = len(PALETTE) - 1  # groups with a colour of their own; the last one is for the others
_COVERED = 2 / 3  # of the classes must share a word, or the groups say nothing


def name_groups(names: Sequence[str]) -> dict[str, str] | None:
    """`{name: shared word}`, "other" for the rest: by the last word of the names, which is the thing, or by the first.

    Returns:
        None where neither gives two to seven groups of at least two classes that hold two thirds of them. Of both the
        one that leaves fewer over, on a tie the last word.
    """
    found = [groups for place in (-1, 0) if (groups := _by_word(names, place)) is not None]
    return min(found, key=lambda groups: sum(word == OTHER for word in groups.values()), default=None)


def _by_word(names: Sequence[str], place: int) -> dict[str, str] | None:
    words = {name: (re.findall(r"\w+", name.casefold()) or [""])[place] for name in names}
    common = Counter(word for word in words.values() if word)
    shared = [word for word, count in common.most_common() if count > 1]
    kept = set(shared[:_MOST])
    groups = {name: word if word in kept else OTHER for name, word in words.items()}
    covered = sum(word != OTHER for word in groups.values())
    return groups if len(kept) > 1 and covered >= _COVERED * len(names) else None
