"""Steps of a recording of any length: what an extractor makes of the whole, stretch by stretch."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractor import Extractor
from avshot.finding.scorer import Steps
from avshot.media import Media
from avshot.media.presence import lit, sounding

_FARTHEST = 10.0  # seconds of context at most; an extractor whose steps depend on the whole clip gets so much
_STRANGE = 1e-3  # seconds; steps closer to each other are one and the same, where the extractor states no hop


class StepFlow:
    """Describes one modality of a recording that comes piece by piece.

    Each stretch is described together with as much around it as the extractor's steps reach, and begins on the
    extractor's own grid; so the steps are those that the extractor gives for the whole. They are not where it depends
    on the whole clip (`reach` is infinite), and may be shifted by less than their distance where a stretch begins
    with digital silence, which is left out before the grid is laid.

    Args:
        extractor: Describes the modality.
        seconds: Of a stretch, at least one step; it is rounded to whole steps.
    """

    def __init__(self, extractor: Extractor, seconds: float = 30.0) -> None:
        self._extractor, self._hop = extractor, hop_of(extractor)
        self._length = _whole(seconds, self._hop)
        self._context = _whole(min(extractor.reach, _FARTHEST), self._hop)
        self._buffer: _Sounds | _Pictures = _Sounds() if extractor.modality == "audio" else _Pictures()
        self._own = 0.0  # seconds at which the next stretch begins
        self._last = -math.inf  # centre of the last step that was given
        self.known = 0.0  # seconds up to which all steps were given

    def feed(self, piece: Media, until: float) -> Iterator[Steps]:
        """Take the next piece of the recording, which ends at `until` seconds; gives the steps that are known by then.

        Of the piece, only what belongs to this modality is looked at. Pieces follow each other without overlap.
        """
        self._buffer.add(piece, until)
        while self._buffer.end >= self._own + self._length + self._context:
            stop = self._own + self._length
            yield self._described(stop + self._context, stop - self._hop / 4)
            self._own, self.known = stop, stop - self._hop / 4
            self._buffer.drop(stop - self._context)

    def finish(self) -> Iterator[Steps]:
        """The steps of what is left; nothing more will come."""
        if self._buffer.end > self._own or self._own == 0:
            yield self._described(math.inf, math.inf)
        self.known = math.inf

    def _described(self, end: float, until: float) -> Steps:
        begin = max(0.0, self._own - self._context)
        media = self._buffer.part(begin, end)
        if not _holds_anything(media):
            return no_steps(self._extractor.dim)
        vectors, centres = self._extractor(media)
        time = begin + np.asarray(centres, np.float64)
        after = self._last + (self._hop / 2 or _STRANGE)
        new = (time > after) & (time < until)
        if new.any():
            self._last = float(time[new][-1])
        return Steps(vectors[torch.from_numpy(new)], time[new])


def _holds_anything(media: Media) -> bool:
    """Whether anything is heard or seen; as in `avshot.features.describe`, what is silent or black is not described."""
    return bool(lit(media.frames).any()) or len(sounding(media.waveform, media.rate, media.gaps)) > 0


def hop_of(extractor: Extractor) -> float:
    """Seconds between an extractor's steps: its setting `hop`, or that of its frames; 0 where it states neither."""
    hop = getattr(extractor, "hop", None)
    if hop is None:
        fps = extractor.request().get("fps") if extractor.modality == "visual" else None
        return 1.0 / fps if fps else 0.0
    return float(hop)


def no_steps(dim: int) -> Steps:
    """Nothing, of vectors of a width."""
    return Steps(torch.zeros(0, dim), np.zeros(0))


def _whole(seconds: float, hop: float) -> float:
    """The least number of whole steps that last so long; at least one."""
    return max(1, math.ceil(seconds / hop - 1e-9)) * hop if hop else seconds


_NO_PICTURE = (np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0))


class _Sounds:
    """Sound that waits to be described."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._first = self._count = 0  # samples in front of those that wait, and how many wait
        self._rate = 1
        self._gaps: list[tuple[float, float]] = []
        self.end = 0.0

    def add(self, piece: Media, until: float) -> None:
        begin = (self._first + self._count) / piece.rate
        self._rate = piece.rate
        self._parts.append(piece.waveform)
        self._gaps += [(begin + start, begin + stop) for start, stop in piece.gaps]
        self._count += len(piece.waveform)
        self.end = until

    def part(self, begin: float, end: float) -> Media:
        waveform = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        self._parts = [waveform]
        first = round(begin * self._rate) - self._first
        stop = len(waveform) if end == math.inf else round(end * self._rate) - self._first
        gaps = tuple((max(a, begin) - begin, min(b, end) - begin) for a, b in self._gaps if b > begin and a < end)
        return Media(*_NO_PICTURE, waveform[first:stop], self._rate, "ok", min(end, self.end) - begin, (), gaps)

    def drop(self, before: float) -> None:
        count = min(max(0, round(before * self._rate) - self._first), self._count)
        self._parts = [np.concatenate(self._parts)[count:].copy()] if self._parts else []
        self._first, self._count = self._first + count, self._count - count
        self._gaps = [(a, b) for a, b in self._gaps if b > before]


class _Pictures:
    """Frames that wait to be described."""

    def __init__(self) -> None:
        self._frames: list[np.ndarray] = []
        self._times: list[float] = []
        self.end = 0.0

    def add(self, piece: Media, until: float) -> None:
        self._frames += list(piece.frames)
        self._times += (self.end + piece.frame_time).tolist()
        self.end = until

    def part(self, begin: float, end: float) -> Media:
        first, stop = (bisect_left(self._times, edge - 1e-6) for edge in (begin, end))
        frames = np.stack(self._frames[first:stop]) if stop > first else np.zeros((0, 0, 0, 3), np.uint8)
        times = np.array(self._times[first:stop]) - begin
        return Media(frames, times, np.zeros(0, np.float32), 1, "ok", min(end, self.end) - begin)

    def drop(self, before: float) -> None:
        count = bisect_left(self._times, before - 1e-6)
        del self._frames[:count], self._times[:count]


def joined(steps: list[Steps], dim: int) -> Steps:
    """Steps behind each other, as one."""
    if not steps:
        return no_steps(dim)
    vectors: list[Tensor] = [some.vectors for some in steps]
    return Steps(torch.cat(vectors), np.concatenate([some.time for some in steps]))
