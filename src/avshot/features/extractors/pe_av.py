"""Features of sound and picture together from PE-AV (Vyas et al. 2025, https://arxiv.org/abs/2512.19687).

One vector for a window of both, in one space with texts (text encoder `pe_av`). It stands where the visual features do,
and asks for the sound besides. A window without picture, or whose sound is silent, has no vector: `pe_audio` and
`pe_video` describe what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._pe import FRAMES, PeWindows
from avshot.features.extractors._windows import LEAST_FPS, frame_windows
from avshot.features.joint import joined, unit
from avshot.media.presence import lit, sounding

if TYPE_CHECKING:
    from avshot.media import Media


@dataclass(frozen=True)
class PeAudioVideo(PeWindows):
    """PE-AV's joint embeddings of windows.

    Attributes:
        checkpoint: Hub id such as `"facebook/pe-av-small-16-frame"`, or a folder with model and feature extractor.
        frames: Frames of a window, spread evenly. Checkpoints named "-16-frame" were trained with 16, others with all.
        window: Seconds per window, or 0 for 10.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "pe_av"
    modality: ClassVar[str] = "visual"
    text: ClassVar[str] = "pe_av"
    part: ClassVar[str] = "PeBoth"

    checkpoint: str
    frames: int = FRAMES
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 1:
            raise BadSetting(f"{self.name} frames is {self.frames}; expected at least 1.")

    @property
    def _fps(self) -> float:
        return max(self.frames / self._lengths()[0], LEAST_FPS)

    def request(self) -> dict[str, Any]:
        """Frame rate and size, and the sound at the model's rate."""
        return {"fps": self._fps, "size": (self._side, self._side), "rate": self._hertz, "want_audio": True}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit vectors `[window, dim]` and the centre of each window's frames in seconds.

        Windows are cut along the frames (`WindowedPicture`); the sound of a window is that of the time for which its
        frames stand.

        Raises:
            ValueError: The sound was decoded at another rate, or window and hop do not suit the model.
        """
        if len(media.waveform) and media.rate != self._hertz:
            raise BadSetting(
                f"Audio is sampled at {media.rate} Hz; {self.name} expects {self._hertz}: describe the sound by "
                "pe_audio, or by nothing, beside it."
            )
        kept = lit(media.frames)
        frames, times = media.frames[kept], np.asarray(media.frame_time, dtype=np.float64)[kept]
        (window, hop), fps = self._lengths(), self._fps
        parts, centres = [], []
        for start, end, pick in self._windows(len(frames), times, window * fps, hop * fps):
            piece = media.waveform[max(0, round(start * media.rate)) : round(end * media.rate)]
            if len(sounding(piece, media.rate)) == 0:
                continue
            with torch.inference_mode():
                parts.append(unit(self._model(self._sounds([piece]), self._pixels([frames[pick]]))))
            centres.append(times[pick].mean())
        return joined(parts, self.dim), torch.tensor(centres, dtype=torch.float32)

    def _windows(
        self, frames: int, times: np.ndarray, window: float, hop: float
    ) -> list[tuple[float, float, np.ndarray]]:
        """Start and end in seconds, and the frames taken, of each window."""
        half, width = 0.5 / self._fps, max(1, round(window))
        picks = frame_windows(frames, self.frames, window, hop)
        firsts = [frame[0] for frame in frame_windows(frames, width, window, hop)]
        lasts = [min(first + width, frames) - 1 for first in firsts]
        spans = zip(firsts, lasts, picks, strict=True)
        return [(float(times[first] - half), float(times[last] + half), pick) for first, last, pick in spans]
