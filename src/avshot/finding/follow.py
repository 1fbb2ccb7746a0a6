"""Follow a recording: pieces of picture and sound in, scored windows out. Files and pipes are both followed so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from avshot.features.describe import Job
from avshot.features.steps import StepScorer
from avshot.finding.clips import ClipFollower, ClipScorer
from avshot.finding.steps import StepFlow
from avshot.finding.windows import Windows
from avshot.media import Media
from avshot.types import MODALITIES

Scores = tuple[np.ndarray, np.ndarray, np.ndarray]  # times, probabilities, shares of the sound


class Follower:
    """Describes and scores one recording as it comes.

    Args:
        scorer: Scores the windows.
        hop: Seconds between windows.
        seconds: Of the stretches that are described at a time: more is faster, fewer tell earlier.
        look: There may be a picture.
    """

    def __init__(self, scorer: StepScorer, hop: float, seconds: float, *, look: bool = True) -> None:
        extractors = dict(zip(MODALITIES, (scorer.audio, scorer.visual if look else None), strict=True))
        self._flows = {name: StepFlow(made, seconds) for name, made in extractors.items() if made is not None}
        self._windows = Windows(scorer, hop)

    def feed(self, piece: Media, until: float) -> Scores:
        """Take the next piece, which ends at `until` seconds; gives the windows that can be scored by then."""
        for name, flow in self._flows.items():
            for steps in flow.feed(piece, until):
                self._windows.add(name, steps)
        return self._windows.scored(min(flow.known for flow in self._flows.values()))

    def finish(self, duration: float) -> Scores:
        """The windows that are left; the recording is over after `duration` seconds."""
        for name, flow in self._flows.items():
            for steps in flow.finish():
                self._windows.add(name, steps)
        return self._windows.scored(math.inf, duration)


def follow(scorer: StepScorer, hop: float, seconds: float, *, look: bool = True) -> Follower | ClipFollower:
    """What follows a recording for a scorer; arguments as for `Follower`."""
    if isinstance(scorer, ClipScorer):
        return ClipFollower(scorer, hop, look=look)
    return Follower(scorer, hop, seconds, look=look)


def request_of(scorer: StepScorer) -> dict[str, Any]:
    """Keyword arguments of `avshot.media.stream` for what a scorer's extractors read.

    Raises:
        ValueError: It has no extractor at all, or one of the other modality.
    """
    return Job(scorer.audio, scorer.visual, store="").request()


def warm_up(scorer: StepScorer) -> None:
    """Describe a second of noise, so that weights are loaded and a broken extractor shows before the first file."""
    Job(scorer.audio, scorer.visual, store="").warm_up()
