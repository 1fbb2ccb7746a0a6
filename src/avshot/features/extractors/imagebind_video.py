"""Visual features from ImageBind (Girdhar et al. 2023, https://arxiv.org/abs/2305.05665).

Two frames of two seconds, the short side at 224 pixels and the middle square of it. The authors average five such
windows and three squares of each over a clip; here every window has its own vector, of the middle square. Weights are
for research alone (CC-BY-NC 4.0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.features.extractors._imagebind import ImageBindWindows
from avshot.features.extractors._windows import WindowedPicture

PATCH, FRAMES = 14, 2


@dataclass(frozen=True)
class ImageBindVideo(ImageBindWindows, WindowedPicture):
    """ImageBind's embeddings of windows of video, in its space of pictures, sounds and texts.

    Attributes:
        checkpoint: The file `imagebind_huge.pth`.
        window: Seconds per window, or 0 for what the model was trained on (2 s).
        hop: Seconds between windows, or 0 for windows side by side.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "imagebind_video"
    tower: ClassVar[str] = "vision"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    device: str = "cpu"

    @property
    def _count(self) -> int:
        return FRAMES

    @cached_property
    def _side(self) -> int:
        """Pixels: the learnt places tell."""
        return PATCH * math.isqrt(self._model.places - 1)

    def _size(self) -> dict[str, Any]:
        return {"short_side": self._side}

    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        frames = [frame for window in windows for frame in window]
        images = self._processor(images=frames, input_data_format="channels_last", return_tensors="pt")
        pixels = images["pixel_values"].unflatten(0, (len(windows), FRAMES)).transpose(1, 2)
        found: Tensor = self._model(pixels.to(self.device))
        return found

    @cached_property
    def _processor(self) -> Any:
        """CLIP's preparation of pictures, which is ImageBind's."""
        from transformers import CLIPImageProcessorPil

        side = self._side
        return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
