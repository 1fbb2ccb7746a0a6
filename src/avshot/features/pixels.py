"""Visual descriptor without weights: what a frame looks like, how it moves, and which colours it holds.

Each frame gives five blocks of numbers of roughly unit size:

- appearance: brightness on a grid, mean 0 and deviation 1 over the clip;
- change: brightness of each grid cell minus its mean over the clip (moving lips on a still face);
- motion: absolute difference to the frame before, averaged over each cell (how much moves where);
- colour grid: the opponent colours red-green and blue-yellow on a coarser grid;
- palette: share of saturated pixels per hue (soft bins), and of dark, grey and bright ones (what colour is there,
  wherever it is).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.features.extractor import Extractor

if TYPE_CHECKING:
    from avshot.media import Media

CHUNK = 256  # frames worked on at once, so that memory does not grow with the clip
CHANGE_GAIN, MOTION_GAIN, COLOUR_GAIN, PALETTE_GAIN = 20.0, 20.0, 5.0, 5.0  # bring each block to about unit size


@dataclass(frozen=True)
class Pixels(Extractor):
    """Appearance, change, motion and colour of frames, in steps of `hop` seconds.

    Attributes:
        hop: Seconds per time step.
        stack: Frames per step, spaced `hop / stack` seconds.
        height: Rows the frames are decoded to.
        width: Columns the frames are decoded to.
        rows: Rows of the brightness grid; must divide `height`.
        columns: Columns of the brightness grid; must divide `width`.
        colour_rows: Rows of the colour grid; must divide `height`.
        colour_columns: Columns of the colour grid; must divide `width`.
        hues: Bins of the colour circle.
    """

    name: ClassVar[str] = "pixels"
    modality: ClassVar[str] = "visual"

    hop: float = 0.08
    stack: int = 1
    height: int = 48
    width: int = 64
    rows: int = 12
    columns: int = 16
    colour_rows: int = 6
    colour_columns: int = 8
    hues: int = 12

    def __post_init__(self) -> None:
        if self.hop <= 0 or self.stack < 1 or self.hues < 1:
            raise ValueError(f"{self} needs hop above 0 and at least one frame per step and one hue.")
        for grid, size in (("rows", self.height), ("columns", self.width)):
            for cells in (getattr(self, grid), getattr(self, f"colour_{grid}")):
                if cells < 1 or size % cells:
                    raise ValueError(f"A grid of {cells} {grid} does not divide {size} pixels; choose a divisor.")

    @property
    def dim(self) -> int:
        """Width of the feature vectors."""
        grid, colour = self.rows * self.columns, self.colour_rows * self.colour_columns
        return self.stack * (3 * grid + 2 * colour + self.hues + 3)

    def request(self) -> dict[str, Any]:
        """Frame rate in frames per second and frame size (height, width)."""
        return {"fps": self.stack / self.hop, "size": (self.height, self.width)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Describe the picture of a clip; a single frame has no change and no motion.

        Raises:
            ValueError: The frames have another size.
        """
        frames = media.frames
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        if frames.shape[1:] != (self.height, self.width, 3):
            raise ValueError(
                f"Frames are {frames.shape[1:]}; pixels expects ({self.height}, {self.width}, 3). Decode with "
                "request()."
            )
        vectors = self._describe(frames)
        times = torch.as_tensor(np.asarray(media.frame_time), dtype=torch.float32)
        missing = -len(vectors) % self.stack  # the last step is filled with copies of the last frame
        vectors = torch.cat([vectors, vectors[-1:].expand(missing, -1)]).reshape(-1, self.dim)
        times = torch.cat([times, times[-1:].expand(missing)]).reshape(-1, self.stack).mean(dim=1)
        return vectors.contiguous(), times

    def _describe(self, frames: np.ndarray) -> Tensor:
        grid, colour = (self.rows, self.columns), (self.colour_rows, self.colour_columns)
        luma, motion, opponent, palette = [], [], [], []
        before = None
        for start in range(0, len(frames), CHUNK):
            image = torch.as_tensor(frames[start : start + CHUNK]).float().div(255).permute(0, 3, 1, 2)
            bright = brightness(image)
            shifted = torch.cat([bright[:1] if before is None else before, bright[:-1]])
            before = bright[-1:]
            luma.append(_pooled(bright, grid))
            motion.append(_pooled((bright - shifted).abs(), grid))
            opponent.append(_pooled(opponent_colours(image), colour))
            palette.append(hue_shares(image, self.hues))
        level = torch.cat(luma)
        return torch.cat(
            [
                (level - level.mean()) / level.std(correction=0).clamp(min=0.01),
                (level - level.mean(dim=0)) * CHANGE_GAIN,
                torch.cat(motion) * MOTION_GAIN,
                torch.cat(opponent) * COLOUR_GAIN,
                torch.cat(palette) * PALETTE_GAIN,
            ],
            dim=1,
        )


def brightness(image: Tensor) -> Tensor:
    """Luma of RGB images `[frame, 3, row, column]` in [0, 1]: `[frame, 1, row, column]` (ITU-R BT.601 weights)."""
    weight = image.new_tensor([0.299, 0.587, 0.114])
    return (image * weight[:, None, None]).sum(dim=1, keepdim=True)


def opponent_colours(image: Tensor) -> Tensor:
    """Red minus green and blue minus yellow of RGB images in [0, 1]: `[frame, 2, row, column]`, each in [-1, 1]."""
    red, green, blue = image.unbind(dim=1)
    return torch.stack([red - green, blue - (red + green) / 2], dim=1)


def hue_shares(image: Tensor, hues: int) -> Tensor:
    """Square-rooted pixel shares per hue, and of dark, grey and bright pixels: `[frame, hues + 3]`.

    Every pixel spreads a weight of 1: its chroma (max - min of R, G, B) over the two nearest hue bins, the rest over
    dark, grey and bright. Bin h is centred on hue `h / hues` of the circle, 0 being red. The root lets small coloured
    objects count beside a large background.

    Args:
        image: RGB `[frame, 3, row, column]` in [0, 1].
        hues: Bins of the colour circle.
    """
    high, low = image.amax(dim=1), image.amin(dim=1)
    chroma = high - low
    red, green, blue = image.unbind(dim=1)
    # Hue as an angle in the plane orthogonal to grey; equals the hexagonal hue at the six pure colours.
    angle = torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue)
    place = torch.remainder(angle / (2 * torch.pi) * hues, hues).flatten(1)
    lower = place.floor()
    upper_share = place - lower
    first = lower.long() % hues
    weight = chroma.flatten(1)
    shares = image.new_zeros(len(image), hues)
    shares.scatter_add_(1, first, weight * (1 - upper_share))
    shares.scatter_add_(1, (first + 1) % hues, weight * upper_share)
    value = ((high + low) / 2).flatten(1)
    dark, bright = (1 - 2 * value).clamp(min=0), (2 * value - 1).clamp(min=0)
    plain = torch.stack([dark, 1 - dark - bright, bright], dim=2) * (1 - weight)[..., None]
    return (torch.cat([shares, plain.sum(dim=1)], dim=1) / weight.shape[1]).clamp(min=0).sqrt()


def _pooled(image: Tensor, grid: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(image, grid).flatten(1)
