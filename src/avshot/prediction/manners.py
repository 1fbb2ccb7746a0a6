"""How something is done: adverbs ranked for one action, each beside its opposite, by a Run whose classes are pairs.

Without a given action the Run's own is assumed: that whose pairs have most of the probability. A word that the Run has
not learnt is embedded as its own words are; whether a method can score it is for the method to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avshot.classes.names import join_key, tidy_all
from avshot.errors import BadClassName, BadSetting
from avshot.types import Classes, Factor

Pair = tuple[str, str]  # action and adverb
PARTS = ("action", "adverb")


@dataclass(frozen=True)
class Manner:
    """One adverb of a ranking.

    Attributes:
        adverb: The word.
        probability: Among the adverbs that were asked for.
        opposite: Its antonym among them; None where it has none there.
        against: Its probability if only the two of them are possible; None without an opposite.
    """

    adverb: str
    probability: float
    opposite: str | None
    against: float | None


def asked_names(
    known: Classes, names: Sequence[str] | None, action: str | None, adverbs: Sequence[str] | None
) -> tuple[Sequence[str] | None, tuple[Pair, ...] | None]:
    """Names of candidates, and the pairs that they are where an action or adverbs were given in place of names.

    Raises:
        ValueError: Both were given, or `asked_pairs` cannot use them.
    """
    if action is None and adverbs is None:
        return names, None
    if names is not None:
        raise BadSetting("Give class names, or an action and adverbs, and not both.")
    pairs = asked_pairs(known, action, adverbs)
    return [f"{action} {adverb}" for action, adverb in pairs], pairs


def asked_pairs(known: Classes, action: str | None, adverbs: Sequence[str] | None) -> tuple[Pair, ...]:
    """The pairs that an action and adverbs make; what is None is every one that the Run knows.

    Words that the Run knows take its spelling.

    Raises:
        ValueError: The Run's classes are no pairs, or a word is empty or there twice.
    """
    if not set(PARTS) <= set(known.factors):
        raise BadSetting("This Run knows classes, not actions in a manner; leave action and adverbs away.")
    given = {"action": None if action is None else [action], "adverb": adverbs}
    words: dict[str, tuple[str, ...]] = {}
    for part, typed in given.items():
        own = known.factors[part].names
        words[part] = own if typed is None else tuple(spelt_as(word, own) for word in tidy_all(typed))
        if not words[part]:
            raise BadClassName(f"Got no {part}s; name some, or leave them away for those of the Run.")
    return tuple((action, adverb) for action in words["action"] for adverb in words["adverb"])


def spelt_as(word: str, known: Sequence[str]) -> str:
    """The known word that is meant, however it is spelt; the word itself where none is."""
    return next((own for own in known if join_key(own) == join_key(word)), word)


def parted(name: str, factors: Mapping[str, Factor]) -> Pair:
    """Action and adverb of a name in free text: the adverb is one that is known, or the last word.

    Raises:
        ValueError: A single word.
    """
    words = name.split()
    if len(words) < 2:
        raise BadClassName(f"{name!r} is one word; this Run ranks actions in a manner, such as 'cut slowly'.")
    own = {part: {join_key(word): word for word in factors[part].names} for part in PARTS}
    for at in range(1, len(words)):
        action, adverb = " ".join(words[:at]), " ".join(words[at:])
        if join_key(action) in own["action"] and join_key(adverb) in own["adverb"]:
            return own["action"][join_key(action)], own["adverb"][join_key(adverb)]
    ends = (at for at in range(1, len(words)) if join_key(" ".join(words[at:])) in own["adverb"])
    at = next(ends, len(words) - 1)
    return spelt_as(" ".join(words[:at]), factors["action"].names), spelt_as(
        " ".join(words[at:]), factors["adverb"].names
    )


def with_pairs(
    classes: Classes,
    pairs: Sequence[Pair],
    known: Mapping[str, Factor],
    embed: Callable[[Sequence[str]], Mapping[str, Tensor]],
) -> Classes:
    """The classes with their factors, new words behind those that are known; a new adverb has no known opposite.

    Args:
        classes: Class j is `pairs[j]`.
        pairs: Action and adverb of each class.
        known: The Run's factors.
        embed: Embeddings `{encoder: [word, dim]}` of new words.
    """
    factors = {}
    for place, part in enumerate(PARTS):
        own = known[part]
        new = tuple(dict.fromkeys(pair[place] for pair in pairs if pair[place] not in own.names))
        names, text, opposite = own.names + new, own.text, own.opposite
        if new:
            vectors = embed(new)
            text = {encoder: torch.cat([values, vectors[encoder]]) for encoder, values in own.text.items()}
        if opposite is not None:
            opposite = torch.cat([opposite, opposite.new_full((len(new),), -1)])
        row = {name: i for i, name in enumerate(names)}
        factors[part] = Factor(torch.tensor([row[pair[place]] for pair in pairs]), names, text, opposite)
    return replace(classes, factors=factors)


def actions_of(classes: Classes) -> tuple[str, ...]:
    """The actions that the classes have; empty where they are no pairs."""
    if not set(PARTS) <= set(classes.factors):
        return ()
    action = classes.factors["action"]
    return tuple(action.names[i] for i in action.index.unique().tolist())


def assumed_action(probabilities: Tensor, classes: Classes) -> tuple[str, float, list[str]]:
    """The action whose pairs have most of `probabilities [class]`, its share, and the names of its pairs."""
    action = classes.factors["action"]
    shares = probabilities.new_zeros(len(action)).index_add(0, action.index, probabilities)
    best = int(shares.argmax())
    own = [name for name, of in zip(classes.names, action.index.tolist(), strict=True) if of == best]
    return action.names[best], float(shares[best]), own


def manners(probabilities: Tensor, classes: Classes) -> tuple[Manner, ...]:
    """The adverbs of the pairs of one action, most probable first.

    Args:
        probabilities: `[class]`.
        classes: Pairs of one action.
    """
    adverb = classes.factors["adverb"]
    of_adverb = {of: float(p) for of, p in zip(adverb.index.tolist(), probabilities.tolist(), strict=True)}
    opposite = [-1] * len(adverb) if adverb.opposite is None else adverb.opposite.tolist()
    found = []
    for of in sorted(of_adverb, key=lambda of: -of_adverb[of]):
        own, other = of_adverb[of], of_adverb.get(opposite[of])
        against = None if other is None else (own / (own + other) if own + other > 0 else 0.5)
        found.append(Manner(adverb.names[of], own, None if other is None else adverb.names[opposite[of]], against))
    return tuple(found)
