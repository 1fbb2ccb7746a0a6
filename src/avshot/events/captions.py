"""Events as sound captions, "[dog barking]", that can be read: when each is on the screen, and what it says.

What guidelines for deaf and hard-of-hearing viewers say decides the defaults:

- DCMP, Captioning Key: sounds in brackets and small letters; no caption on the screen for less than two seconds; 150 to
  160 words a minute, sounds counted (here 15 characters a second, at six a word).
- Netflix, Timed Text Style Guide, General Requirements: at most 7 seconds, two lines of 42 characters.
- BBC, Subtitle Guidelines, sections 4.5 and 5.2: no short gaps between subtitles, and none that hangs on for more than
  1.5 seconds.

They ask for a sound to be marked where it begins. None says when a lasting one is told again: here once a minute.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from avshot.errors import BadSetting
from avshot.events.format import one_line
from avshot.events.span import Event


@dataclass(frozen=True)
class Captions:
    """How events become captions; see above where the defaults come from.

    Attributes:
        shortest: Seconds that a caption is on the screen at least.
        longest: Seconds after which a caption goes, also where its sound goes on; what takes longer to read stays.
        speed: Characters a second that people read, brackets counted.
        width: Characters of a line.
        lines: Of a caption, at most; of more names than fit, the most probable are told.
        bridge: Seconds; a name that is heard again so soon after it ended is one sound, and a caption stays so long to
            the next one.
        repeat: Seconds after which a sound that goes on is told again; None: never.
        join: Put what is heard at one time into one caption. False: a caption for each event, whatever overlaps.
    """

    shortest: float = 2.0
    longest: float = 7.0
    speed: float = 15.0
    width: int = 42
    lines: int = 2
    bridge: float = 1.5
    repeat: float | None = 60.0
    join: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.shortest <= self.longest:
            raise BadSetting(f"Captions last {self.shortest} to {self.longest} s; expected 0 <= shortest <= longest.")
        if not (self.speed > 0 and self.bridge >= 0 and self.width >= 8 and self.lines >= 1):
            raise BadSetting(
                f"Captions have speed {self.speed}, bridge {self.bridge} s, {self.lines} lines of {self.width}; "
                "expected speed above 0, bridge from 0, at least 1 line of 8 characters."
            )
        if self.repeat is not None and self.repeat <= self.longest:
            raise BadSetting(f"Captions are repeated after {self.repeat} s; expected more than longest, or None.")


DEFAULT = Captions()
EXACT = Captions(0.0, math.inf, math.inf, width=1 << 20, bridge=0.0, repeat=None, join=False)  # as events are


@dataclass(frozen=True)
class Cue:
    """A caption on the screen from `start` to `end` seconds, with the lines of its text."""

    start: float
    end: float
    lines: tuple[str, ...]


@dataclass
class _Mark:
    """A sound that is to be told from `start` to `end`."""

    start: float
    end: float
    name: str
    probability: float


@dataclass
class _Told:
    """A caption in the making."""

    start: float
    marks: list[_Mark]
    end: float = field(default=0.0)

    def settle(self, settings: Captions) -> None:
        """Set the end: with the sounds, but long enough to be read and not beyond the longest."""
        lasts = max(mark.end for mark in self.marks)
        self.end = max(self.start + self.needed(settings), min(lasts, self.start + settings.longest))

    def needed(self, settings: Captions) -> float:
        """Seconds that it takes to read."""
        return max(settings.shortest, len(" ".join(_lines(self.marks, settings))) / settings.speed)


def make_cues(events: Iterable[Event], settings: Captions = DEFAULT) -> list[Cue]:
    """Captions of the events of one recording, by start.

    With `settings.join` no two are on the screen at once, and each is there long enough to be read. No events
    give no captions.

    Args:
        events: Of one recording.
        settings: How.
    """
    marks = sorted(_marks(list(events), settings), key=lambda mark: (mark.start, mark.end, mark.name))
    if not settings.join:
        return [Cue(mark.start, mark.end, tuple(_lines([mark], settings))) for mark in marks]
    told: list[_Told] = []
    for mark in marks:
        _tell(told, mark, settings)
    for one, following in pairwise(told):
        if following.start - one.end < settings.bridge and following.start - one.start <= settings.longest:
            one.end = following.start
    return [Cue(one.start, one.end, tuple(_lines(one.marks, settings))) for one in told]


def _marks(events: Sequence[Event], settings: Captions) -> list[_Mark]:
    """When each sound is told: where it begins, and again while it lasts."""
    sounds: dict[str, list[_Mark]] = {}
    for event in sorted(events, key=lambda event: event.start):
        name = one_line(event.name)
        before = sounds.setdefault(name, [])
        if settings.join and before and event.start - before[-1].end < settings.bridge:
            before[-1].end = max(before[-1].end, event.end)
            before[-1].probability = max(before[-1].probability, event.probability)
        else:
            before.append(_Mark(event.start, event.end, name, event.probability))
    return [told for found in sounds.values() for mark in found for told in _repeated(mark, settings)]


def _repeated(mark: _Mark, settings: Captions) -> list[_Mark]:
    found: list[_Mark] = []
    start = mark.start
    while not found or (settings.repeat is not None and start + settings.shortest <= mark.end):
        found.append(replace(mark, start=start, end=min(mark.end, start + settings.longest)))
        start = mark.start + len(found) * (settings.repeat or 0.0)
    return found


def _tell(told: list[_Told], mark: _Mark, settings: Captions) -> None:
    """Put a sound into the caption that is being read, or end that and begin another one."""
    now = told[-1] if told else None
    if now is None or mark.start >= now.end:
        told.append(_Told(mark.start, [mark]))
    elif mark.start - now.start < now.needed(settings):
        now.marks = _with(now.marks, mark)
    else:
        going_on = [other for other in now.marks if other.end - mark.start >= settings.shortest]
        now.end = mark.start
        told.append(_Told(mark.start, _with(going_on, mark)))
    told[-1].settle(settings)


def _with(marks: Sequence[_Mark], mark: _Mark) -> list[_Mark]:
    """The marks and another one; a name stands once."""
    same = [other for other in marks if other.name == mark.name]
    for other in same:
        other.end = max(other.end, mark.end)
    return [*marks] if same else [*marks, mark]


def _lines(marks: Sequence[_Mark], settings: Captions) -> list[str]:
    """The text of a caption: of names that do not fit, the least probable go."""
    left = list(marks)
    while len(lines := _wrapped([mark.name for mark in left], settings)) > settings.lines:
        if len(left) == 1:
            return _cut(left[0].name, settings)
        left.remove(min(left, key=lambda mark: mark.probability))
    return lines


def _wrapped(names: Sequence[str], settings: Captions) -> list[str]:
    mark = "; " if any("," in name for name in names) else ", "
    return textwrap.wrap(f"[{mark.join(names)}]", settings.width, break_on_hyphens=False)


def _cut(name: str, settings: Captions) -> list[str]:
    """A name that is too long by itself, cut where it still fits."""
    keep = settings.width * settings.lines
    while len(lines := _wrapped([f"{name[:keep].rstrip()}…"], settings)) > settings.lines:
        keep -= 1
    return lines


def names_in(text: str, known: Sequence[str] = ()) -> list[str]:
    """The names in the text of a caption; none where it is not in brackets as a whole, as speech is.

    Names are parted by commas, or by semicolons where one holds a comma.

    Args:
        text: Of a caption, in one line.
        known: Names that there may be; one of them is a name also where it holds a comma.
    """
    text = text.strip()
    if len(text) < 3 or not (text.startswith("[") and text.endswith("]")):
        return []
    mark = "; " if "; " in text else ", "
    parts, names, found = text[1:-1].split(mark), set(known), []
    while parts:
        taken = next((n for n in range(len(parts), 1, -1) if mark.join(parts[:n]) in names), 1)
        found.append(mark.join(parts[:taken]).strip())
        parts = parts[taken:]
    return [name for name in found if name]
