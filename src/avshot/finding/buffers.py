"""Buffers: the sound and the pictures of a recording that wait to be described, in seconds from its beginning."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from avshot.media import Media

_NO_PICTURE = (np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0))


class Sounds:
    """Sound that waits to be described; `end`: seconds at which it ends."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._first = self._count = 0  # samples in front of those that wait, and how many wait
        self._rate = 1
        self._gaps: list[tuple[float, float]] = []
        self.end = 0.0

    def add(self, piece: Media, until: float) -> None:
        """Append the sound of a piece, which ends at `until` seconds."""
        begin = (self._first + self._count) / piece.rate
        self._rate = piece.rate
        self._parts.append(piece.waveform)
        self._gaps += [(begin + start, begin + stop) for start, stop in piece.gaps]
        self._count += len(piece.waveform)
        self.end = until

    def part(self, begin: float, end: float) -> Media:
        """A span of what waits, as far as it goes; its times count from `begin` seconds."""
        waveform = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        self._parts = [waveform]
        first = round(begin * self._rate) - self._first
        stop = len(waveform) if end == math.inf else round(end * self._rate) - self._first
        gaps = tuple((max(a, begin) - begin, min(b, end) - begin) for a, b in self._gaps if b > begin and a < end)
        return Media(*_NO_PICTURE, waveform[first:stop], self._rate, "ok", min(end, self.end) - begin, (), gaps)

    def drop(self, before: float) -> None:
        """Let go of what lies before a time."""
        count = min(max(0, round(before * self._rate) - self._first), self._count)
        self._parts = [np.concatenate(self._parts)[count:].copy()] if self._parts else []
        self._first, self._count = self._first + count, self._count - count
        self._gaps = [(a, b) for a, b in self._gaps if b > before]


class Pictures:
    """Frames that wait to be described; `end`: seconds at which the picture ends."""

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []
        self._times: list[float] = []
        self.end = 0.0

    def add(self, piece: Media, until: float) -> None:
        """Append the frames of a piece, which ends at `until` seconds."""
        self._frames += list(piece.frames)
        self._times += (self.end + piece.frame_time).tolist()
        self.end = until

    def part(self, begin: float, end: float) -> Media:
        """A span of what waits, as far as it goes; its times count from `begin` seconds."""
        first, stop = (bisect_left(self._times, edge - 1e-6) for edge in (begin, end))
        frames = np.stack(self._frames[first:stop]) if stop > first else np.zeros((0, 0, 0, 3), np.uint8)
        times = np.array(self._times[first:stop]) - begin
        return Media(frames, times, np.zeros(0, np.float32), 1, "ok", min(end, self.end) - begin)

    def drop(self, before: float) -> None:
        """Let go of what lies before a time."""
        count = bisect_left(self._times, before - 1e-6)
        del self._frames[:count], self._times[:count]
