"""Visual features from a CLIP vision tower (Radford et al. 2021) through transformers.

`frames="middle"` is ClipClap's input: one frame from the middle of the clip, its image embedding L2-normalised
(Mercea et al., "Audio-Visual Generalized Zero-Shot Learning using Pre-Trained Large Multi-Modal Models", CVPRW 2024).
The authors' scripts feed BGR, and inverted colours for UCF (an error in converting frames); ours feeds RGB as the model
was trained, so features do not match the released files. `frames="4"` gives a sequence at 4 frames per second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, checkpoint_id, load_checkpoint
from avshot.media.presence import lit

if TYPE_CHECKING:
    from avshot.media import Media

MIDDLE_FPS = 5.0  # decoding rate when one frame is wanted: the middle is met within 0.1 s without keeping all frames
BATCH = 32  # frames through the model at once


@dataclass(frozen=True)
class ClipImage(Extractor):
    """CLIP image embeddings of frames, in the space CLIP shares with text.

    Attributes:
        checkpoint: Hub id such as `"openai/clip-vit-base-patch32"`, or a folder with model and image processor.
        frames: "middle", or frames per second as a number, for example "1".
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "clip"
    version: ClassVar[int] = 2  # 1 took black frames at the ends for a picture
    modality: ClassVar[str] = "visual"
    joint: ClassVar[bool] = True
    licence: ClassVar[str] = "the checkpoint's"
    size: ClassVar[str] = "600 MB (ViT-B/32)"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    frames: str = "middle"
    revision: str = "main"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.frames != "middle" and not _is_rate(self.frames):
            raise BadSetting(f'clip option frames is {self.frames!r}; expected "middle" or a rate above 0 such as 1.')

    @property
    def dim(self) -> int:
        """Width of CLIP's joint space."""
        return int(self._config.projection_dim)

    def request(self) -> dict[str, Any]:
        """Frame rate, and the short side the processor would resize to anyway."""
        size = dict(self._processor.size)
        side = size.get("shortest_edge") or min(size["height"], size["width"])
        return {"fps": MIDDLE_FPS if self.frames == "middle" else float(self.frames), "short_side": int(side)}

    def spec(self) -> dict[str, Any]:
        """Settings and the identity of the weights; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": checkpoint_id(self.name, self.checkpoint, self.revision)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit-length image embeddings `[time, dim]` and the frames' times; one step for "middle".

        Black frames at the ends are left out, and "middle" is the middle of the others.
        """
        kept = lit(media.frames)
        frames, times = media.frames[kept], np.asarray(media.frame_time, dtype=np.float32)[kept]
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        if self.frames == "middle":
            middle = len(frames) // 2
            frames, times = frames[middle : middle + 1], times[middle : middle + 1]
        parts = [self._embed(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
        return torch.cat(parts), torch.as_tensor(times)

    @torch.inference_mode()
    def _embed(self, frames: np.ndarray) -> Tensor:
        # Channels are named: the processor guesses their place otherwise, and guesses wrong for frames 3 pixels high.
        images = self._processor(images=list(frames), input_data_format="channels_last", return_tensors="pt")
        output = self._model.get_image_features(pixel_values=images["pixel_values"].to(self.device))
        return F.normalize(output.pooler_output.float(), dim=1).cpu().clone()

    def _load(self, kind: Any) -> Any:
        return load_checkpoint(kind, self.name, self.checkpoint, self.revision)

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

        return self._load(CLIPModel).eval().to(self.device)


def _is_rate(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
