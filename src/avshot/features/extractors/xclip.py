"""Visual features from X-CLIP (Ni et al. 2022, https://arxiv.org/abs/2208.02816) through transformers.

X-CLIP reads a whole clip as 8 (some checkpoints: 16 or 32) frames spread evenly over it; it was trained on Kinetics,
whose clips last 10 seconds. The model adds to a text what it sees in the video ("video-specific prompting"). Vectors
here are compared with texts as they are, without that, so that one pass over a recording serves any number of names;
scores differ from the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.features.extractors._windows import WindowedPicture

SECONDS = 10.0  # of a clip of Kinetics


@dataclass(frozen=True)
class XClipVideo(WindowedPicture):
    """X-CLIP video embeddings of windows, in the space X-CLIP shares with text.

    Attributes:
        checkpoint: Hub id such as `"microsoft/xclip-base-patch32"`, or a folder with model and image processor.
        window: Seconds per window, or 0 for what the model was trained on (10 s).
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "xclip"
    text: ClassVar[str] = "xclip"
    licence: ClassVar[str] = "MIT"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    @property
    def dim(self) -> int:
        """Width of X-CLIP's joint space."""
        return int(self._config.projection_dim)

    def scale_and_bias(self) -> tuple[float, float]:
        """X-CLIP's learnt scale, and no bias: it was trained with a softmax."""
        return self._model.logit_scale.exp().item(), 0.0

    @property
    def _count(self) -> int:
        return int(self._config.vision_config.num_frames)

    @property
    def _usual(self) -> float:
        return SECONDS

    def _size(self) -> dict[str, Any]:
        size = dict(self._processor.size)
        return {"short_side": int(size.get("shortest_edge") or min(size["height"], size["width"]))}

    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        frames = [frame for window in windows for frame in window]
        images = self._processor(images=frames, input_data_format="channels_last", return_tensors="pt")
        pixels = images["pixel_values"].unflatten(0, (len(windows), self._count)).to(self.device)
        return self._model.get_video_features(pixel_values=pixels).pooler_output

    @cached_property
    def _config(self) -> Any:
        from transformers import XCLIPConfig

        return self._load(XCLIPConfig)

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        return self._load(CLIPImageProcessorPil)

    @cached_property
    def _model(self) -> Any:
        from transformers import XCLIPModel

        return self._load_model(XCLIPModel, unused=("text_", "prompts_"))
