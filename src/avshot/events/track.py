"""Scores in time: how probable each name is in each window of one recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avshot.errors import BadSetting


@dataclass(frozen=True)
class Track:
    """How probable each of several names is over the time of one recording.

    Names do not exclude each other: a dog may bark while it rains. Where all are improbable, none of them happens.

    Attributes:
        file: The recording, as it was named.
        names: `[class]` what is looked for.
        time: `[window]` float64 centres of the windows in seconds, increasing, `hop` apart but for gaps; a window
            speaks for `time - hop / 2` to `time + hop / 2`.
        hop: Seconds.
        probability: `[window, class]` float32, 0 to 1: that this happens in the window.
        sound: `[window, class]` float32 share of the sound in the score, 0 to 1; None where it is not known.
        duration: Seconds of the recording.
        status: As `avshot.media.Media.status`: "ok", "no_audio", "truncated", "error: ..." and so on.
        notes: Sentences on what was left out or assumed.
    """

    file: str
    names: tuple[str, ...]
    time: np.ndarray
    hop: float
    probability: np.ndarray
    sound: np.ndarray | None = None
    duration: float = 0.0
    status: str = "ok"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.time), len(self.names))
        if self.probability.shape != shape or (self.sound is not None and self.sound.shape != shape):
            raise BadSetting(f"Scores of {self.file} are {self.probability.shape}; expected [window, class], {shape}.")
        if self.hop <= 0 or (np.diff(self.time) <= 0).any():
            raise BadSetting(f"Windows of {self.file} need a hop above 0 s and increasing times; got hop {self.hop} s.")
