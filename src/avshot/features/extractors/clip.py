"""Visual features from a CLIP vision tower (Radford et al. 2021) through transformers.

`frames="middle"` is ClipClap's input: one frame from the middle of the clip, its image embedding L2-normalised
(Mercea et al., "Audio-Visual Generalized Zero-Shot Learning using Pre-Trained Large Multi-Modal Models", CVPRW 2024).
The authors' scripts feed BGR, and inverted colours for UCF (an error in converting frames); ours feeds RGB as the model
was trained, so features do not match the released files. `frames="4"` gives a sequence at 4 frames per second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.features.extractors._frames import FramePicture


@dataclass(frozen=True)
class ClipImage(FramePicture):
    """CLIP image embeddings of frames, in the space CLIP shares with text.

    Attributes:
        checkpoint: Hub id such as `"openai/clip-vit-base-patch32"`, or a folder with model and image processor.
        frames: "middle", or frames per second as a number, for example "1".
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "clip"
    version: ClassVar[int] = 2  # 1 took black frames at the ends for a picture
    text: ClassVar[str] = "clip"
    licence: ClassVar[str] = "MIT"
    size: ClassVar[str] = "600 MB (ViT-B/32)"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    frames: str = "middle"
    revision: str = "main"
    device: str = "cpu"

    @property
    def dim(self) -> int:
        """Width of CLIP's joint space."""
        return int(self._config.projection_dim)

    def scale_and_bias(self) -> tuple[float, float]:
        """CLIP's learnt scale (100 in OpenAI's weights), and no bias: it was trained with a softmax."""
        return self._model.logit_scale.exp().item(), 0.0

    def _short_side(self) -> int:
        size = dict(self._processor.size)
        return int(size.get("shortest_edge") or min(size["height"], size["width"]))

    def _embed(self, frames: np.ndarray) -> Tensor:
        # Channels are named: the processor guesses their place otherwise, and guesses wrong for frames 3 pixels high.
        images = self._processor(images=list(frames), input_data_format="channels_last", return_tensors="pt")
        output = self._model.get_image_features(pixel_values=images["pixel_values"].to(self.device))
        return output.pooler_output

    @cached_property
    def _config(self) -> Any:
        from transformers import CLIPConfig

        return self._load(CLIPConfig)

    @cached_property
    def _processor(self) -> Any:
        from transformers import CLIPImageProcessorPil

        # Named, not Auto: where a matching torchvision exists Auto picks another resize with slightly other pixels.
        return self._load(CLIPImageProcessorPil)

    @cached_property
    def _model(self) -> Any:
        from transformers import CLIPModel

        return self._load_model(CLIPModel, unused=("text_",))
