"""How well events that were found agree with those that happened: event by event, second by second, and in the gaps.

Definitions: Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences 2016,
sections 3.1 (segments) and 3.2 (events); counts over all names together (micro average).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avshot.events import Event, Events

Span = tuple[float, float]
Agree = Callable[[Event, Event], bool]


@dataclass(frozen=True)
class Score:
    """Right, found and true ones; precision, recall and F1 are 0 where their denominator is."""

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what happened that was found."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / (self.found + self.true) if self.found + self.true else 0.0


def within(collar: float) -> Agree:
    """Both ends are at most `collar` seconds off, and the events overlap."""

    def agree(a: Event, b: Event) -> bool:
        near = abs(a.start - b.start) <= collar and abs(a.end - b.end) <= collar
        return near and min(a.end, b.end) > max(a.start, b.start)

    return agree


def overlapping(share: float) -> Agree:
    """What both have in common is at least `share` of what they cover together."""

    def agree(a: Event, b: Event) -> bool:
        common = min(a.end, b.end) - max(a.start, b.start)
        return common > 0 and common >= share * (max(a.end, b.end) - min(a.start, b.start))

    return agree


def by_event(found: Sequence[Event], true: Sequence[Event], agree: Agree) -> Score:
    """As many pairs of one found and one true event of one name as can be made, each event in one pair at most."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not found or not true:
        return Score(0, len(found), len(true))
    may = np.array([[a.name == b.name and agree(a, b) for b in true] for a in found], dtype=np.int8)
    right = int((maximum_bipartite_matching(csr_array(may)) >= 0).sum())
    return Score(right, len(found), len(true))


def by_second(found: Iterable[Event], true: Iterable[Event]) -> Score:
    """Pairs of a second and a name; a second counts as soon as an event touches it."""
    here, there = _seconds(found), _seconds(true)
    return Score(len(here & there), len(here), len(there))


def _seconds(events: Iterable[Event]) -> set[tuple[int, str]]:
    spans = ((event, range(math.floor(event.start), math.ceil(event.end))) for event in events)
    return {(second, event.name) for event, seconds in spans for second in seconds}


def empty_gaps(found: Sequence[Event], gaps: Sequence[Span], margin: float = 1.0) -> float:
    """Share of the gaps in which nothing was found, more than `margin` seconds away from what happens beside them.

    Raises:
        ValueError: No gaps.
    """
    if not gaps:
        raise ValueError("Got no gaps; nothing can be said about them.")
    inner = [(start + margin, end - margin) for start, end in gaps]
    return sum(all(e.end <= start or e.start >= end for e in found) for start, end in inner) / len(gaps)


def grouped(events: Iterable[Event], group: Mapping[str, str]) -> Events:
    """Events under the names of their groups; those of one group that overlap or touch become one."""
    made: list[Event] = []
    for event in sorted(events, key=lambda e: (e.file, group.get(e.name, e.name), e.start)):
        name, last = group.get(event.name, event.name), made[-1] if made else None
        if last is not None and (last.file, last.name) == (event.file, name) and event.start <= last.end:
            best = max(last.probability, event.probability)
            made[-1] = Event(event.file, last.start, max(last.end, event.end), name, best)
        else:
            made.append(Event(event.file, event.start, event.end, name, event.probability))
    return Events(made)
