"""An event: a name and a span of a recording, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
