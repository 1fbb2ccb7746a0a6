"""Windows of sound and of frames: what a model reads at once is cut from a clip here, once for all extractors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import EDGE
from avshot.features.extractors._sound import heard, window_starts
from avshot.features.joint import JointExtractor, joined, unit
from avshot.media.presence import lit

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
    def reach(self) -> float:
        """Half a window, and a little for the edges."""
        return self._lengths()[0] / 2 + EDGE

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
        rate = self._rate
        window, hop = (max(1, round(seconds * rate)) for seconds in self._lengths())
        sound = heard(media, rate, self.name)
        if sound is None:
            return torch.zeros(0, self.dim), torch.zeros(0)
        starts = window_starts(len(sound.waveform), window, hop)
        pieces = [sound.waveform[start : start + window] for start in starts]
        with torch.inference_mode():
            parts = [unit(self._embed(pieces[i : i + WINDOWS])) for i in range(0, len(pieces), WINDOWS)]
        centres = np.array([start + len(piece) / 2 for start, piece in zip(starts, pieces, strict=True)])
        return torch.cat(parts), torch.from_numpy(sound.when(centres))


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
