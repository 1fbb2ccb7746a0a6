"""Roll: kept frames in order, of which the first are let go of again; a frame that stays long lies there once."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from avshot.media.canvas import KEPT_BYTES, Scaler, check_bytes


class Roll:
    """What `Canvas` is for a whole span, for a stream: frames come at its end and are let go of at its beginning.

    Args:
        size: Height and width of the frames, or None.
        short_side: Length of the shorter side, or None.
        max_bytes: Most bytes of frames that are asked for at once, and that wait.
        max_pixels: Largest decoded picture, whatever the file states.
    """

    def __init__(self, size: tuple[int, int] | None, short_side: int | None, max_bytes: int, max_pixels: int) -> None:
        self._scaler, self._most = Scaler(size, short_side, max_pixels), max_bytes
        self._kept: list[tuple[Any, int]] = []  # frames to scale, and the number behind the last that each answers
        self._stops: list[int] = []  # the same of the scaled ones
        self._frames: list[np.ndarray] = []

    @property
    def stored(self) -> list[tuple[int, int]]:
        """The sizes (width, height) of decoded frames, as they changed."""
        return self._scaler.stored

    def keep(self, frame: Any, first: int, count: int) -> None:
        """Put a frame behind the others, `count` times; `first` is how many there were so far."""
        pixels = self._scaler.check(frame)
        self._kept.append((frame, first + count))
        if len(self._kept) * 3 * pixels > KEPT_BYTES:
            self._scale()

    def frames(self, stop: int, first: int = 0) -> np.ndarray:
        """Those numbered `first` to `stop` from the beginning of the stream: uint8 `[frame, height, width, 3]`.

        None of them may have been let go of.
        """
        self._scale()
        if stop <= first:
            shape = self._frames[0].shape if self._frames else (0, 0, 3)
            return np.zeros((0, *shape), np.uint8)
        check_bytes(stop - first, self._frames[0].shape, self._most)
        which = [bisect.bisect_right(self._stops, number) for number in range(first, stop)]
        return np.stack([self._frames[i] for i in which])

    def drop(self, before: int) -> None:
        """Let go of the frames in front of number `before`; the last one stays for its shape."""
        self._scale()
        count = min(bisect.bisect_right(self._stops, before), len(self._stops) - 1)
        if count > 0:
            del self._stops[:count], self._frames[:count]

    def _scale(self) -> None:
        kept, self._kept = self._kept, []
        for frame, stop in kept:
            self._frames.append(self._scaler.scaled(frame).copy())
            self._stops.append(stop)
            check_bytes(len(self._frames), self._frames[0].shape, self._most)
