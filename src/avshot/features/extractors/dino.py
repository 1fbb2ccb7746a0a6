"""Visual features from DINO (Caron et al., ICCV 2021) through transformers, EZ-AVGZL's encoder of pictures in Table 7.

The class token behind the last layer, of frames prepared as DINO's own evaluation does: short side 256, the middle 224
x 224, the mean and deviation of ImageNet. (The image processor beside the checkpoints on the hub says 0.5 for all of
them, which is not what DINO was trained with, so it is not asked.) EZ-AVGZL says neither which size of DINO it took
nor how many frames a second: here one. https://arxiv.org/abs/2104.14294; `eval_knn.py` of facebookresearch/dino.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, checkpoint_id, load_checkpoint
from avshot.features.extractors._lit import as_clip, seen
from avshot.files.hub import load_pretrained

if TYPE_CHECKING:
    import numpy as np

    from avshot.media import Media

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORT_SIDE = 256 / 224  # of what is seen
BATCH = 32  # frames at once


@dataclass(frozen=True)
class DinoVisual(Extractor):
    """DINO's class token of frames.

    Attributes:
        checkpoint: Hub id such as `"facebook/dino-vitb16"`, or a folder with the model.
        fps: Frames a second.
        side: Pixels of the square that is seen, a multiple of the model's patch.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "dino"
    modality: ClassVar[str] = "visual"
    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    fps: float = 1.0
    side: int = 224
    revision: str = "main"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000 or self.side < 1:
            raise BadSetting(f"dino fps is {self.fps} and side {self.side}; expected more than 0 of both.")

    @property
    def dim(self) -> int:
        """Width of the model (768 in ViT-B)."""
        return int(self._config.hidden_size)

    def request(self) -> dict[str, Any]:
        """Frame rate, and the length of the short side."""
        return {"fps": self.fps, "short_side": round(self.side * SHORT_SIDE)}

    def spec(self) -> dict[str, Any]:
        """Settings and the identity of the weights; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": checkpoint_id(self.name, self.checkpoint, self.revision)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Class tokens `[frame, dim]` and the frames' times; no step for a black picture.

        Raises:
            ValueError: The frames are too small, or the checkpoint cannot be used.
        """
        frames, times = seen(media, self.side, self.name)
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        parts = [self._embed(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
        return torch.cat(parts), torch.from_numpy(times)

    @torch.inference_mode()
    def _embed(self, frames: np.ndarray) -> Tensor:
        images = as_clip(frames, self.side, MEAN, DEVIATION).transpose(0, 1).to(self.device)
        other = self.side != self._config.image_size  # places are then interpolated, as in DINO's own program
        output = self._model(pixel_values=images, interpolate_pos_encoding=other)
        return output.last_hidden_state[:, 0].float().cpu().clone()

    @cached_property
    def _config(self) -> Any:
        from transformers import ViTConfig

        found = load_checkpoint(ViTConfig, self.name, self.checkpoint, self.revision)
        if self.side % found.patch_size:
            raise BadSetting(f"dino side is {self.side}; expected a multiple of {found.patch_size}, the model's patch.")
        return found

    @cached_property
    def _model(self) -> Any:
        from transformers import ViTModel

        what = f"Weights {self.checkpoint!r} of extractor 'dino'"
        loaded, info = load_pretrained(
            ViTModel, self.checkpoint, what, "nothing more", revision=self.revision, output_loading_info=True
        )
        # transformers fills what a checkpoint lacks with random numbers; the pooler stands behind what is used.
        lacking = [key for key in sorted(info["missing_keys"]) if not key.startswith("pooler.")]
        if lacking:
            raise BadSetting(
                f"{what} lack {len(lacking)} of a ViT ({', '.join(lacking[:3])}); give the whole checkpoint."
            )
        return loaded.eval().to(self.device)
