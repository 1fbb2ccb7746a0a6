"""Visual features from S3D trained on HowTo100M (Miech et al., CVPR 2020), as ReGaDa and AC use them: one a second.

16 frames of each second, short side 256, of which the middle 224 x 224 are seen, in [0, 1]; the mean of `mixed_5c`,
1024 wide, or the 512 numbers in the space that `s3d` class vectors lie in. AC's program feeds blue first (frames as
OpenCV reads them); ours feeds red first, as the network was trained, unless `bgr` says otherwise. Source:
`extract_s3d_features.py` of dmoltisanti/air-cvpr23; thesis section 6.4; https://arxiv.org/abs/1912.06430.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._lit import as_clip, covering, seen
from avshot.features.extractors._released import ReleasedExtractor
from avshot.nn.nets.s3d import S3D

if TYPE_CHECKING:
    from avshot.media import Media

SHORT_SIDE = 256 / 224  # of what is seen; `extract_rgb_frames.py` there
LAYERS = ("mixed_5c", "joint")
LEAST = 32  # pixels; below that a map has no place left
BATCH = 4  # windows at once


@dataclass(frozen=True)
class S3dVisual(ReleasedExtractor):
    """S3D features of windows.

    Attributes:
        layer: "mixed_5c", or "joint" for the space that S3D shares with text.
        window: Seconds of a window.
        frames: Frames of a window, an even number.
        hop: Seconds between windows, or 0 for windows side by side.
        side: Pixels of the square that is seen, an even number.
        bgr: Blue first, as AC's program feeds it.
    """

    name: ClassVar[str] = "s3d"
    modality: ClassVar[str] = "visual"
    licence: ClassVar[str] = "not stated in the release; ask its authors"
    what: ClassVar[str] = "S3D of HowTo100M"

    layer: str = "mixed_5c"
    window: float = 1.0
    frames: int = 16
    hop: float = 0.0
    side: int = 224
    bgr: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer not in LAYERS:
            raise BadSetting(f"s3d layer is {self.layer!r}; expected one of {', '.join(LAYERS)}.")
        if self.frames < 4 or self.frames % 2 or self.side < LEAST or self.side % 2:
            raise BadSetting(
                f"s3d frames is {self.frames} and side {self.side}; expected even numbers, 4 and {LEAST} at least."
            )
        if not 0 < self.window < float("inf") or not 0 <= self.hop < float("inf"):
            raise BadSetting(
                f"s3d window is {self.window} s and hop {self.hop} s; expected more than 0, and 0 or more."
            )

    @property
    def dim(self) -> int:
        """1024 for mixed_5c and 512 for joint in the released file."""
        fc = self._network.fc
        return int(fc.in_features if self.layer == "mixed_5c" else fc.out_features)

    def request(self) -> dict[str, Any]:
        """Frame rate, and the length of the short side."""
        return {"fps": self.frames / self.window, "short_side": round(self.side * SHORT_SIDE)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Vectors `[window, dim]` and the mean time of each window's frames; no step for a black picture.

        A rest shorter than a window is spread over its frames: some are repeated.

        Raises:
            ValueError: The frames are too small, or the checkpoint cannot be used.
        """
        frames, times = seen(media, self.side, self.name)
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        hop = max(1, round((self.hop or self.window) * self.frames / self.window))
        starts = covering(len(frames), self.frames, hop)
        ends = np.minimum(np.array(starts) + self.frames, len(frames)) - 1
        rows = np.linspace(starts, ends, self.frames, axis=1).astype(int)

        def clips() -> Iterator[Tensor]:
            for first in range(0, len(rows), BATCH):
                some = (frames[row] for row in rows[first : first + BATCH])
                yield torch.stack([as_clip(clip, self.side, (0, 0, 0), (1, 1, 1), bgr=self.bgr) for clip in some])

        centres = np.array([times[start : end + 1].mean() for start, end in zip(starts, ends, strict=True)], np.float32)
        return self._through(clips()), torch.from_numpy(centres)

    def _like(self, tensors: Mapping[str, Tensor]) -> S3D:
        return S3D.like(tensors)

    def _of_network(self, batch: Tensor) -> Tensor:
        mean, joint = self._network(batch)
        return mean if self.layer == "mixed_5c" else joint
