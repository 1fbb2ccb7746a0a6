"""Visual features from SigLIP 2, or SigLIP, through transformers: each frame is one picture.

Tschannen et al. 2025, https://arxiv.org/abs/2502.14786; Zhai et al. 2023, https://arxiv.org/abs/2303.15343. Trained
with a sigmoid for each pair of picture and text, so that `sigmoid(scale * cosine + bias)` is a probability by itself
(equation 1 of the latter). Checkpoints of one size (`google/siglip2-base-patch16-224`) squeeze a frame into a square;
NaFlex ones (`google/siglip2-base-patch16-naflex`) keep its shape and cut it into at most 256 patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._frames import FramePicture


@dataclass(frozen=True)
class SiglipImage(FramePicture):
    """SigLIP image embeddings of frames, in the space SigLIP shares with text.

    Attributes:
        checkpoint: Hub id such as `"google/siglip2-base-patch16-224"`, or a folder with model and image processor.
        frames: Frames per second as a number, for example "1", or "middle" for one frame.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "siglip"
    text: ClassVar[str] = "siglip"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    frames: str = "1"
    revision: str = "main"
    device: str = "cpu"

    @property
    def dim(self) -> int:
        """Width of SigLIP's joint space."""
        return int(self._config.vision_config.hidden_size)

    def scale_and_bias(self) -> tuple[float, float]:
        """SigLIP's learnt scale and bias (about 112 and -17 in the published weights)."""
        return self._model.logit_scale.exp().item(), self._model.logit_bias.item()

    @property
    def _flexible(self) -> bool:
        return bool(self._config.model_type == "siglip2")

    def _short_side(self) -> int:
        processor = self._processor
        if self._flexible:  # of a square with all patches: the short side of no other shape is longer
            return max(1, math.isqrt(int(processor.max_num_patches))) * int(processor.patch_size)
        return int(min(processor.size["height"], processor.size["width"]))

    def _embed(self, frames: np.ndarray) -> Tensor:
        images = self._processor(images=list(frames), input_data_format="channels_last", return_tensors="pt")
        given = {key: images[key].to(self.device) for key in images}
        return self._model.get_image_features(**given).pooler_output

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        config = self._load(AutoConfig)
        if config.model_type not in ("siglip", "siglip2"):
            raise BadSetting(
                f"Weights {self.checkpoint!r} of extractor siglip are of the kind {config.model_type}; expected siglip "
                "or siglip2."
            )
        return config

    @cached_property
    def _processor(self) -> Any:
        from transformers import Siglip2ImageProcessorPil, SiglipImageProcessorPil

        return self._load(Siglip2ImageProcessorPil if self._flexible else SiglipImageProcessorPil)

    @cached_property
    def _model(self) -> Any:
        from transformers import Siglip2Model, SiglipModel

        return self._load_model(Siglip2Model if self._flexible else SiglipModel, unused=("text_",))
