"""Parts: where the clock of a file starts anew, and how far each part must be moved to stand behind the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from avshot.media.line import AHEAD, BACK, Line

_MATES = 200  # packets around a jump of one stream among which that of the other is looked for
_FEW = 17  # packets at the beginning of a part among which the first one shown is looked for


class Parts:
    """The parts of a file, each with a clock of its own, and the shift that puts it behind the one before."""

    def __init__(self, lines: Sequence[Line], restarting: bool, longest: float) -> None:
        self._lines, self._restarting, self._longest = lines, restarting, longest
        self.starts: list[dict[int, int]] = [{}]  # part -> line -> its first packet there
        self.shifts = [0.0]
        self.apart = False  # the clocks of the two streams had nothing to do with each other

    def find(self) -> None:
        """Find where the clock changes, in the order of the file, then how far each part must be moved."""
        self._align_beginnings()
        current: dict[int, int] = {}
        for _, number, i in self._breaks_of_all():
            at = self._lines[number].at
            if i == 0:
                current[number] = self._first_part(number, current)
                self.starts[current[number]][number] = 0
                continue
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

    def of(self, line: Line) -> list[tuple[int, int, float]]:
        """Which packets of a line, from and up to, belong to which shift."""
        number = self._lines.index(line)
        begins = [(starts[number], part) for part, starts in enumerate(self.starts) if number in starts]
        stops = [first for first, _ in begins[1:]] + [len(line.at)]
        return [(first, stop, self.shifts[part]) for (first, part), stop in zip(begins, stops, strict=True)]

    def _breaks_of_all(self) -> list[tuple[int, int, int]]:
        """Place in the file, line and packet of each break; a jump that is one in either line is one in both."""
        found = {(number, i) for number, line in enumerate(self._lines) for i in line.breaks()}
        for number, i in sorted(found):
            line = self._lines[number]
            jump = line.at[i] - line.at[i - 1]
            for other, mate in enumerate(self._lines):
                k = int(np.searchsorted(mate.track.place, line.track.place[i]))
                near = mate.at[max(0, k - _MATES) : k + _MATES]
                alike = np.flatnonzero(np.abs(np.diff(near) - jump) < 1.0) + 1 + max(0, k - _MATES)
                if other != number and abs(jump) > 1.0 + BACK and len(alike):
                    found.add((other, int(alike[0])))
        found |= {(number, 0) for number in range(len(self._lines))}
        return sorted((self._lines[number].track.place[i], number, i) for number, i in found)

    def _first_part(self, number: int, current: Mapping[int, int]) -> int:
        """The part in which a stream begins: that of the other one, if its clock agrees, or the first."""
        for other, part in current.items():
            if abs(self._lines[other].at[self._reached(other, number, 0)] - self._lines[number].at[0]) < AHEAD:
                return part
        return 0

    def _reached(self, other: int, number: int, i: int) -> int:
        """The packet of another line that stands before packet `i` of a line in the file, or -1."""
        return int(np.searchsorted(self._lines[other].track.place, self._lines[number].track.place[i])) - 1

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
        for other, part in current.items():  # a pause when the other stream has gone on to there
            if other != number and part == current[number]:
                return bool(abs(self._lines[other].at[self._reached(other, number, i)] - at[i]) > AHEAD)
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
        stop = min([i + _FEW, *(starts[number] for starts in self.starts if starts.get(number, 0) > i)])
        return float((line.at[i:stop] + line.delay[i:stop]).min())

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
        stops = [*(first for first, _ in begins), len(self._lines[number].at)][1:]
        return [(first, stop, shift) for (first, shift), stop in zip(begins, stops, strict=False)]
