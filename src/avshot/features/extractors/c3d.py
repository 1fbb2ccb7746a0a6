"""Visual features from C3D (Tran et al., ICCV 2015), as AVCA, TCaF and AV-Diff use them: 4096 numbers in 16 frames.

25 frames a second, of 128 x 171 pixels, of which the middle 112 x 112 are seen; (x - mean) / deviation of each colour,
with the mean and deviation of Kinetics; `fc7` after ReLU; clips side by side, with zeros behind the last. The authors'
programs feed blue first, and for UCF and VGGSound inverted colours (an error in converting frames); ours feeds red
first unless `bgr` says otherwise, so features do not match the released files. The weights themselves were trained on
values up to 255 (`scaling=none`). Source: `cls_feature_extraction` of AVCA-GZSL; thesis section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._lit import as_clip, covering, seen
from avshot.features.extractors._released import ReleasedExtractor
from avshot.nn.nets.c3d import C3D, FRAMES, SIDE

if TYPE_CHECKING:
    from avshot.media import Media

SIZE = (128, 171)  # pixels to which frames are brought before their middle is cut out
SCALINGS = {  # mean and deviation of each colour in [0, 1], in the order that the network gets them
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "none": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
BATCH = 8  # clips at once


@dataclass(frozen=True)
class C3dVisual(ReleasedExtractor):
    """C3D's second fully connected layer for clips of 16 frames.

    Attributes:
        fps: Frames a second.
        hop: Seconds between clips, or 0 for clips side by side.
        scaling: "kinetics", as the papers feed it, or "none": from 0 to 255, as the program beside the weights does.
        bgr: Blue first, as the papers' programs feed it.
    """

    name: ClassVar[str] = "c3d"
    modality: ClassVar[str] = "visual"
    licence: ClassVar[str] = "MIT (the port); the Sports-1M weights for research"
    what: ClassVar[str] = "C3D"

    fps: float = 25.0
    hop: float = 0.0
    scaling: str = "kinetics"
    bgr: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scaling not in SCALINGS:
            raise BadSetting(f"c3d scaling is {self.scaling!r}; expected one of {', '.join(SCALINGS)}.")
        if not 0 < self.fps <= 1000 or not 0 <= self.hop < float("inf"):
            raise BadSetting(f"c3d fps is {self.fps} and hop {self.hop} s; expected a rate above 0, and 0 s or more.")

    @property
    def dim(self) -> int:
        """4096 in the released file."""
        return len(self._network.fc7.weight)

    @property
    def reach(self) -> float:
        """Half a clip, and as much for where the first one begins."""
        return FRAMES / self.fps

    def request(self) -> dict[str, Any]:
        """Frame rate and size (height, width); the aspect ratio is not kept."""
        return {"fps": self.fps, "size": SIZE}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Vectors `[clip, dim]` and the mean time of each clip's frames; no step for a black picture.

        Raises:
            ValueError: The frames are too small, or the checkpoint cannot be used.
        """
        frames, times = seen(media, SIDE, self.name)
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        starts = covering(len(frames), FRAMES, max(1, round(self.hop * self.fps)) if self.hop else FRAMES)

        def clips() -> Iterator[Tensor]:
            for first in range(0, len(starts), BATCH):
                some = (frames[start : start + FRAMES] for start in starts[first : first + BATCH])
                made = [as_clip(clip, SIDE, *SCALINGS[self.scaling], bgr=self.bgr) for clip in some]
                yield torch.stack([F.pad(clip, (0, 0, 0, 0, 0, FRAMES - clip.shape[1])) for clip in made])

        centres = np.array([times[start : start + FRAMES].mean() for start in starts], np.float32)
        return self._through(clips()), torch.from_numpy(centres)

    def _like(self, tensors: Mapping[str, Tensor]) -> C3D:
        return C3D.like(tensors)
