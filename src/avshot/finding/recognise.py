"""Recognise: what a recording is about, as a ranking of names, from the same scores in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.events import Track


@dataclass(frozen=True)
class Recognised:
    """A name, and how probable it is that it happens in the recording.

    Attributes:
        name: In words.
        probability: The highest of its windows, 0 to 1; each name for itself, so they need not add up to 1.
        at: Seconds at which that is.
        sound: Share of the sound in it; None where it is not known.
    """

    name: str
    probability: float
    at: float
    sound: float | None = None


def ranked(track: Track) -> tuple[Recognised, ...]:
    """All names of a track by their mean probability over its windows; of equal ones the higher in some window first.

    The mean tells what a recording is about; the highest window alone may be a mistake of a moment. Without windows
    there is nothing to rank.
    """
    if not len(track.time):
        return ()
    best, mean = track.probability.argmax(axis=0), track.probability.mean(axis=0)
    highest = track.probability.max(axis=0)
    order = np.lexsort((-highest, -mean))
    return tuple(
        Recognised(
            track.names[i],
            float(highest[i]),
            float(track.time[best[i]]),
            None if track.sound is None else float(track.sound[best[i], i]),
        )
        for i in order
    )
