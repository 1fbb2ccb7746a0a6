"""Cut labelled clips into the five folds by a stated rule; the same clips and seed always give the same folds.

Order comes from a hash of seed and name, not from a random sequence: it does not depend on the order of files, and
adding a clip moves few others.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avshot.classes.names import join_key, tidy_all
from avshot.data.sources import first_few
from avshot.errors import BadDataset
from avshot.types import Clip

FEW_CLASSES = 5  # below this, no class is held out to choose the calibration
FEW_CLIPS = 5  # below this, no clip of a class is held out to choose the number of epochs
SEEN_FOLDS = ("train", "val_seen", "test_seen")


@dataclass(frozen=True)
class SplitRule:
    """How clips become folds. An amount is a count (int) or a fraction (float) of a label's clips.

    Attributes:
        train: Clips of each seen label for `train`; None takes what the other two leave.
        val: Clips of each seen label for `val_seen`.
        test: Clips of each seen label for `test_seen`.
        unseen_val: Labels unseen in validation: their names, or how many to draw (int, or float: of all labels).
        unseen_test: Labels unseen in testing, likewise.
        unseen_cap: At most this many clips of each unseen label; None takes all.
        group_disjoint: Keep clips of one `Clip.group` in one fold; amounts are then met as nearly as the groups allow.
        seed: Chooses clips and, where they are drawn, labels.
    """

    train: int | float | None = None
    val: int | float = 0.15
    test: int | float = 0.15
    unseen_val: tuple[str, ...] | int | float = 0.2
    unseen_test: tuple[str, ...] | int | float = 0.2
    unseen_cap: int | None = None
    group_disjoint: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        amounts = {"train": self.train, "val": self.val, "test": self.test}
        for name, unseen in {"unseen_val": self.unseen_val, "unseen_test": self.unseen_test}.items():
            if isinstance(unseen, list | tuple):
                object.__setattr__(self, name, tidy_all(unseen))
            elif not _is_amount(unseen):
                raise BadDataset(
                    f"{name} is {unseen!r}; expected a list of labels, or how many: a count (int) or a fraction "
                    "between 0.0 and 1.0 (float)."
                )
        for name, amount in amounts.items():
            if amount is not None and not _is_amount(amount):
                raise BadDataset(
                    f"{name} is {amount}; expected a count (int) or a fraction between 0.0 and 1.0 (float)."
                )
        fractions = sum(amount for amount in amounts.values() if isinstance(amount, float))
        if fractions > 1 + 1e-9:
            raise BadDataset(f"The fractions for train, val and test add up to {fractions:g}; expected at most 1.")
        if self.unseen_cap is not None and self.unseen_cap < 1:
            raise BadDataset(f"unseen_cap is {self.unseen_cap}; expected at least 1, or None for no cap.")


@dataclass(frozen=True)
class Split:
    """What `split_clips` gives.

    Attributes:
        fold_of: `{clip id: fold}`; a clip that the rule uses nowhere is absent.
        unseen_val: Labels of `val_unseen`.
        unseen_test: Labels of `test_unseen`.
        warnings: What the rule could not do as asked.
    """

    fold_of: Mapping[str, str]
    unseen_val: tuple[str, ...]
    unseen_test: tuple[str, ...]
    warnings: tuple[str, ...]


def split_clips(clips: Sequence[Clip], rule: SplitRule) -> Split:
    """Assign each labelled clip to one of the five folds.

    Raises:
        ValueError: An unseen label does not exist or is named twice, fewer than two seen labels are left, or a label
            has fewer clips than the counts ask for.
    """
    of_label: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.id):
        if clip.label is not None:
            of_label[clip.label].append(clip)
    unseen_test, unseen_val = _unseen_labels(sorted(of_label), rule)
    fold_of: dict[str, str] = {}
    for fold, labels in (("val_unseen", unseen_val), ("test_unseen", unseen_test)):
        for label in labels:
            members = _shuffled(of_label[label], rule.seed)
            fold_of.update((clip.id, fold) for clip in members[: rule.unseen_cap])
    unseen = {*unseen_val, *unseen_test}
    seen = {label: members for label, members in of_label.items() if label not in unseen}
    quotas = {label: _quota(label, len(members), rule) for label, members in seen.items()}
    if rule.group_disjoint:
        forced = _forced_folds(clips, fold_of)
        fold_of.update(_by_group(seen, quotas, forced, rule.seed))
    else:
        for label, members in seen.items():
            fold_of.update(_by_clip(_shuffled(members, rule.seed), quotas[label]))
    return Split(fold_of, unseen_val, unseen_test, tuple(_complaints(seen, fold_of, quotas, len(clips))))


def hold_out(clips: Sequence[Clip], seed: int) -> dict[str, list[int]]:
    """Keep a fifth of the classes, and of the clips of each other class, from training: to choose by, not to test.

    Args:
        clips: Labelled clips; those of fewer than `FEW_CLASSES` classes lose no class, a class of fewer than
            `FEW_CLIPS` clips loses none of them.
        seed: Decides which.

    Returns:
        `{fold: [clip] positions, increasing}` for `train`, `val_seen` and `val_unseen`.
    """
    rng = np.random.default_rng(seed)
    labels = sorted({clip.label for clip in clips if clip.label is not None})
    held = rng.permutation(len(labels))[: len(labels) // 5 if len(labels) >= FEW_CLASSES else 0]
    unseen = {labels[i] for i in held}
    folds: dict[str, list[int]] = {"train": [], "val_seen": [], "val_unseen": []}
    for name in labels:
        rows = [i for i, clip in enumerate(clips) if clip.label == name]
        if name in unseen:
            folds["val_unseen"] += rows
            continue
        rows = [rows[i] for i in rng.permutation(len(rows))]
        count = max(1, len(rows) // 5) if len(rows) >= FEW_CLIPS else 0
        folds["val_seen"] += rows[:count]
        folds["train"] += rows[count:]
    return {fold: sorted(rows) for fold, rows in folds.items()}


def _is_amount(amount: object) -> bool:
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return False
    return 0 <= amount <= 1 if isinstance(amount, float) else amount >= 0


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()


def _shuffled(clips: Iterable[Clip], seed: int) -> list[Clip]:
    return sorted(clips, key=lambda clip: _rank(seed, clip.id))


def _unseen_labels(labels: Sequence[str], rule: SplitRule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels unseen in test and in validation; named ones are kept out of the draw for the other."""
    named = {*_named(rule.unseen_test, labels), *_named(rule.unseen_val, labels)}
    pool = sorted(
        (label for label in labels if label not in named), key=lambda label: _rank(rule.seed, f"label {label}")
    )
    chosen = []
    for wanted in (rule.unseen_test, rule.unseen_val):
        if isinstance(wanted, tuple):
            chosen.append(_named(wanted, labels))
            continue
        count = wanted if isinstance(wanted, int) else _rounded(wanted, len(labels))
        chosen.append(tuple(sorted(pool[:count])))
        pool = pool[count:]
    test, val = chosen
    if set(test) & set(val):
        both = first_few(sorted(set(test) & set(val)))
        raise BadDataset(f"Labels unseen both in validation and in testing: {both}; expected each in one of the two.")
    left = len(labels) - len(test) - len(val)
    if left < 2:
        raise BadDataset(
            f"{len(labels)} labels, of which {len(val)} unseen in validation and {len(test)} in testing, leave {left} "
            "to train on; expected at least 2. Ask for fewer unseen labels."
        )
    return test, val


def _named(wanted: tuple[str, ...] | int | float, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that the names mean, however they are spelt."""
    if not isinstance(wanted, tuple):
        return ()
    spelt = {join_key(label): label for label in labels}
    unknown = sorted(name for name in wanted if join_key(name) not in spelt)
    if unknown:
        raise BadDataset(f"Unseen labels that no clip has: {first_few(unknown)}; labels: {first_few(labels, 30)}.")
    return tuple(spelt[join_key(name)] for name in wanted)


def _rounded(fraction: float, total: int) -> int:
    return 0 if fraction <= 0 else max(1, round(fraction * total))


def _quota(label: str, count: int, rule: SplitRule) -> dict[str, int]:
    """How many of `count` clips go to each seen fold. Train keeps at least one, then test, then validation."""
    val, test = (a if isinstance(a, int) else _rounded(a, count) for a in (rule.val, rule.test))
    if rule.train is None or isinstance(rule.train, float):
        # Fractions of few clips: validation gives way first, then testing.
        test = test if isinstance(rule.test, int) else min(test, count - 1)
        val = val if isinstance(rule.val, int) else max(0, min(val, count - 1 - test))
    rest = count - val - test
    train = rest if rule.train is None else rule.train if isinstance(rule.train, int) else _rounded(rule.train, count)
    train = min(train, rest) if isinstance(rule.train, float) else train
    if train + val + test > count or train < 1:
        raise BadDataset(
            f"Label {label!r} has {count} clips, too few for {rule.train if rule.train is not None else 'some'} for "
            f"training, {val} for validation and {test} for testing; ask for fewer, or name it unseen."
        )
    return {"train": train, "val_seen": val, "test_seen": test}


def _by_clip(members: Sequence[Clip], quota: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    start = 0
    for fold in SEEN_FOLDS:
        found.update((clip.id, fold) for clip in members[start : start + quota[fold]])
        start += quota[fold]
    return found


def _forced_folds(clips: Sequence[Clip], fold_of: Mapping[str, str]) -> dict[str, str]:
    """Groups that already sit in an unseen fold: their clips of seen labels stay on that side (test before val)."""
    forced: dict[str, str] = {}
    for fold, side in (("val_unseen", "val_seen"), ("test_unseen", "test_seen")):
        forced.update((clip.group, side) for clip in clips if clip.group is not None and fold_of.get(clip.id) == fold)
    return forced


def _by_group(
    seen: Mapping[str, Sequence[Clip]], quotas: Mapping[str, Mapping[str, int]], forced: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Biggest groups first, each to the fold that lacks the largest share of its quota for the group's labels."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for members in seen.values():
        for clip in members:
            groups[f"group {clip.group}" if clip.group is not None else f"clip {clip.id}"].append(clip)
    lacking = {(label, fold): float(n) for label, quota in quotas.items() for fold, n in quota.items()}
    found: dict[str, str] = {}
    for _, members in sorted(groups.items(), key=lambda item: (-len(item[1]), _rank(seed, item[0]))):
        labels = Counter(str(clip.label) for clip in members)

        def share(fold: str, labels: Mapping[str, int] = labels) -> float:
            return sum(n * lacking[label, fold] / max(quotas[label][fold], 1) for label, n in labels.items())

        fold = forced.get(members[0].group or "") or max(SEEN_FOLDS, key=share)
        found.update((clip.id, fold) for clip in members)
        for label, n in labels.items():
            lacking[label, fold] -= n
    return found


def _complaints(
    seen: Mapping[str, Sequence[Clip]], fold_of: Mapping[str, str], quotas: Mapping[str, Mapping[str, int]], total: int
) -> list[str]:
    found = []
    lonely = [label for label, members in seen.items() if len(members) == 1]
    if lonely:
        found.append(f"{len(lonely)} seen labels have a single clip, which only trains: {first_few(lonely)}.")
    got = Counter((label, fold_of.get(clip.id, "")) for label, members in seen.items() for clip in members)
    for fold, title in (("train", "training"), ("val_seen", "validation"), ("test_seen", "test")):
        bare = [label for label, quota in quotas.items() if quota[fold] and not got[label, fold]]
        if bare:
            found.append(f"{len(bare)} seen labels have no {title} clips, as groups stay whole: {first_few(bare)}.")
        few = [label for label, members in seen.items() if len(members) > 1 and not quotas[label][fold]]
        if few and len(few) < len(seen):
            found.append(f"{len(few)} seen labels have too few clips for {title}: {first_few(few)}.")
    if len(fold_of) < total:
        found.append(f"{total - len(fold_of)} of {total} clips are in no fold: the rule does not ask for them.")
    return found
