"""Steps of a recording of any length: what an extractor makes of the whole, stretch by stretch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractor import Extractor
from avshot.features.steps import Steps
from avshot.finding.buffers import Pictures, Sounds
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
        self._buffer: Sounds | Pictures = Sounds() if extractor.modality == "audio" else Pictures()
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
        found = described(self._extractor, media)
        time = begin + found.time
        after = self._last + (self._hop / 2 or _STRANGE)
        new = (time > after) & (time < until)
        if new.any():
            self._last = float(time[new][-1])
        return Steps(found.vectors[torch.from_numpy(new)], time[new])


def described(extractor: Extractor, media: Media) -> Steps:
    """What an extractor makes of a piece of a recording, in seconds from its beginning.

    As in `avshot.features.describe`, what is silent or black throughout is not described.
    """
    if lit(media.frames).any() or len(sounding(media.waveform, media.rate, media.gaps)) > 0:
        vectors, time = extractor(media)
        return Steps(vectors, np.asarray(time, np.float64))
    return no_steps(extractor.dim)


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


def joined(steps: list[Steps], dim: int) -> Steps:
    """Steps behind each other, as one."""
    if not steps:
        return no_steps(dim)
    vectors: list[Tensor] = [some.vectors for some in steps]
    return Steps(torch.cat(vectors), np.concatenate([some.time for some in steps]))
