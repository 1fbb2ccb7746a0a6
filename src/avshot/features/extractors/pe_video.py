"""Visual features from PE-AV (Vyas et al. 2025, https://arxiv.org/abs/2512.19687) through transformers: picture alone.

Frames of 336 by 336 pixels, their shape not kept, through PE core, and their vectors through a transformer over time; a
window is one vector, in one space with PE-AV's sounds (`pe_audio`), and with texts through a head of their own (text
encoder `pe_video`). transformers builds PE core by timm, which avshot does without: `avshot.nn.pe_core`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._pe import FRAMES, PeWindows
from avshot.features.extractors._windows import WindowedPicture


@dataclass(frozen=True)
class PeVideo(PeWindows, WindowedPicture):
    """PE-AV's video embeddings of windows.

    Attributes:
        checkpoint: Hub id such as `"facebook/pe-av-small-16-frame"`, or a folder with the model.
        frames: Frames of a window, spread evenly. Checkpoints named "-16-frame" were trained with 16, others with all.
        window: Seconds per window, or 0 for 10.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "pe_video"
    text: ClassVar[str] = "pe_video"
    part: ClassVar[str] = "PePicture"

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
    def _count(self) -> int:
        return self.frames

    def _size(self) -> dict[str, Any]:
        return {"size": (self._side, self._side)}

    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        found: Tensor = self._model(self._pixels(windows))
        return found
