"""Which clips of novel classes are learnt from: k of each class, drawn by a hash, from different sources first."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from avshot.data.dataset import Dataset
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.task import Stage
from avshot.tasks._generalised import clips_of


def draw_shots(dataset: Dataset, clips: Sequence[int], shots: int, seed: int, number: int) -> list[int]:
    """`shots` of the `clips` of each class, in an order that a hash of seed, draw, class and clip gives.

    Clips of sources that are not among the shots yet come first. Raises ValueError where none would be left to test.
    """
    of_class: dict[str, list[int]] = defaultdict(list)
    for i in clips:
        of_class[str(dataset.clips[i].label)].append(i)
    small = [f"{name} ({len(own)})" for name, own in sorted(of_class.items()) if len(own) <= shots]
    if small:
        raise BadDataset(
            f"{shots} shots need at least {shots + 1} clips of each novel class, one to be tested with; too few have "
            f"{first_few(small)}. {_cure(dataset)}"
        )
    found = []
    for name, own in sorted(of_class.items()):
        order = sorted(own, key=lambda i: _rank(f"{seed}\0{number}\0{name}\0{dataset.clips[i].id}"))
        found += _of_different_sources(dataset, order)[:shots]
    return found


def _cure(dataset: Dataset) -> str:
    """How many shots the smallest novel class of the dataset allows for, as advice."""
    novel = clips_of(dataset, ("val_unseen",)).tolist(), clips_of(dataset, ("test_unseen",)).tolist()
    most = min(min(Counter(dataset.clips[i].label for i in clips).values()) for clips in novel if clips) - 1
    fewer = f"Ask for fewer (--task gfsl?shots={most}), or leave" if most else "Leave"
    return f"{fewer} these classes out."


def check_own(dataset: Dataset, fold: str, folds: Mapping[str, Sequence[int]]) -> None:
    """Refuse folds of a draw that the dataset brings where they hold nothing, or clips of other classes."""
    novel = set(dataset.classes_of(fold)) if fold in dataset.folds else set()
    for name, clips in folds.items():
        strange = sorted({str(dataset.clips[i].label) for i in clips} - novel)
        if strange or not clips:
            held = f"clips of {first_few(strange)}" if strange else "no clips"
            raise BadDataset(f"Fold {name!r} holds {held}; expected clips of the classes of {fold!r}.")


def _of_different_sources(dataset: Dataset, order: Sequence[int]) -> list[int]:
    """The first clip of each source, then the second of each, and so on."""
    count: dict[str, int] = defaultdict(int)
    turn = {}
    for i in order:
        source = dataset.clips[i].group
        turn[i] = 0 if source is None else count[source]
        count[source or ""] += 1
    return sorted(order, key=lambda i: turn[i])


def _rank(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def related(dataset: Dataset, stages: Sequence[Stage]) -> list[str]:
    """A sentence where clips that are judged were cut from the source of a shot of their class."""
    found = 0
    for stage in stages:
        sources = {(dataset.clips[i].label, dataset.clips[i].group) for i in stage.pools["novel"].tolist()}
        judged = [dataset.clips[i] for i in stage.judge.tolist()]
        found += sum(1 for clip in judged if clip.group is not None and (clip.label, clip.group) in sources)
    if not found:
        return []
    return [f"{found} judged clips of novel classes (all draws together) come from the source of a shot."]
