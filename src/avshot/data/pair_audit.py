"""What is odd in a split of pairs: counted from rows of clip, action, adverb and fold, whoever made the split.

The released splits are counted with it (`avshot audit`), and so are those of `avshot dataset --pairs`. Nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from avshot.data.dataset import Dataset
from avshot.data.findings import Finding
from avshot.data.sources import first_few
from avshot.errors import BadDataset

_TRAIN = ("train", "val_seen", "val_unseen")


@dataclass(frozen=True)
class PairRow:
    """One row: which video, and what it shows.

    Attributes:
        video: Id of the clip, the same in all its rows.
        action: What is done.
        adverb: How.
    """

    video: str
    action: str
    adverb: str

    @property
    def pair(self) -> tuple[str, str]:
        """Action and adverb."""
        return self.action, self.adverb


@dataclass(frozen=True)
class PairSplit:
    """A split to look at.

    Attributes:
        rows: `{"train", "test", "unlabelled": rows}`.
        antonyms: `{adverb: adverb}`, both ways.
        unseen: Test pairs are meant to be without training clip, and antonym partners on one side.
    """

    rows: Mapping[str, Sequence[PairRow]]
    antonyms: Mapping[str, str]
    unseen: bool


def split_of(dataset: Dataset) -> PairSplit:
    """The split of a dataset of pairs; of its tests the unseen compositions where it has some, else the seen ones.

    Raises:
        ValueError: Its classes are no pairs.
    """
    pairs = dataset.pairs
    if pairs is None:
        raise BadDataset(f"The classes of dataset {dataset.name!r} are no pairs of an action and an adverb.")
    unseen = len(dataset.folds.get("test_unseen", ())) > 0
    folds = {"train": _TRAIN, "unlabelled": ("unlabelled",), "test": ("test_unseen" if unseen else "test_seen",)}
    rows = {}
    for part, names in folds.items():
        clips = [dataset.clips[i] for name in names for i in dataset.folds.get(name, ())]
        rows[part] = [PairRow(c.key, pairs.actions[str(c.label)], pairs.adverbs[str(c.label)]) for c in clips]
    return PairSplit({part: found for part, found in rows.items() if found}, pairs.antonyms, unseen)


def audit_pairs(split: PairSplit) -> tuple[Finding, ...]:
    """All counts, in the sections "sizes", "pairs", "words" and "clips"."""
    return (*_sizes(split), *_pairs(split), *_words(split), *_clips(split))


def broken(split: PairSplit) -> list[str]:
    """What the rule of unseen compositions forbids and a split has, a sentence each; empty where it keeps the rule.

    It forbids pairs that are tested and train, with their antonym or without, words that are tested and never train,
    and clips on both sides. Words of too few pairs to be tested are no breach, and neither are unlabelled clips.
    """
    if not split.unseen:
        return []
    found = {finding.item: finding for finding in audit_pairs(split)}
    said = {
        "pairs in train and test": "pairs of the test train",
        "test pairs whose antonym partner trains": "pairs of the test train with the antonym of their adverb",
        "actions only in test": "actions of the test never train",
        "adverbs only in test": "adverbs of the test never train",
        "clips in train and test": "clips of the test train",
    }
    return [
        f"{found[item].found} {sentence}: {found[item].note}."
        for item, sentence in said.items()
        if item in found and found[item].found
    ]


def _sizes(split: PairSplit) -> Iterator[Finding]:
    for part, rows in split.rows.items():
        videos = {row.video for row in rows}
        words = f"{len({r.action for r in rows})} actions, {len({r.adverb for r in rows})} adverbs"
        pairs = len({row.pair for row in rows})
        yield Finding("sizes", f"rows of {part}", len(rows), None, f"{len(videos)} clips, {pairs} pairs, {words}")


def _pairs(split: PairSplit) -> Iterator[Finding]:
    of = {part: {row.pair for row in rows} for part, rows in split.rows.items()}
    train, test = of.get("train", set()), of.get("test", set())
    both = sorted(train & test)
    yield Finding("pairs", "pairs in train and test", len(both), len(test), _named(both) if split.unseen else "")
    partners = sorted((a, v) for a, v in test if (a, split.antonyms.get(v, "")) in train)
    if split.unseen:
        yield Finding("pairs", "test pairs whose antonym partner trains", len(partners), len(test), _named(partners))
    if "unlabelled" in of:
        inside = of["unlabelled"] & test
        yield Finding("pairs", "unlabelled pairs that are tested", len(inside), len(of["unlabelled"]))
        yield Finding("pairs", "unlabelled pairs that train", len(of["unlabelled"] & train), len(of["unlabelled"]))


def _words(split: PairSplit) -> Iterator[Finding]:
    train, test = split.rows.get("train", ()), split.rows.get("test", ())
    for word in ("action", "adverb"):
        learnt, tested = ({getattr(row, word) for row in rows} for rows in (train, test))
        for item, found in ((f"{word}s only in test", tested - learnt), (f"{word}s only in train", learnt - tested)):
            total = len(tested if item.endswith("test") else learnt)
            yield Finding("words", item, len(found), total, first_few(sorted(found)))
    lonely = sorted({row.adverb for rows in split.rows.values() for row in rows} - set(split.antonyms))
    yield Finding("words", "adverbs without antonym", len(lonely), None, first_few(lonely))


def _clips(split: PairSplit) -> Iterator[Finding]:
    rows = {part: [(row.video, *row.pair) for row in found] for part, found in split.rows.items()}
    videos = {part: {row.video for row in found} for part, found in split.rows.items()}
    for one, two in (("train", "test"), ("train", "unlabelled"), ("unlabelled", "test")):
        if one in videos and two in videos:
            found = sorted(videos[one] & videos[two])
            yield Finding("clips", f"clips in {one} and {two}", len(found), len(videos[two]), first_few(found))
    train = set(rows.get("train", ()))
    same = train & set(rows.get("test", ()))
    told = first_few(f"{video} ({action} {adverb})" for video, action, adverb in sorted(same))
    yield Finding("clips", "test rows with training rows", len(same), len(set(rows.get("test", ()))), told)
    for part, every in rows.items():
        yield Finding("clips", f"rows of {part} that repeat another", len(every) - len(set(every)), len(every))


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    return first_few(" ".join(pair) for pair in pairs)
