"""One vector for each frame: what extractors share whose models read single pictures."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.joint import JointExtractor, joined, unit
from avshot.media.presence import lit

if TYPE_CHECKING:
    from avshot.media import Media

MIDDLE_FPS = 5.0  # decoding rate when one frame is wanted: the middle is met within 0.1 s without keeping all frames
BATCH = 32  # frames through the model at once


class FramePicture(JointExtractor):
    """One vector for each frame.

    Attributes:
        frames: "middle", or frames per second as a number, for example "1".
    """

    modality: ClassVar[str] = "visual"
    frames: str

    def __post_init__(self) -> None:
        if self.frames != "middle" and not _is_rate(self.frames):
            raise BadSetting(
                f'{self.name} option frames is {self.frames!r}; expected "middle" or a rate above 0 such as 1.'
            )

    @abstractmethod
    def _short_side(self) -> int:
        """Pixels of the frames' short side: what the model's own preparation would reduce them to anyway."""

    @abstractmethod
    def _embed(self, frames: np.ndarray) -> Tensor:
        """Some frames `[frame, height, width, 3]` uint8 as `[frame, dim]` of any length."""

    def request(self) -> dict[str, Any]:
        """Frame rate, and the short side the processor would resize to anyway."""
        fps = MIDDLE_FPS if self.frames == "middle" else float(self.frames)
        return {"fps": fps, "short_side": self._short_side()}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit-length image embeddings `[time, dim]` and the frames' times; one step for "middle".

        Black frames at the ends are left out, and "middle" is the middle of the others.
        """
        kept = lit(media.frames)
        frames, times = media.frames[kept], np.asarray(media.frame_time, dtype=np.float32)[kept]
        if self.frames == "middle" and len(frames):
            middle = len(frames) // 2
            frames, times = frames[middle : middle + 1], times[middle : middle + 1]
        with torch.inference_mode():
            parts = [unit(self._embed(frames[start : start + BATCH])) for start in range(0, len(frames), BATCH)]
        return joined(parts, self.dim), torch.as_tensor(times)


def _is_rate(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
