"""Scores in time to events: hysteresis, short gaps bridged, short events left out; at once, or window by window.

An event of a name is a run of windows whose probability stays above a low threshold and at least once reaches a high
one (thresholding with hysteresis: Canny, "A computational approach to edge detection", IEEE PAMI 1986). Names are cut
independently, so that events of different names may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from avshot.errors import BadSetting
from avshot.events.event import Event, Events
from avshot.events.track import Track

_ADJACENT = 1.5  # hops between two windows beyond which there is a gap in the scores


@dataclass(frozen=True)
class Segmentation:
    """How scores in time become events.

    Attributes:
        begin: Probability that some window of an event reaches, above 0, at most 1.
        stay: Share of `begin` that all windows of an event reach, 0 to 1; 1 means no hysteresis.
        merge: Seconds; events of one name that are less than this apart become one, the gap included.
        shortest: Seconds; shorter events are left out, after gaps are bridged.
        refine: Put an end where the line between the probabilities of two neighbouring windows crosses the low
            threshold; otherwise (and at gaps and ends of the scores) it is the border of the window's cell.
        begins: `begin` of single names, where it differs.
    """

    begin: float = 0.7
    stay: float = 0.6
    merge: float = 2.0
    shortest: float = 0.2
    refine: bool = True
    begins: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, begin in {"": self.begin, **self.begins}.items():
            if not 0 < begin <= 1:
                of = f" of {name!r}" if name else ""
                raise BadSetting(f"The threshold at which an event begins{of} is {begin}; expected above 0, at most 1.")
        if not 0 < self.stay <= 1:
            raise BadSetting(f"stay is {self.stay}; expected a share of begin, above 0 and at most 1.")
        if not (0 <= self.merge < math.inf and 0 <= self.shortest < math.inf):
            raise BadSetting(f"merge is {self.merge} s and shortest {self.shortest} s; expected 0 or more.")

    def thresholds(self, name: str) -> tuple[float, float]:
        """The high and the low threshold of a name."""
        begin = self.begins.get(name, self.begin)
        return begin, begin * self.stay


DEFAULT = Segmentation()


@dataclass
class _Piece:
    """A stretch of one name, in seconds: its highest probability, and sums over its windows."""

    start: float
    end: float
    peak: float = 0.0
    weight: float = 0.0
    sound: float | None = 0.0

    def add(self, probability: float, sound: float | None) -> None:
        self.peak = max(self.peak, probability)
        self.weight += probability
        self.sound = None if sound is None or self.sound is None else self.sound + probability * sound

    def join(self, later: _Piece) -> None:
        self.end = later.end
        self.peak = max(self.peak, later.peak)
        self.weight += later.weight
        self.sound = None if self.sound is None or later.sound is None else self.sound + later.sound

    def event(self, file: str, name: str, duration: float) -> Event | None:
        """The event, within the recording; None where nothing of it lies there."""
        start, end = max(0.0, self.start), min(duration, self.end)
        if end <= start:
            return None
        share = None if self.sound is None else min(1.0, max(0.0, self.sound / self.weight))
        return Event(file, start, end, name, min(1.0, self.peak), share, None if share is None else 1.0 - share)


def find_events(track: Track, settings: Segmentation = DEFAULT) -> Events:
    """The events of one recording.

    Start and end lie within the recording. The probability of an event is the highest of its windows, its share of the
    sound the mean of theirs, weighted by probability. Windows without a probability (NaN) belong to no event. Without
    windows or names there are no events.

    Args:
        track: Scores in time; a duration of 0 counts as unknown.
        settings: Thresholds and lengths.
    """
    stream = EventStream(track.file, track.names, track.hop, settings, duration=track.duration or math.inf)
    shares = [None] * len(track.time) if track.sound is None else track.sound
    found: list[Event] = []
    for time, probability, sound in zip(track.time, track.probability, shares, strict=True):
        found += stream.push(float(time), probability, sound)
    return Events([*found, *stream.finish()])


class EventStream:
    """Events of a recording whose windows come one by one, as from a microphone; each event is given once it is over.

    What all windows give together equals `find_events`. Memory does not grow with the recording.

    Args:
        file: The recording, as it is named.
        names: `[class]` what is looked for.
        hop: Seconds between windows.
        settings: Thresholds and lengths.
        duration: Seconds of the recording, beyond which nothing lies; infinite where it is not known.
    """

    def __init__(
        self,
        file: str,
        names: Sequence[str],
        hop: float,
        settings: Segmentation = DEFAULT,
        *,
        duration: float = math.inf,
    ) -> None:
        self._file, self._names, self._hop, self._settings, self._duration = file, names, hop, settings, duration
        self._begin, self._low = np.array([settings.thresholds(name) for name in names]).reshape(-1, 2).T
        self._time, self._last = -math.inf, np.full(len(names), np.nan)
        self._runs: dict[int, _Piece] = {}  # what goes on, by class
        self._waiting: dict[int, _Piece] = {}  # what is over, unless another one begins soon

    def push(self, time: float, probability: np.ndarray, sound: np.ndarray | None = None) -> list[Event]:
        """Take the next window; returns the events that are over now, by end.

        Args:
            time: Its centre in seconds, later than that of the window before.
            probability: `[class]`, 0 to 1.
            sound: `[class]` share of the sound, 0 to 1; None where it is not known.

        Raises:
            ValueError: A window that is not later, or other than one probability for each name.
        """
        now = np.asarray(probability, dtype=np.float64)
        if time <= self._time or now.shape != self._low.shape:
            raise BadSetting(
                f"Got a window at {time} s after {self._time} s with {now.shape} probabilities; expected a later one, "
                f"with {self._low.shape}."
            )
        if time - self._time > _ADJACENT * self._hop:
            self._close_all()
        above = now >= self._low
        for j in sorted({*np.flatnonzero(above).tolist(), *self._runs}):
            if not above[j]:
                self._close(j, self._crossing(j, time, now[j], time - self._hop / 2))
                continue
            if j not in self._runs:
                self._runs[j] = _Piece(self._crossing(j, time, now[j], time - self._hop / 2), time)
            self._runs[j].add(float(now[j]), None if sound is None else float(sound[j]))
        self._time, self._last = time, now
        return self._over(time)

    def finish(self) -> list[Event]:
        """No window comes any more; returns the events that had not been given, by end."""
        self._close_all()
        return self._over(math.inf)

    def _crossing(self, j: int, time: float, value: float, border: float) -> float:
        """When the probability of class `j` crosses its low threshold, between the window before and this one."""
        before, low = float(self._last[j]), float(self._low[j])
        if not (self._settings.refine and math.isfinite(before) and math.isfinite(value)):
            return border
        return self._time + (low - before) / (float(value) - before) * (time - self._time)

    def _close_all(self) -> None:
        """A gap in the scores, or their end."""
        for j in list(self._runs):
            self._close(j, self._time + self._hop / 2)
        self._last = np.full(len(self._names), np.nan)

    def _close(self, j: int, end: float) -> None:
        piece = self._runs.pop(j)
        piece.end = end
        if piece.peak < self._begin[j]:
            return
        if j in self._waiting:  # `_over` would have given it if it were too far away
            self._waiting[j].join(piece)
        else:
            self._waiting[j] = piece

    def _over(self, time: float) -> list[Event]:
        """Take out what nothing can be joined to any more: the next piece begins at `time`, or has begun."""
        done = []
        for j in sorted(self._waiting):
            begins = self._runs[j].start if j in self._runs else time
            if begins - self._waiting[j].end >= self._settings.merge:
                done.append((self._waiting[j].end, j, self._waiting.pop(j)))
        found = (piece.event(self._file, self._names[j], self._duration) for _, j, piece in sorted(done, key=_by_end))
        return [event for event in found if event is not None and event.length >= self._settings.shortest]


def _by_end(one: tuple[float, int, _Piece]) -> tuple[float, int]:
    return one[:2]
