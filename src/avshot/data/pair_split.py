"""Cut clips of pairs into folds: unseen compositions by the rule of the benchmark, or clips of all pairs alike.

The rule (Mercea, thesis, Tübingen 2024, section 6.4.1, after Doughty and Snoek, CVPR 2022): the set of pairs is halved
so that every action and every adverb is on both sides, and an action stays on one side with an adverb and its antonym;
of the second side half of each pair's clips are tested, the others are unlabelled. The released splits depart from it
in places (`avshot audit` counts where); ours keeps it as far as the pairs allow, and says where they do not: a word of
a single pair cannot be on two sides. A clip that would be tested and trains with another adverb is left out.

Order comes from a hash of seed and name, as in `avshot.data.split`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avshot.data.sources import first_few
from avshot.data.split import Split
from avshot.errors import BadDataset
from avshot.types import Clip

Unit = tuple[str, frozenset[str]]  # an action, and an adverb with its antonym: what stays on one side


@dataclass(frozen=True)
class PairRule:
    """How clips of pairs become folds; shares from 0 to 1.

    Attributes:
        unseen: Share of the pairs that no training clip has; 0 for none.
        unlabelled: Share of the clips of each of them that are unlabelled, in place of tested.
        test: Share of the clips of each other pair that are tested (`test_seen`).
        val: Share of these for `val_seen`; without any the task holds out a tenth of its training rows.
        seed: Decides the order.
    """

    unseen: float = 0.5
    unlabelled: float = 0.5
    test: float = 0.0
    val: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("unseen", "unlabelled", "test", "val"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadDataset(f"{name} is {getattr(self, name)}; expected a share from 0 to 1.")
        if self.test + self.val >= 1 or self.unseen >= 1:
            raise BadDataset(
                f"test {self.test:g} + val {self.val:g} and unseen {self.unseen:g} leave nothing to train."
            )
        if not self.unseen and not self.test:
            raise BadDataset("Nothing would be tested: give a share of unseen pairs (unseen), or of clips (test).")

    def stated(self) -> dict[str, Any]:
        """What the file of a declared dataset says of it."""
        return {name: getattr(self, name) for name in ("unseen", "unlabelled", "test", "val", "seed")}


def split_pairs(
    clips: Sequence[Clip], pair_of: Mapping[str, tuple[str, str]], antonyms: Mapping[str, str], rule: PairRule
) -> Split:
    """Assign each clip to `train`, `val_seen`, `test_seen`, `test_unseen` or `unlabelled`.

    Args:
        clips: A row for each clip and pair.
        pair_of: `{label: (action, adverb)}`.
        antonyms: `{adverb: adverb}`, both ways.
        rule: The rule.

    Raises:
        ValueError: There are no pairs to part.
    """
    rows: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.id):
        if clip.label is not None:
            rows[clip.label].append(clip)
    units = units_of({label: pair_of[label] for label in rows}, antonyms)
    held = _held_units(units, pair_of, rule) if rule.unseen else set()
    unseen = {label for unit in held for label in units[unit]}
    fold_of: dict[str, str] = {}
    for label, own in rows.items():
        members = sorted(own, key=lambda clip: _rank(rule.seed, f"{clip.key}\0{label}"))
        if label in unseen:
            shares = {"unlabelled": min(int(rule.unlabelled * len(members) + 1e-9), len(members) - 1)}
            rest = "test_unseen"
        else:
            most = len(members) - 1  # one trains
            tested = min(round(rule.test * len(members)), most)
            shares = {"test_seen": tested, "val_seen": min(round(rule.val * len(members)), most - tested)}
            rest = "train"
        at = 0
        for fold, count in shares.items():
            fold_of.update((clip.id, fold) for clip in members[at : at + count])
            at += count
        fold_of.update((clip.id, rest) for clip in members[at:])
    lost = _both_sides(clips, fold_of)
    for id in lost:
        del fold_of[id]
    said = [*_one_sided(units, held, pair_of, rule), *_left_out(lost)]
    return Split(fold_of, (), tuple(sorted(unseen)), tuple(said))


def units_of(pair_of: Mapping[str, tuple[str, str]], antonyms: Mapping[str, str]) -> dict[Unit, list[str]]:
    """Labels that must be on one side: those of an action with an adverb or its antonym."""
    units: dict[Unit, list[str]] = defaultdict(list)
    for label, (action, adverb) in sorted(pair_of.items()):
        units[action, frozenset((adverb, antonyms.get(adverb, adverb)))].append(label)
    return dict(units)


def _words(unit: Unit, labels: Sequence[str], pair_of: Mapping[str, tuple[str, str]]) -> set[tuple[str, str]]:
    """The words of a unit, each with its kind: an action may be spelt like an adverb."""
    return {("action", unit[0])} | {("adverb", pair_of[label][1]) for label in labels}


def _held_units(units: Mapping[Unit, list[str]], pair_of: Mapping[str, tuple[str, str]], rule: PairRule) -> set[Unit]:
    """The second side: every word that two units have is on both, then as many pairs as are asked for."""
    order = sorted(units, key=lambda unit: _rank(rule.seed, "\0".join((unit[0], *sorted(unit[1])))))
    words = {unit: _words(unit, units[unit], pair_of) for unit in order}
    of_word: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in order:
        for word in words[unit]:
            of_word[word].append(unit)
    rare = sorted(of_word, key=lambda word: (len(of_word[word]), word))
    trained: set[Unit] = set()
    held: set[Unit] = set()
    for word in rare:
        if not trained.intersection(of_word[word]):
            trained.add(next(unit for unit in of_word[word]))
    for word in rare:
        if held.intersection(of_word[word]):
            continue
        free = [unit for unit in of_word[word] if unit not in trained]
        free = free or [unit for unit in of_word[word] if _spared(unit, words, of_word, trained)]
        if free:
            trained.discard(free[0])
            held.add(free[0])
    wanted = rule.unseen * sum(map(len, units.values()))
    count = sum(len(units[unit]) for unit in held)
    for unit in order:
        if unit in trained or unit in held:
            continue
        if count + len(units[unit]) / 2 <= wanted and all(trained.intersection(of_word[word]) for word in words[unit]):
            held.add(unit)
            count += len(units[unit])
    return held


def _spared(
    unit: Unit,
    words: Mapping[Unit, set[tuple[str, str]]],
    of_word: Mapping[tuple[str, str], list[Unit]],
    trained: set[Unit],
) -> bool:
    """Every word of a training unit is in another training unit, too."""
    return unit in trained and all(len(trained.intersection(of_word[word])) > 1 for word in words[unit])


def _both_sides(clips: Sequence[Clip], fold_of: Mapping[str, str]) -> list[str]:
    """Rows to be tested whose video, or source, trains with another adverb."""

    def video(clip: Clip) -> str:
        return clip.key if clip.group is None else f"\0{clip.group}"

    trains = {video(clip) for clip in clips if fold_of.get(clip.id) in ("train", "val_seen")}
    return [clip.id for clip in clips if fold_of.get(clip.id, "").startswith("test") and video(clip) in trains]


def _one_sided(
    units: Mapping[Unit, list[str]], held: set[Unit], pair_of: Mapping[str, tuple[str, str]], rule: PairRule
) -> list[str]:
    """A sentence for the words that are on one side alone, where there are two."""
    if not rule.unseen:
        return []
    sides: list[set[tuple[str, str]]] = [set(), set()]
    for unit, labels in units.items():
        sides[unit in held] |= _words(unit, labels, pair_of)
    said = []
    for kind in ("action", "adverb"):
        only = sorted(word for of, word in sides[0] - sides[1] if of == kind)
        if only:
            said.append(f"{len(only)} {kind}s have no unseen pair, as they have too few pairs: {first_few(only)}.")
    return said


def _left_out(lost: Sequence[str]) -> list[str]:
    if not lost:
        return []
    return [f"{len(lost)} clips to be tested train with another adverb and are left out: {first_few(lost)}."]


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()


def check_pair_options(pairs: bool, rule: object, antonyms: object) -> None:
    """Refuse a rule of pairs, or antonyms, for plain labels, and a rule of plain labels for pairs; None = not given."""
    if (antonyms is not None and not pairs) or (rule is not None and pairs != isinstance(rule, PairRule)):
        raise BadDataset(
            "A rule of pairs and antonyms go with pairs of an action and an adverb (--pairs), and no others."
        )
