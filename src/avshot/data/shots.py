"""How many clips of each novel class train in a task with few shots (`Dataset.shots`), as somebody stated it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.types import Clip


def check_shots(shots: Any, where: str = "shots") -> int | None:
    """A number of shots as it is. Raises ValueError, saying where it stands, for what is neither None nor 1, 2, ..."""
    if shots is None or (isinstance(shots, int) and not isinstance(shots, bool) and shots >= 1):
        return shots
    raise BadDataset(f"{where} is {shots!r}; expected how many clips of each novel class train: 1, 5, 10, 20, ...")


def check_few(clips: Iterable[Clip], fold_of: Mapping[str, str], shots: int | None) -> None:
    """Check that every label that is unseen has clips left to judge by when `shots` of them train.

    Args:
        clips: Clips of a dataset that is being declared.
        fold_of: `{clip id: fold}`.
        shots: As stated; None, and nothing is checked.

    Raises:
        ValueError: No label is unseen in testing, or labels have no more clips than `shots`; the message names them.
    """
    if (count := check_shots(shots)) is None:
        return
    found = Counter((fold_of.get(clip.id, ""), str(clip.label)) for clip in clips)
    if not any(fold == "test_unseen" for fold, _ in found):
        raise BadDataset(
            f"shots is {shots}, but no label is unseen in testing; name some (unseen_test, --unseen-test)."
        )
    unseen = [(label, n) for (fold, label), n in sorted(found.items()) if fold in ("val_unseen", "test_unseen")]
    bare = [f"{label} ({n})" for label, n in unseen if n <= count]
    if bare:
        raise BadDataset(
            f"shots is {shots}, but {len(bare)} unseen labels have no more clips than that: {first_few(bare)}; some "
            "must be left to judge by. Ask for fewer shots, or name other labels unseen."
        )
