"""Windows of sound and of frames: what a model reads at once is cut from a clip here, once for all extractors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.joint import JointExtractor, joined, unit
from avshot.media.presence import lit, sounding

if TYPE_CHECKING:
    from avshot.media import Media

LEAST_FPS = (
    4.0  # frames are decoded at least this often, so that a clip shorter than a window has several to choose from
)
FRAMES = 32  # frames through a model at once
WINDOWS = 8  # windows of sound through a model at once


class Windowed(JointExtractor):
    """An extractor that reads a clip in windows.

    Attributes:
        window: Seconds per window, or 0 for what the model was trained on.
        hop: Seconds between windows, or 0 for windows side by side.
    """

    window: float
    hop: float

    def __post_init__(self) -> None:
        if not (0 <= self.window < math.inf and 0 <= self.hop < math.inf):
            raise BadSetting(f"{self.name} window is {self.window} s and hop {self.hop} s; expected 0 or more.")
        if self.hop > (self.window or self.hop):
            raise BadSetting(
                f"{self.name} hop is {self.hop} s and window {self.window} s; expected hop <= window: nothing is left "
                "out between windows."
            )

    @property
    @abstractmethod
    def _usual(self) -> float:
        """Seconds of a window as the model was trained."""

    @property
    def _longest(self) -> float:
        """Seconds that the model takes at most."""
        return math.inf

    def _lengths(self) -> tuple[float, float]:
        """Window and hop in seconds. Raises ValueError where they do not suit the model."""
        window = self.window or self._usual
        hop = self.hop or window
        if not hop <= window <= self._longest:
            raise BadSetting(
                f"{self.name} window is {window} s, hop {hop} s; expected hop <= window <= {self._longest} s, "
                "the most the model takes."
            )
        return window, hop


class WindowedSound(Windowed):
    """One vector for each window of sound."""

    modality: ClassVar[str] = "audio"

    @property
    @abstractmethod
    def _rate(self) -> int:
        """Hz of the sound that the model reads."""

    @abstractmethod
    def _embed(self, pieces: list[np.ndarray]) -> Tensor:
        """Some windows, each `[sample]` float32 of at least one sample, as `[window, dim]` of any length."""

    def request(self) -> dict[str, Any]:
        """The sampling rate of the model."""
        return {"rate": self._rate}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit vectors `[window, dim]` and the centre of each window's real sound in seconds.

        Digital silence at the ends, and gaps, are left out before windows are cut; a window may reach over a gap. A
        clip shorter than a window is one step; a rest shorter than half a hop joins no window of its own.

        Raises:
            ValueError: The clip was decoded at another rate, or window and hop do not suit the model.
        """
        rate, (window, hop) = self._rate, self._lengths()
        if media.rate != rate:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; {self.name} expects {rate}. Decode with request().")
        pieces, centres = sound_windows(media, max(1, round(window * rate)), max(1, round(hop * rate)))
        with torch.inference_mode():
            parts = [unit(self._embed(pieces[i : i + WINDOWS])) for i in range(0, len(pieces), WINDOWS)]
        return joined(parts, self.dim), torch.from_numpy(centres)


class WindowedPicture(Windowed):
    """One vector for each window of frames; a window gives so many frames, spread evenly over it."""

    modality: ClassVar[str] = "visual"

    @property
    @abstractmethod
    def _count(self) -> int:
        """Frames that the model reads at once."""

    @abstractmethod
    def _size(self) -> dict[str, Any]:
        """How large frames are decoded: `short_side` or `size` of `avshot.media.read`."""

    @abstractmethod
    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        """Some windows, each `[frame, height, width, 3]` uint8, as `[window, dim]` of any length."""

    @property
    def _fps(self) -> float:
        return max(self._count / self._lengths()[0], LEAST_FPS)

    def request(self) -> dict[str, Any]:
        """Frame rate and size."""
        return {"fps": self._fps, **self._size()}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit vectors `[window, dim]` and the mean time of each window's frames in seconds.

        Black frames at the ends are left out before windows are cut. A window of which the clip holds a part is filled
        from that part, evenly, with repeats where it has too few frames; so is a clip shorter than a window. A rest
        shorter than half a hop joins no window of its own.

        Raises:
            ValueError: Window and hop do not suit the model.
        """
        kept = lit(media.frames)
        frames, times = media.frames[kept], np.asarray(media.frame_time, dtype=np.float64)[kept]
        (window, hop), fps = self._lengths(), self._fps
        picks = frame_windows(len(frames), self._count, window * fps, hop * fps)
        parts, most = [], max(1, FRAMES // self._count)
        with torch.inference_mode():
            for first in range(0, len(picks), most):
                parts.append(unit(self._embed([frames[pick] for pick in picks[first : first + most]])))
        centres = [times[pick].mean() for pick in picks]
        return joined(parts, self.dim), torch.tensor(centres, dtype=torch.float32)


def sound_windows(media: Media, window: int, hop: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The windows of what sounds in a clip, joined over gaps, and the centre of each.

    Args:
        media: A decoded clip.
        window: Samples per window.
        hop: Samples between windows.

    Returns:
        Pieces `[sample]`, none longer than a window, and their centres `[window]` float32 in seconds; none where
        nothing sounds.
    """
    edges = (sounding(media.waveform, media.rate, media.gaps) * media.rate).round().astype(int)
    if len(edges) == 0:
        return [], np.zeros(0, np.float32)
    stretches = [media.waveform[start:stop] for start, stop in edges]
    waveform = stretches[0] if len(stretches) == 1 else np.concatenate(stretches)
    starts = window_starts(len(waveform), window, hop)
    pieces = [waveform[start : start + window] for start in starts]
    centres = np.array([start + len(piece) / 2 for start, piece in zip(starts, pieces, strict=True)])
    return pieces, (_before_joining(centres, edges) / media.rate).astype(np.float32)


def frame_windows(frames: int, count: int, window: float, hop: float) -> list[np.ndarray]:
    """Which `count` frames each window takes, spread evenly over the frames that it holds.

    Args:
        frames: Frames of the clip.
        count: Frames of a window.
        window: Length of a window in frames; need not be whole.
        hop: Frames between windows; need not be whole.

    Returns:
        `[count]` indices for each window, never decreasing; no window without frames.

    Example:
        >>> [pick.tolist() for pick in frame_windows(8, 2, 4, 4)], frame_windows(1, 3, 4, 4)[0].tolist()
        ([[1, 3], [5, 7]], [0, 0, 0])
    """
    if frames == 0:
        return []
    width = max(1, round(window))
    picks = []
    for start in window_starts(frames, width, max(hop, 1.0)):
        held = min(width, frames - start)
        picks.append(start + ((np.arange(count) + 0.5) * held / count).astype(int))
    return picks


def window_starts(samples: int, window: int, hop: float) -> list[int]:
    """First sample of each window that covers `samples` samples; always at least one.

    A rest shorter than half a hop is left out.

    Example:
        >>> window_starts(25, 10, 10), window_starts(24, 10, 10), window_starts(3, 10, 10)
        ([0, 10, 20], [0, 10], [0])
    """
    extra = max(0, samples - window)
    return [round(i * hop) for i in range(1 + int(extra / hop + 0.5))]


def _before_joining(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Where places `[place]` of joined stretches lay before, given the first and last sample of each stretch."""
    ends = np.cumsum(edges[:, 1] - edges[:, 0])
    which = np.minimum(np.searchsorted(ends, places, side="right"), len(edges) - 1)
    return np.asarray(places + (edges[:, 1] - ends)[which])
