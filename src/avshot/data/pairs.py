"""`Pairs`: classes that are an action and an adverb, "cut slowly", with the antonyms of the adverbs.

A dataset of pairs has all of them as classes, each action with each adverb, whether or not it has clips: what a method
composes of two words it can compose for a pair that nobody has filmed. Their order is that of the released program
(ReGaDa d9d0bfb): adverb by adverb, and both vocabularies by frequency, which decides between an adverb and its antonym
where their scores are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from avshot.classes.names import join_key, refuse_alike
from avshot.errors import BadDataset
from avshot.types import Clip

FACTORS = ("action", "adverb")


@dataclass(frozen=True)
class Pairs:
    """Which action and adverb each class of a dataset is.

    Attributes:
        actions: `{class name: action}`, every class of the dataset.
        adverbs: `{class name: adverb}`, the same classes in the same order.
        antonyms: `{adverb: adverb}`, both ways; an adverb that is not in it has none.
        text: Word vectors that came with the dataset: `{encoder: {"action" or "adverb": [value, dim]}}`, in the order
            of `words`.
    """

    actions: Mapping[str, str]
    adverbs: Mapping[str, str]
    antonyms: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if list(self.actions) != list(self.adverbs):
            raise BadDataset("Classes that are pairs need an action and an adverb each, in one order.")
        known = set(self.adverbs.values())
        for adverb, other in self.antonyms.items():
            if self.antonyms.get(other) != adverb or adverb == other:
                raise BadDataset(f"{adverb!r} has the antonym {other!r}, which has another one; expected both ways.")
            if adverb not in known:
                raise BadDataset(f"{adverb!r} has an antonym and is in no class; leave both out.")
        for encoder, parts in self.text.items():
            for factor, words in self.words.items():
                if factor not in parts or len(parts[factor]) != len(words):
                    raise BadDataset(f"Word vectors {encoder!r} are not those of the {len(words)} {factor}s.")

    @cached_property
    def words(self) -> dict[str, tuple[str, ...]]:
        """`{"action": actions, "adverb": adverbs}`, each in the order in which the classes have them."""
        parts = zip(FACTORS, (self.actions, self.adverbs), strict=True)
        return {factor: tuple(dict.fromkeys(of.values())) for factor, of in parts}

    @property
    def of_class(self) -> dict[str, dict[str, str]]:
        """`{"action": {class: action}, "adverb": {class: adverb}}`."""
        return {"action": dict(self.actions), "adverb": dict(self.adverbs)}

    @property
    def opposites(self) -> tuple[int, ...]:
        """Where the antonym of each adverb stands among the adverbs; -1 where it has none."""
        adverbs = self.words["adverb"]
        place = {adverb: i for i, adverb in enumerate(adverbs)}
        return tuple(place[self.antonyms[a]] if a in self.antonyms else -1 for a in adverbs)

    def of_action(self, action: str) -> tuple[str, ...]:
        """The classes of an action, in order."""
        return tuple(name for name, own in self.actions.items() if own == action)


def pair_name(action: str, adverb: str) -> str:
    """The name of a class: `cut slowly`."""
    return f"{action} {adverb}"


def all_pairs(actions: Sequence[str], adverbs: Sequence[str], antonyms: Mapping[str, str] | None = None) -> Pairs:
    """Every action with every adverb, adverb by adverb.

    Args:
        actions: In the order that they are to have.
        adverbs: Likewise; antonyms that are not among them follow behind.
        antonyms: `{adverb: adverb}`, one way or both ways.

    Raises:
        ValueError: A word is there twice or in two spellings, an adverb has two antonyms, or two pairs read alike
            ("run up" "fast" and "run" "up fast").
    """
    refuse_alike(actions, "Actions: ")
    both = both_ways(antonyms or {})
    there = set(adverbs)
    every = [*adverbs, *(a for a in both if a not in there and both[a] in there)]
    refuse_alike(every, "Adverbs: ")
    both = {a: b for a, b in both.items() if a in set(every)}
    pairs = [(pair_name(action, adverb), action, adverb) for adverb in every for action in actions]
    names: set[str] = set()
    for name, action, adverb in pairs:
        if join_key(name) in names:
            raise BadDataset(f"Two pairs read {name!r}, one of them {action!r} with {adverb!r}; name one otherwise.")
        names.add(join_key(name))
    return Pairs({n: a for n, a, _ in pairs}, {n: v for n, _, v in pairs}, both)


def both_ways(antonyms: Mapping[str, str]) -> dict[str, str]:
    """Antonyms in both directions. Raises ValueError where an adverb has two, or is its own."""
    found: dict[str, str] = {}
    for adverb, other in antonyms.items():
        for one, two in ((adverb, other), (other, adverb)):
            if one == two or found.setdefault(one, two) != two:
                raise BadDataset(f"{one!r} has the antonyms {found.get(one, one)!r} and {two!r}; expected one other.")
    return found


def by_frequency(words: Iterable[str]) -> tuple[str, ...]:
    """Each word once, the most frequent first; of equally frequent ones the one that comes first."""
    return tuple(word for word, _ in Counter(words).most_common())


def numbered(clips: Sequence[Clip]) -> list[Clip]:
    """Clips whose ids may repeat, a row for each pair: later ones get `#2`, ..., and share its features."""
    count: dict[str, int] = {}
    found = []
    for clip in clips:
        count[clip.id] = number = count.get(clip.id, 0) + 1
        found.append(clip if number == 1 else replace(clip, id=f"{clip.id}#{number}", stored_as=clip.id))
    return found
