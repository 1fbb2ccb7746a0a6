"""What reading one file may cost, and the error of a file that costs more or cannot be used."""

from __future__ import annotations

import time
from dataclasses import dataclass


class BadFileError(Exception):
    """The file cannot be used, or a limit is reached; the message is a sentence without its full stop."""


@dataclass(frozen=True)
class Limits:
    """What `read` refuses to exceed: the file then gets an "error: ..." status that says what to ask instead.

    Attributes:
        seconds: Longest span; longer files are read in parts (`start`, `end`).
        bytes: Largest array of frames.
        pixels: Largest picture, stated or decoded; guards against absurd sizes.
        patience: Seconds (of the wall clock) that reading may take whatever the length, and half of it for the header
            or without a single packet: enough for an ordinary file on a slow disk, too little for gigabytes of padding.
        pace: Seconds that reading may take besides for every second of the file that has been decoded. 20 is far more
            than 8K pictures need on one core.
        rate: Most pictures decoded for a second of the file; no camera takes more, flipped bits do.
    """

    seconds: float = 3600.0  # an hour of sound at 48 kHz is 0.7 GB before resampling
    bytes: int = 4 << 30  # an hour of 25 fps at 48x64 is 0.8 GiB
    pixels: int = 1 << 26  # twice 8K
    patience: float = 20.0
    pace: float = 20.0
    rate: float = 1000.0


class Watch:
    """Stops reading that takes far longer than the length of the file explains."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._begun = limits, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that opening the file may still take: half of the patience, and no more than is left of it."""
        spent = time.monotonic() - self._begun
        return max(0.5, min(self._limits.patience / 2, self._limits.patience - spent))

    def rest(self, seconds: float) -> None:
        """Take no account of the last `seconds` of the wall clock, in which somebody else worked."""
        self._begun += seconds

    def check(self, seconds: float) -> None:
        """Raise BadFileError when `seconds` of the file took longer than they may."""
        spent, limits = time.monotonic() - self._begun, self._limits
        if spent > limits.patience + limits.pace * max(0.0, seconds):
            raise BadFileError(
                f"reading took {spent:.0f} s and had come to {max(0.0, seconds):.1f} s of it, more than "
                "limits.patience and limits.pace allow: it is padded or damaged, or the machine is very slow"
            )
