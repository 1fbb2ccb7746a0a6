"""An event: a name and a span of a recording, and how sure it is; and a table of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from avshot.errors import BadSetting


@dataclass(frozen=True, order=True)
class Event:
    """Something that is heard or seen from `start` to `end` of a recording.

    Attributes:
        file: The recording, as it was named.
        start: Seconds from its beginning, 0 or more.
        end: Seconds from its beginning, not before `start`.
        name: What happens, in words.
        probability: That it happens, 0 to 1; the highest of its windows. 1.0 where somebody said so.
        sound: Share of the sound in the score, 0 to 1; None where that is not known.
        picture: Share of the picture in the score; with `sound` it adds up to 1.
    """

    file: str
    start: float
    end: float
    name: str
    probability: float = 1.0
    sound: float | None = None
    picture: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.start <= self.end < math.inf):
            raise BadSetting(f"Event {self.name!r} is from {self.start} to {self.end} s; expected 0 <= start <= end.")
        if not 0 <= self.probability <= 1:
            raise BadSetting(f"Event {self.name!r} has probability {self.probability}; expected 0 to 1.")
        if not self.name.strip():
            raise BadSetting(f"The event of {self.start} to {self.end} s has no name; give it one.")

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


class Events(Sequence[Event]):
    """Events of one or several recordings, by recording (in the order they came), start, end and name."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        given = list(events)
        place = {file: index for index, file in enumerate(dict.fromkeys(event.file for event in given))}
        self._events = tuple(sorted(given, key=lambda e: (place[e.file], e.start, e.end, e.name, -e.probability)))

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> Events: ...

    def __getitem__(self, index: int | slice) -> Event | Events:
        return Events(self._events[index]) if isinstance(index, slice) else self._events[index]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Events) and self._events == other._events

    def __hash__(self) -> int:
        return hash(self._events)

    def __repr__(self) -> str:
        return f"Events({len(self)} in {len(self.files)} files)"

    @property
    def files(self) -> tuple[str, ...]:
        """The recordings that have events, in order."""
        return tuple(dict.fromkeys(event.file for event in self))

    @property
    def names(self) -> tuple[str, ...]:
        """What happens, each name once, in order of first appearance."""
        return tuple(dict.fromkeys(event.name for event in self))
