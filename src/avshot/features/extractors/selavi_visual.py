"""Visual features from SeLaVi (Asano et al., NeurIPS 2020), as AVCA and its successors use them: 512 numbers a second.

30 frames of a second, short side 112, of which the middle 112 x 112 are seen; (x - 0.45) / 0.225; R(2+1)D of 18
layers, before its heads. The authors scale without smoothing, the reader here smooths. Source: AVCA's
`selavi_feature_extraction` (`get_clusters.py`, `datasets/`), thesis section 2.4; https://arxiv.org/abs/2006.13662.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import EDGE
from avshot.features.extractors._lit import as_clip, seen
from avshot.features.extractors._released import ReleasedExtractor
from avshot.features.extractors._seconds import second_starts
from avshot.nn.nets.r2plus1d import R2Plus1D

if TYPE_CHECKING:
    from avshot.media import Media

FRAMES = 30  # of a window of a second
MEAN, DEVIATION = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
LEAST = 16  # pixels; below that a map has no place left
BATCH = 4  # seconds at once


@dataclass(frozen=True)
class SelaviVisual(ReleasedExtractor):
    """SeLaVi's video network on windows of a second.

    Attributes:
        hop: Seconds between windows, or 0 for the places at which AVCA's program takes them (`second_starts`).
        side: Pixels of the square that is seen.
    """

    name: ClassVar[str] = "selavi_visual"
    modality: ClassVar[str] = "visual"
    licence: ClassVar[str] = "that of facebookresearch/selavi"
    what: ClassVar[str] = "video network of SeLaVi"
    unused: ClassVar[str] = r"audio_network\..*|mlp_[av]\d*\..*"
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^video_network\.base\.", ""),)

    hop: float = 0.0
    side: int = 112

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.hop < float("inf") or self.side < LEAST:
            raise BadSetting(
                f"selavi_visual hop is {self.hop} s and side {self.side}; expected 0 s and {LEAST} pixels at least."
            )

    @property
    def dim(self) -> int:
        """512 in the released files."""
        return 8 * len(self._network.stem[3].weight)

    @property
    def reach(self) -> float:
        """Half a second where windows are `hop` apart; otherwise they lie as the length of the clip says."""
        return 0.5 + EDGE if self.hop else math.inf

    def request(self) -> dict[str, Any]:
        """Frame rate, and the length of the short side."""
        return {"fps": float(FRAMES), "short_side": self.side}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Vectors `[second, dim]` and the mean time of each window's frames; no step for a black picture.

        A picture shorter than a second is one window, whose last frame is repeated.

        Raises:
            ValueError: The frames are too small, or the checkpoint cannot be used.
        """
        frames, times = seen(media, self.side, self.name)
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        starts = second_starts(len(frames), FRAMES, self.hop)
        rows = np.minimum(np.add.outer(starts, np.arange(FRAMES)), len(frames) - 1)

        def clips() -> Iterator[Tensor]:
            for first in range(0, len(rows), BATCH):
                some = (frames[row] for row in rows[first : first + BATCH])
                yield torch.stack([as_clip(clip, self.side, MEAN, DEVIATION) for clip in some])

        centres = np.array([times[np.unique(row)].mean() for row in rows], np.float32)
        return self._through(clips()), torch.from_numpy(centres)

    def _like(self, tensors: Mapping[str, Tensor]) -> R2Plus1D:
        return R2Plus1D.like(tensors)
