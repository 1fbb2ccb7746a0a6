"""Windows as clips: for scorers that judge each window as a file of its own, however their extractors normalise it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from avshot.features.steps import Steps, StepScorer
from avshot.finding.buffers import Pictures, Sounds
from avshot.finding.steps import described, no_steps
from avshot.finding.windows import check_hop, checked, window_count
from avshot.media import Media
from avshot.types import MODALITIES

_TOGETHER = 64  # windows scored at once


@runtime_checkable
class ClipScorer(Protocol):
    """A `StepScorer` that wants each window described as a clip of `2 * reach` seconds."""

    def clips(self, audio: Sequence[Steps], visual: Sequence[Steps]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and shares of the sound `[window, class]` of windows, each with its own steps."""


class ClipFollower:
    """What `Follower` is for a `StepScorer`, for a `ClipScorer`.

    Each window is cut out of the recording and described as if it were a file of that length; at the ends of the
    recording it is shorter.

    Args:
        scorer: A `StepScorer` that is a `ClipScorer`, too.
        hop: Seconds between windows.
        look: There may be a picture.
    """

    def __init__(self, scorer: StepScorer, hop: float, *, look: bool = True) -> None:
        assert isinstance(scorer, ClipScorer)
        check_hop(hop)
        self._clips, self._names, self._reach, self._hop = scorer.clips, scorer.names, scorer.reach, hop
        self._extractors = dict(zip(MODALITIES, (scorer.audio, scorer.visual if look else None), strict=True))
        self._dims = {name: 0 if made is None else made.dim for name, made in self._extractors.items()}
        self._buffers: dict[str, Sounds | Pictures] = {"audio": Sounds(), "visual": Pictures()}
        self._next = 0

    def feed(self, piece: Media, until: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Follower.feed`."""
        for buffer in self._buffers.values():
            buffer.add(piece, until)
        stop = self._next
        while (stop + 0.5) * self._hop + max(self._reach, self._hop / 2) <= until + 1e-9:
            stop += 1
        return self._scored(stop)

    def finish(self, duration: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `Follower.finish`."""
        return self._scored(max(self._next, window_count(duration, self._hop)))

    def _scored(self, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        time = (np.arange(self._next, stop) + 0.5) * self._hop
        found = [self._batch(time[i : i + _TOGETHER]) for i in range(0, len(time), _TOGETHER)]
        self._next = stop
        for buffer in self._buffers.values():
            buffer.drop((stop + 0.5) * self._hop - self._reach)
        none = np.zeros((0, len(self._names)), np.float32)
        probability, sound = (np.concatenate([none, *(pair[i] for pair in found)]) for i in (0, 1))
        return time, probability, sound

    def _batch(self, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = {name: [self._steps(name, centre) for centre in time] for name in MODALITIES}
        return checked(*self._clips(steps["audio"], steps["visual"]), (len(time), len(self._names)))

    def _steps(self, modality: str, centre: float) -> Steps:
        extractor = self._extractors[modality]
        if extractor is None:
            return no_steps(self._dims[modality])
        begin = max(0.0, centre - self._reach)
        return described(extractor, self._buffers[modality].part(begin, centre + self._reach))
