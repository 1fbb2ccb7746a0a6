"""How far the probabilities of events can be believed, and from which on enough of them are right, by marks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from avshot.errors import BadSetting
from avshot.events.review import Marked

ENOUGH = 20  # marks from which on a threshold is called well founded
_WILSON = 1.96  # standard deviations of a normal variable that hold 95 %


@dataclass(frozen=True)
class Bin:
    """Events of one name with like probabilities.

    Attributes:
        name: What was found.
        probability: Their mean.
        right: Share of them that were right.
        marks: How many they are.
    """

    name: str
    probability: float
    right: float
    marks: int


@dataclass(frozen=True)
class Advice:
    """From which probability on events of a name are right as often as wanted.

    Attributes:
        name: What was found.
        threshold: The lowest such probability; None where there is none.
        precision: Share of the marked events from it on that were right; of all where there is no such probability.
        low: What that share is at least, with 95 % confidence (Wilson, JASA 1927).
        marks: How many marks it rests on.
        enough: Whether these are at least `ENOUGH`.
    """

    name: str
    threshold: float | None
    precision: float
    low: float
    marks: int
    enough: bool


def reliability(marks: Iterable[Marked], bins: int = 5) -> list[Bin]:
    """How often events were right, by name and probability; each name's events in bins of about equal number.

    Where probabilities are honest, `right` is about `probability` (DeGroot and Fienberg, 1983). Missed events had no
    probability and do not count; neither do names without marks.

    Args:
        marks: What was said.
        bins: For each name at most; a bin has at least one mark.

    Raises:
        ValueError: `bins` is below 1.
    """
    if bins < 1:
        raise BadSetting(f"bins is {bins}; expected at least 1.")
    found = []
    for name, judged in _judged(marks).items():
        count = min(bins, len(judged))
        borders = [round(k * len(judged) / count) for k in range(count + 1)]
        for first, last in pairwise(borders):
            part = judged[first:last]
            mean = math.fsum(probability for probability, _ in part) / len(part)
            found.append(Bin(name, mean, sum(right for _, right in part) / len(part), len(part)))
    return found


def thresholds(marks: Iterable[Marked], precision: float = 0.9) -> list[Advice]:
    """For each name the lowest probability from which on at least this share of its events were right.

    Args:
        marks: What was said.
        precision: The wanted share, above 0, at most 1.

    Raises:
        ValueError: No such share.
    """
    if not 0 < precision <= 1:
        raise BadSetting(f"The wanted precision is {precision}; expected above 0, at most 1.")
    return [_advice(name, judged, precision) for name, judged in _judged(marks).items()]


def _judged(marks: Iterable[Marked]) -> dict[str, list[tuple[float, bool]]]:
    """`{name: [(probability, right)]}`, by probability."""
    found: dict[str, list[tuple[float, bool]]] = {}
    for mark in marks:
        if mark.verdict != "missed":
            found.setdefault(mark.found.name, []).append((mark.found.probability, mark.verdict == "right"))
    return {name: sorted(found[name]) for name in sorted(found)}


def _advice(name: str, judged: Sequence[tuple[float, bool]], precision: float) -> Advice:
    for threshold in sorted({probability for probability, _ in judged}):
        kept = [right for probability, right in judged if probability >= threshold]
        if sum(kept) >= precision * len(kept):
            return Advice(
                name, threshold, sum(kept) / len(kept), wilson(sum(kept), len(kept)), len(kept), len(kept) >= ENOUGH
            )
    right = sum(right for _, right in judged)
    return Advice(name, None, right / len(judged), wilson(right, len(judged)), len(judged), len(judged) >= ENOUGH)


def wilson(right: int, count: int) -> float:
    """What a share is at least, with 95 % confidence: the lower end of Wilson's score interval.

    Args:
        right: How many of them.
        count: At least 1.
    """
    share, square = right / count, _WILSON**2
    middle, spread = share + square / (2 * count), share * (1 - share) / count + square / (4 * count**2)
    return (middle - _WILSON * math.sqrt(spread)) / (1 + square / count)
