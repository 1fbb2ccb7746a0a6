"""Visual features from VideoPrism-CLIP (Zhao et al. 2024, https://arxiv.org/abs/2402.13217) through transformers.

The video-text model of VideoPrism ("LvT"): 16 (some checkpoints: 8) frames of 288 by 288 pixels spread evenly over a
clip, values from 0 to 1, no further normalisation, the shape of the picture not kept. A window of 8 seconds, so two
frames a second, is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractors._windows import WindowedPicture

SECONDS = 8.0


@dataclass(frozen=True)
class VideoPrismVideo(WindowedPicture):
    """VideoPrism embeddings of windows, in the space it shares with text.

    Attributes:
        checkpoint: Hub id such as `"google/videoprism-lvt-base-f16r288"`, or a folder with the model.
        window: Seconds per window, or 0 for 8.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "videoprism"
    text: ClassVar[str] = "videoprism"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    @property
    def dim(self) -> int:
        """Width of the joint space."""
        return int(self._config.vision_config.hidden_size)

    def scale_and_bias(self) -> None:
        """None: the released weights hold neither; the temperature is the caller's to choose."""

    @property
    def _count(self) -> int:
        return int(self._config.vision_config.num_frames)

    @property
    def _usual(self) -> float:
        return SECONDS

    @cached_property
    def _pixels(self) -> tuple[int, int]:
        """Height and width."""
        stated = self._config.vision_config.image_size
        height, width = (stated, stated) if isinstance(stated, int) else stated
        return int(height), int(width)

    def _size(self) -> dict[str, Any]:
        return {"size": self._pixels}

    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        videos = np.stack([[resized(frame, self._pixels) for frame in window] for window in windows])
        pixels = torch.from_numpy(videos).permute(0, 1, 4, 2, 3).to(self.device).float() / 255
        return self._model.get_video_features(pixel_values_videos=pixels).pooler_output.reshape(len(windows), -1)

    @cached_property
    def _config(self) -> Any:
        from transformers import VideoPrismConfig

        return self._load(VideoPrismConfig)

    @cached_property
    def _model(self) -> Any:
        from transformers import VideoPrismClipModel

        return self._load_model(VideoPrismClipModel, unused=("text_",))


def resized(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame `[height, width, 3]` uint8 at another (height, width), bicubic; untouched where it has that size."""
    if frame.shape[:2] == size:
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BICUBIC))
