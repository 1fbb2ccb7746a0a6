"""Line: the stamps of one stream's packets, completed, and those put right that stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

BACK = 0.1  # seconds; a packet stamped this much before the one in front of it in its stream is out of line
AHEAD = 10.0  # seconds; so is one stamped this much behind it, or behind the other stream
_REORDERED = 17  # packets that a decoder may hold back, and one
_RUN = 64  # most packets in a row that are taken for strays, whose stamps alone are wrong


@dataclass
class Track:
    """The stamps of one stream's packets in the order of the file, in seconds; NaN where there is none."""

    kind: str  # "video" or "audio"
    step: float  # nominal seconds a packet lasts, 0 when unknown
    place: list[int] = field(default_factory=list)  # number of the packet among those of all streams
    shown: list[float] = field(default_factory=list)
    decoded: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)

    def add(self, place: int, shown: float, decoded: float, length: float) -> None:
        """Append a packet."""
        self.place.append(place)
        self.shown.append(shown)
        self.decoded.append(decoded)
        self.length.append(length)


class Line:
    """One stream's stamps, completed."""

    def __init__(self, track: Track, restarting: bool) -> None:
        self.track = track
        shown, decoded = np.array(track.shown), np.array(track.decoded)
        length = np.nan_to_num(np.array(track.length))
        self.counted = bool(np.isnan(shown).all() and np.isnan(decoded).all())
        # Where some times of display are missing the packets' order gives them all: the decoder is as far ahead of
        # the screen as with the first picture, which is the first in both orders.
        self.ordered = not self.counted and track.kind == "video" and bool(np.isnan(shown).any())
        self.plain = not np.isnan(shown).any()
        dated = bool(np.isnan(decoded).mean() < 0.5)
        base = decoded if dated or np.isnan(shown).all() else shown
        self.step = _usual_step(base, length, track.step)
        # Times of display alone go back and forth by as many pictures as a decoder reorders.
        self.back = BACK if dated or track.kind == "audio" else BACK + 16 * self.step
        self.at = _filled(base, np.where(length > 0, length, self.step))  # where each packet stands in its stream
        delay = shown - self.at
        usual = float(np.nanmedian(delay)) if not np.isnan(delay).all() else 0.0
        wrong = np.isnan(delay) | (delay < -AHEAD) | self._too_late(shown, restarting)
        self.wrong = int((wrong & ~np.isnan(delay)).sum())
        self.delay = np.where(wrong, usual, delay)
        if self.ordered or self.counted:
            self.delay = np.full(len(delay), 0.0 if np.isnan(delay[0]) or wrong[0] else delay[0])

    def _too_late(self, shown: np.ndarray, restarting: bool) -> np.ndarray:
        """Packets to be shown long after all those that a decoder could reorder with them are decoded.

        At the end of the file there are none to tell, and only where clocks may restart stamps are doubted then.
        """
        padded = np.concatenate([self.at, np.full(_REORDERED, -np.inf)])
        reached = np.lib.stride_tricks.sliding_window_view(padded, _REORDERED + 1).max(axis=1)
        told = np.arange(len(shown)) + _REORDERED < len(shown)
        return (shown > reached + AHEAD) & (told | restarting)

    def smooth(self) -> int:
        """Put packets whose stamps alone are out of line where their neighbours say; returns how many there were."""
        at, strays, done = self.at, self.wrong, 0
        for i in self.breaks():
            stop = self._return(i) if i >= done else 0
            if stop:
                count = stop - i + 1
                at[i:stop] = at[i - 1] + (at[stop] - at[i - 1]) * np.arange(1, count) / count
                strays, done = strays + stop - i, stop + 1
        if len(at) > 2 and self.breaks()[:2] == [1] and at[0] > at[1]:  # the very first one
            at[0], strays = at[1] - self.step, strays + 1
        return strays

    def breaks(self) -> list[int]:
        """Packets that stand out of line with the one before them."""
        ahead = np.diff(self.at)
        return [int(i) + 1 for i in np.flatnonzero((ahead < -self.back) | (ahead > AHEAD))]

    def _return(self, i: int) -> int:
        """The packet at which the stream is back on its old line after leaving it at `i`, or 0."""
        at, step = self.at, self.step or 0.02
        for j in range(i + 1, min(i + 1 + _RUN, len(at))):
            jump, due, since = at[j] - at[j - 1], (j - i + 1) * step, at[j] - at[i - 1]
            away = j == i + 1 or not -BACK <= jump <= max(0.5, 5 * step)
            if away and 0.5 * due <= since <= 2 * due + 1.0:
                return j
        return 0

    def on_one_line(self, shifts: Sequence[tuple[int, int, float]]) -> list[float]:
        """Times of the packets, those from and up to which a shift holds moved by it; different for each picture."""
        times = self.at + self.delay
        for first, last, shift in shifts:
            times[first:last] += shift
        if self.track.kind == "video":
            spread = _spread(times, self.step or 0.04)
            self.plain = self.plain and bool(np.array_equal(spread, times))
            times = spread
        return [float(time) for time in times]


def _usual_step(stamps: np.ndarray, length: np.ndarray, nominal: float) -> float:
    stated = length[length > 0]
    if len(stated):
        return float(np.median(stated))
    known = np.flatnonzero(~np.isnan(stamps))
    ahead = np.diff(stamps[known]) / np.diff(known)
    ahead = ahead[(ahead > 0) & (ahead < AHEAD)]
    return float(np.median(ahead)) if len(ahead) else nominal


def _filled(stamps: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Stamps, those that are missing counted on from the last one by the lengths of the packets."""
    behind = np.concatenate([[0.0], np.cumsum(length)[:-1]])
    known = ~np.isnan(stamps)
    if not known.any():
        return behind
    last = np.maximum.accumulate(np.where(known, np.arange(len(stamps)), -1))
    last[last < 0] = int(np.argmax(known))
    return np.where(known, stamps, stamps[last] + behind - behind[last])


def _spread(times: np.ndarray, step: float) -> np.ndarray:
    """The same times, those that several packets share spread evenly up to the next one."""
    order = np.argsort(times, kind="stable")
    line = times[order]
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(line) > 1e-9]))
    counts = np.diff(np.concatenate([firsts, [len(line)]]))
    if (counts > 1).any():
        room = np.concatenate([np.diff(line[firsts]), [step * counts[-1]]])
        within = np.arange(len(line)) - np.repeat(firsts, counts)
        line = line[np.repeat(firsts, counts)] + within * np.repeat(room / counts, counts)
    result = np.empty_like(line)
    result[order] = line
    return result
