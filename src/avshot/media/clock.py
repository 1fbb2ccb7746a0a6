"""Clock: the stamps of all packets of a file on one time line, where they cannot be taken at face value.

Recorders and people join transport streams, the clock of each part starting where it likes; clocks wrap; AVI and raw
streams say when a picture is decoded, not when it is shown, or nothing at all; a flipped bit moves a packet by hours.
`read` notices that in passing and reads such a file again, with a `Clock` made from a look at all packets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

BACK = 0.1  # seconds; a packet stamped this much before the one in front of it in its stream is out of line
AHEAD = 10.0  # seconds; so is one stamped this much behind it, or behind the other stream
_RUN = 64  # most packets in a row that are taken for strays, whose stamps alone are wrong
_MATES = 200  # packets around a jump of one stream among which that of the other is looked for
_FEW = 17  # packets at the beginning of a part among which the first one shown is looked for


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


@dataclass(frozen=True)
class Clock:
    """One time line for the packets of a file.

    Attributes:
        times: Seconds at which each packet is shown or heard, in the order of the file, by kind of stream.
        end: Seconds at which the last of them ends.
        plain: The stamps can be taken at face value after all.
        notes: Sentences on what was assumed.
    """

    times: Mapping[str, list[float]]
    end: float
    plain: bool
    notes: tuple[str, ...]


def make_clock(tracks: Sequence[Track], restarting: bool, longest: float) -> Clock:
    """Lay the packets of a file's chosen streams on one time line.

    Args:
        tracks: The chosen streams, one or two.
        restarting: The format is one in which clocks may start anew (FFmpeg's `ts_discont`), so that a jump forward of
            all streams is no pause but another clock.
        longest: A jump forward of more than this many seconds is another clock in every format.
    """
    lines = [_Line(track) for track in tracks if track.place]
    strays = sum(line.smooth() for line in lines)
    parts = _Parts(lines, restarting, longest)
    parts.find()
    times = {line.track.kind: line.on_one_line(parts) for line in lines}
    ends = [max(times[line.track.kind]) + line.step for line in lines]
    counted = [line.track.kind for line in lines if line.counted]
    ordered = [line.track.kind for line in lines if line.ordered]
    notes = _notes(parts, strays, counted, ordered)
    return Clock(times, max(ends, default=0.0), not notes and all(line.plain for line in lines), notes)


class _Line:
    """One stream's stamps, completed."""

    def __init__(self, track: Track) -> None:
        self.track = track
        shown, decoded = np.array(track.shown), np.array(track.decoded)
        length = np.nan_to_num(np.array(track.length))
        self.counted = bool(np.isnan(shown).all() and np.isnan(decoded).all())
        # Where some times of display are missing the packets' order gives them all: the decoder is as far ahead of
        # the screen as with the first picture, which is the first in both orders.
        self.ordered = not self.counted and track.kind == "video" and bool(np.isnan(shown).any())
        self.plain = not np.isnan(shown).any()
        self.step = _usual_step(decoded if np.isnan(decoded).mean() < 0.5 else shown, length, track.step)
        base = np.where(np.isnan(decoded), shown, decoded)
        self.at = _filled(base, np.where(length > 0, length, self.step))  # where each packet stands in its stream
        delay = shown - self.at
        usual = float(np.nanmedian(delay)) if not np.isnan(delay).all() else 0.0
        wrong = np.isnan(delay) | (np.abs(delay - usual) > AHEAD)
        self.wrong = int((wrong & ~np.isnan(delay)).sum())
        self.delay = np.where(wrong, usual, delay)
        if self.ordered or self.counted:
            self.delay = np.full(len(delay), 0.0 if np.isnan(delay[0]) or wrong[0] else delay[0])

    def smooth(self) -> int:
        """Put packets whose stamps alone are out of line where their neighbours say; returns how many there were."""
        at, strays, done = self.at, self.wrong, 0
        for i in _breaks(at).tolist():
            stop = self._return(i) if i >= done else 0
            if stop:
                count = stop - i + 1
                at[i:stop] = at[i - 1] + (at[stop] - at[i - 1]) * np.arange(1, count) / count
                strays, done = strays + stop - i, stop + 1
        if len(at) > 2 and at[0] - at[1] > BACK and 2 not in _breaks(at[:3]):  # the very first one
            at[0], strays = at[1] - self.step, strays + 1
        return strays

    def _return(self, i: int) -> int:
        """The packet at which the stream is back on its old line after leaving it at `i`, or 0."""
        at, step = self.at, self.step or 0.02
        for j in range(i + 1, min(i + 1 + _RUN, len(at))):
            jump, due, since = at[j] - at[j - 1], (j - i + 1) * step, at[j] - at[i - 1]
            away = j == i + 1 or not -BACK <= jump <= max(0.5, 5 * step)
            if away and 0.5 * due <= since <= 2 * due + 1.0:
                return j
        return 0

    def on_one_line(self, parts: _Parts) -> list[float]:
        """Times of the packets, strictly increasing when sorted, on the line of `parts`."""
        times = self.at + self.delay
        for first, last, shift in parts.of(self):
            times[first:last] += shift
        if self.track.kind == "video":
            spread = _spread(times, self.step or 0.04)
            self.plain = self.plain and bool(np.array_equal(spread, times))
            times = spread
        return [float(time) for time in times]


class _Parts:
    """The parts of a file, each with a clock of its own, and the shift that puts it behind the one before."""

    def __init__(self, lines: Sequence[_Line], restarting: bool, longest: float) -> None:
        self._lines, self._restarting, self._longest = lines, restarting, longest
        self.starts: list[dict[int, int]] = [dict.fromkeys(range(len(lines)), 0)]  # part -> line -> packet
        self.shifts = [0.0]
        self.apart = False  # the clocks of the two streams had nothing to do with each other

    def find(self) -> None:
        """Find where the clock changes, in the order of the file, then how far each part must be moved."""
        self._align_beginnings()
        current = dict.fromkeys(range(len(self._lines)), 0)
        for _, number, i in self._breaks_of_all():
            at = self._lines[number].at
            if not self._is_change(number, i, current):
                continue
            newer = [part for part in range(current[number] + 1, len(self.starts)) if self._near(part, at[i])]
            if not newer:
                self.starts.append({})
                newer = [len(self.starts) - 1]
            current[number] = newer[0]
            self.starts[newer[0]][number] = i
        for part in range(1, len(self.starts)):
            self.shifts.append(self._shift(part))

    def of(self, line: _Line) -> list[tuple[int, int, float]]:
        """Which packets of a line, from and up to, belong to which shift."""
        number = self._lines.index(line)
        begins = [(starts[number], part) for part, starts in enumerate(self.starts) if number in starts]
        stops = [first for first, _ in begins[1:]] + [len(line.at)]
        return [(first, stop, self.shifts[part]) for (first, part), stop in zip(begins, stops, strict=True)]

    def _breaks_of_all(self) -> list[tuple[int, int, int]]:
        """Place in the file, line and packet of each break; a jump that is one in either line is one in both."""
        found = {(number, i) for number, line in enumerate(self._lines) for i in _breaks(line.at).tolist()}
        for number, i in sorted(found):
            line = self._lines[number]
            jump = line.at[i] - line.at[i - 1]
            for other, mate in enumerate(self._lines):
                k = int(np.searchsorted(mate.track.place, line.track.place[i]))
                near = mate.at[max(0, k - _MATES) : k + _MATES]
                alike = np.flatnonzero(np.abs(np.diff(near) - jump) < 1.0) + 1 + max(0, k - _MATES)
                if other != number and abs(jump) > 1.0 + BACK and len(alike):
                    found.add((other, int(alike[0])))
        return sorted((self._lines[number].track.place[i], number, i) for number, i in found)

    def _align_beginnings(self) -> None:
        """Two streams whose clocks have nothing to do with each other begin where they stand in the file."""
        if len(self._lines) == 2 and self._restarting:
            late, early = sorted(self._lines, key=lambda line: -line.track.place[0])
            before = int(np.searchsorted(early.track.place, late.track.place[0])) - 1
            apart = late.at[0] - early.at[max(0, before)]
            if abs(apart) > AHEAD:
                late.at -= apart
                self.apart = True

    def _is_change(self, number: int, i: int, current: Mapping[int, int]) -> bool:
        """Whether a break in a stream is another clock; otherwise it is a pause."""
        at = self._lines[number].at
        ahead = at[i] - at[i - 1]
        if ahead < 0:
            return True
        if not self._restarting:
            return bool(ahead > self._longest)
        for other, line in enumerate(self._lines):  # a pause when the other stream has gone on to there
            k = int(np.searchsorted(line.track.place, self._lines[number].track.place[i])) - 1
            if other != number and current[other] == current[number] and k >= 0:
                return bool(abs(line.at[k] - at[i]) > AHEAD)
        return True

    def _near(self, part: int, time: float) -> bool:
        begins = [self._lines[number].at[i] for number, i in self.starts[part].items()]
        return any(abs(begin - time) < AHEAD for begin in begins)

    def _shift(self, part: int) -> float:
        """The least shift at which no stream of the part overlaps what it had before."""
        starts, needed = self.starts[part], []
        begins = {number: self._begin(number, i) for number, i in starts.items()}
        place = min(self._lines[number].track.place[i] for number, i in starts.items())
        for number, line in enumerate(self._lines):
            end = self._end_before(part, number, starts.get(number, int(np.searchsorted(line.track.place, place))))
            if end is not None:
                needed.append(end - begins.get(number, min(begins.values())))
        return max(needed, default=0.0)

    def _begin(self, number: int, i: int) -> float:
        line = self._lines[number]
        return float((line.at[i : i + _FEW] + line.delay[i : i + _FEW]).min())

    def _end_before(self, part: int, number: int, stop: int) -> float | None:
        """Where the packets of a line in front of `stop` end, on the common line; None when there are none."""
        line, ends = self._lines[number], []
        for first, last, shift in self._so_far(number, part):
            last = min(last, stop)
            if last > first:
                ends.append(float((line.at[first:last] + line.delay[first:last]).max()) + line.step + shift)
        return max(ends, default=None)

    def _so_far(self, number: int, part: int) -> list[tuple[int, int, float]]:
        begins = [(self.starts[p][number], self.shifts[p]) for p in range(part) if number in self.starts[p]]
        stops = [first for first, _ in begins[1:]] + [len(self._lines[number].at)]
        return [(first, stop, shift) for (first, shift), stop in zip(begins, stops, strict=True)]


def _breaks(at: np.ndarray) -> np.ndarray:
    """Packets that stand out of line with the one before them."""
    ahead = np.diff(at)
    return np.flatnonzero((ahead < -BACK) | (ahead > AHEAD)) + 1


def _usual_step(stamps: np.ndarray, length: np.ndarray, nominal: float) -> float:
    stated = length[length > 0]
    if len(stated):
        return float(np.median(stated))
    ahead = np.diff(stamps[~np.isnan(stamps)])
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


def _notes(parts: _Parts, strays: int, counted: Sequence[str], ordered: Sequence[str]) -> tuple[str, ...]:
    words = {"video": "picture", "audio": "sound"}
    notes = []
    if len(parts.shifts) > 1:
        notes.append(
            f"The file's clock starts anew {len(parts.shifts) - 1} times; its {len(parts.shifts)} parts were put one "
            "behind the other."
        )
    if parts.apart:
        notes.append("The clocks of picture and sound are unrelated; both were begun where they stand in the file.")
    if strays:
        notes.append(
            f"{strays} packets carry times far from their neighbours'; they were put where the neighbours say."
        )
    notes += [
        f"The {words[kind]} has no time stamps; its packets were counted on at their nominal length."
        for kind in counted
    ]
    notes += [
        f"The {words[kind]} lacks times of display; the decoder's order was taken, at the times of the packets."
        for kind in ordered
    ]
    return tuple(notes)
