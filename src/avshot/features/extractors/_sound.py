"""The sounding part of a clip, and where windows of it begin, for extractors that hear one window at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avshot.errors import BadSetting
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from avshot.media import Media


@dataclass(frozen=True)
class Sounding:
    """What sounds of a clip, its stretches joined: silence at the ends, and gaps, are left out.

    Attributes:
        waveform: float32 `[sample]`.
        edges: First sample of each stretch in the clip, and one behind its last: `[stretch, 2]`.
        rate: Hz.
    """

    waveform: np.ndarray
    edges: np.ndarray
    rate: int

    def when(self, places: np.ndarray) -> np.ndarray:
        """Seconds in the clip of places `[place]` in the joined waveform, float32."""
        return (_before_joining(places, self.edges) / self.rate).astype(np.float32)


def heard(media: Media, rate: int, name: str) -> Sounding | None:
    """What sounds of a clip; None where nothing does.

    Args:
        media: A clip.
        rate: Hz that are expected.
        name: Of the extractor, for the message.

    Raises:
        ValueError: The clip was decoded at another rate.
    """
    if media.rate != rate:
        raise BadSetting(f"Audio is sampled at {media.rate} Hz; {name} expects {rate}. Decode with request().")
    spans = sounding(media.waveform, rate, media.gaps)
    if len(spans) == 0:
        return None
    edges = (spans * rate).round().astype(int)
    stretches = [media.waveform[start:stop] for start, stop in edges]
    return Sounding(stretches[0] if len(stretches) == 1 else np.concatenate(stretches), edges, rate)


def _before_joining(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Where places `[place]` of joined stretches lay before, given the first and last sample of each stretch."""
    ends = np.cumsum(edges[:, 1] - edges[:, 0])
    which = np.minimum(np.searchsorted(ends, places, side="right"), len(edges) - 1)
    return np.asarray(places + (edges[:, 1] - ends)[which])


def window_starts(count: int, window: int, hop: float) -> list[int]:
    """First step of each window that covers `count` samples or frames; always at least one.

    A rest shorter than half a hop is left out. `hop` need not be whole.

    Example:
        >>> window_starts(25, 10, 10), window_starts(24, 10, 10), window_starts(3, 10, 10)
        ([0, 10, 20], [0, 10], [0])
    """
    extra = max(0, count - window)
    return [round(i * hop) for i in range(1 + int(extra / hop + 0.5))]


def windows(waveform: np.ndarray, starts: list[int], length: int) -> np.ndarray:
    """Windows `[window, length]` float32; what lies behind the end is zero."""
    found = np.zeros((len(starts), length), np.float32)
    for row, start in zip(found, starts, strict=True):
        piece = waveform[start : start + length]
        row[: len(piece)] = piece
    return found
