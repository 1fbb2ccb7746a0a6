"""Visual features from EmbeddingGemma 2 (google/embeddinggemma-2) through transformers.

One space for texts, pictures, videos and sounds; here a window of video, one frame a second as in its own processor,
each as at most 70 tokens without a time stamp. That processor needs torchvision; frames are prepared by the one for
pictures with the same settings, whose resizing differs in single pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._embeddinggemma import GemmaWindows
from avshot.features.extractors._windows import WindowedPicture

MOST = 32  # frames
TOKENS = (70, 140, 280, 560, 1120)


@dataclass(frozen=True)
class EmbeddingGemmaVideo(GemmaWindows, WindowedPicture):
    """EmbeddingGemma 2's embeddings of windows of video.

    Attributes:
        checkpoint: Hub id such as `"google/embeddinggemma-2"`, or a folder with model, tokenizer and image processor.
        frames: Frames per second.
        tokens: Most tokens of a frame: 70, 140, 280, 560 or 1120.
        window: Seconds per window, or 0 for 10; at most 32 frames of it are read.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "embeddinggemma_video"
    without: ClassVar[str] = "audio_config"

    checkpoint: str
    frames: float = 1.0
    tokens: int = TOKENS[0]
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.frames < math.inf:
            raise BadSetting(f"{self.name} frames is {self.frames} a second; expected more than 0.")
        if self.tokens not in TOKENS:
            raise BadSetting(f"{self.name} tokens is {self.tokens}; expected one of {', '.join(map(str, TOKENS))}.")

    @property
    def _count(self) -> int:
        return min(MOST, max(1, round(self._lengths()[0] * self.frames)))

    def _size(self) -> dict[str, Any]:
        processor = self._processor  # of a square with all tokens: the short side of no other shape is longer
        return {"short_side": math.isqrt(self.tokens) * int(processor.pooling_kernel_size) * int(processor.patch_size)}

    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        frames = [frame for window in windows for frame in window]
        seen = self._processor(
            images=frames, input_data_format="channels_last", max_soft_tokens=self.tokens, return_tensors="pt"
        )
        count, config = int(seen["num_soft_tokens_per_image"][0]), self._config
        first, one, last = map(self._token, (config.boi_token_id, config.video_token_id, config.eoi_token_id))
        return self._mean(
            [(first + one * count + last) * self._count] * len(windows),
            pixel_values_videos=seen["pixel_values"].to(self.device),
            video_position_ids=seen["image_position_ids"].to(self.device),
            num_frames_per_video=torch.tensor([self._count] * len(windows), device=self.device),
        )

    @cached_property
    def _processor(self) -> Any:
        from transformers import Gemma4ImageProcessorPil

        return self._load(Gemma4ImageProcessorPil)
