"""Visual descriptor without weights: what a frame looks like, how it moves, and which colours it holds.

Each frame gives five blocks of numbers of roughly unit size:

- appearance: brightness on a grid, mean 0 and deviation 1 over the clip;
- change: brightness of each grid cell minus its mean over the clip (moving lips on a still face), darker values
  halved: so the average over time, zero without that, is a quarter of the mean absolute change, the cell's energy;
- motion: absolute difference to the frame before, averaged over each cell (how much moves where);
- colour grid: the opponent colours red-green and blue-yellow on a coarser grid;
- palette: share of saturated pixels per hue (soft bins), and of dark, grey and bright ones (what colour is there,
  wherever it is).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.media.presence import lit

if TYPE_CHECKING:
    from avshot.media import Media

CHUNK = 64  # frames worked on at once, so that memory does not grow with the clip
MOST_HUES = 64  # the table of hues takes a megabyte each
DARKER = 0.5  # of a change to the darker
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
        hues: Bins of the colour circle, at most 64.
    """

    name: ClassVar[str] = "pixels"
    version: ClassVar[int] = 3  # 1 took black frames at the ends for a picture; in 2 the average of "change" was 0
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
        if self.hop <= 0 or self.stack < 1 or not 1 <= self.hues <= MOST_HUES:
            raise BadSetting(f"{self} needs hop above 0, at least one frame per step and 1 to {MOST_HUES} hues.")
        for grid, size in (("rows", self.height), ("columns", self.width)):
            for cells in (getattr(self, grid), getattr(self, f"colour_{grid}")):
                if cells < 1 or size % cells:
                    raise BadSetting(f"A grid of {cells} {grid} does not divide {size} pixels; choose a divisor.")

    @property
    def dim(self) -> int:
        """Width of the feature vectors."""
        grid, colour = self.rows * self.columns, self.colour_rows * self.colour_columns
        return self.stack * (3 * grid + 2 * colour + self.hues + 3)

    @property
    def reach(self) -> float:
        """Infinity: brightness is normalised over the clip."""
        return math.inf

    def request(self) -> dict[str, Any]:
        """Frame rate in frames per second and frame size (height, width)."""
        return {"fps": self.stack / self.hop, "size": (self.height, self.width)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Describe the picture of a clip; a single frame has no change and no motion.

        Black frames at the ends are left out before anything is computed, so a black picture has no step.

        Raises:
            ValueError: The frames have another size.
        """
        frames = media.frames
        if len(frames) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        if frames.shape[1:] != (self.height, self.width, 3):
            raise BadSetting(
                f"Frames are {frames.shape[1:]}; pixels expects ({self.height}, {self.width}, 3). Decode with "
                "request()."
            )
        kept = lit(frames)
        if not kept.any():
            return torch.zeros(0, self.dim), torch.zeros(0)
        vectors = torch.from_numpy(self._describe(frames if kept.all() else frames[kept]))
        times = torch.as_tensor(np.asarray(media.frame_time)[kept], dtype=torch.float32)
        missing = -len(vectors) % self.stack  # the last step is filled with copies of the last frame
        if missing:
            vectors = torch.cat([vectors, vectors[-1:].expand(missing, -1)])
            times = torch.cat([times, times[-1:].expand(missing)])
        return vectors.reshape(-1, self.dim), times.reshape(-1, self.stack).mean(dim=1)

    def _describe(self, frames: np.ndarray) -> np.ndarray:
        grid, colour = (self.rows, self.columns), (self.colour_rows, self.colour_columns)
        cells = math.prod(grid)
        edges = np.cumsum([0, cells, cells, cells, 2 * math.prod(colour), self.hues + 3])
        made = np.empty((len(frames), edges[-1]), np.float32)
        appearance, change, motion, opponent, palette = (made[:, a:b] for a, b in pairwise(edges))
        before = None
        for start in range(0, len(frames), CHUNK):
            here = slice(start, start + CHUNK)
            planes = np.ascontiguousarray(np.moveaxis(frames[here], 3, 0))
            image = planes.astype(np.float32)
            bright = brightness(image, before)
            before = bright[0, -1].copy()
            appearance[here], motion[here] = _pooled(bright, grid) / 1000
            opponent[here] = opponent_colours(_pooled(image, colour))
            palette[here, : self.hues] = hue_shares(image, self.hues)
            palette[here, self.hues :] = grey_shares(planes)
        level = appearance.astype(np.float64)
        change[:] = (level - level.mean(axis=0)) * CHANGE_GAIN
        change[change < 0] *= DARKER
        appearance[:] = (level - level.mean()) / max(level.std(), 0.01)
        motion *= MOTION_GAIN
        opponent *= COLOUR_GAIN
        np.sqrt(palette, out=palette)
        palette *= PALETTE_GAIN
        return made


# What follows reads whole colour planes, of values 0 to 255 held exactly in float32: sums of pixels are then sums of
# integers, and nothing is rounded before the one division by 255 and the number of pixels. NumPy, because a call of it
# costs a fraction of one of torch and most of the work here is calls.


def brightness(image: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Luma (ITU-R BT.601 weights) times 1000, and its absolute change since the frame before.

    Args:
        image: RGB planes `[3, frame, row, column]`, float32 whole numbers from 0 to 255.
        before: Luma times 1000 of the frame before the first, `[row, column]`; None gives the first no change.

    Returns:
        `[2, frame, row, column]`: luma and change.
    """
    red, green, blue = image
    made = np.empty((2, *red.shape), np.float32)
    luma, change = made
    np.multiply(red, 299, out=luma)
    luma += np.multiply(green, 587, out=change)
    luma += np.multiply(blue, 114, out=change)
    np.subtract(luma[1:], luma[:-1], out=change[1:])
    np.subtract(luma[0], luma[0] if before is None else before, out=change[0])
    np.abs(change, out=change)
    return made


def opponent_colours(colours: np.ndarray) -> np.ndarray:
    """Red minus green and blue minus yellow of colours `[3, frame, cell]` in [0, 1]: `[frame, 2 * cell]`."""
    red, green, blue = colours
    return np.concatenate([red - green, blue - (red + green) / 2], axis=1)


def hue_shares(image: np.ndarray, hues: int) -> np.ndarray:
    """Share of the pixels' weight in each hue: `[frame, hues]`, the sum of a frame being its mean chroma.

    Every pixel spreads its chroma (max - min of R, G, B) over the two nearest hue bins. Bin h is centred on hue
    `h / hues` of the circle, 0 being red.

    Args:
        image: RGB planes `[3, frame, row, column]`, float32 whole numbers from 0 to 255.
        hues: Bins of the colour circle, at most `MOST_HUES`.
    """
    red, green, blue = image
    # Hue and chroma depend on two differences alone, so a table of all of them (`hue_table`) is small enough.
    code = red - green
    code *= 511
    code += green
    code -= blue
    code += 255 * 512
    rows = torch.from_numpy(code.astype(np.int32).reshape(len(code), -1))
    sums: np.ndarray = F.embedding_bag(rows, hue_table(hues), mode="sum").numpy()
    return sums / rows.shape[1]


@lru_cache(maxsize=4)
def hue_table(hues: int) -> Tensor:
    """What one pixel gives to each hue: `[511 * 511, hues]`, row `511 (red - green + 255) + (green - blue + 255)`."""
    difference = torch.arange(-255, 256, dtype=torch.float64)
    first, second = (d.reshape(-1) for d in torch.meshgrid(difference, difference, indexing="ij"))
    chroma = torch.stack([first.abs(), second.abs(), (first + second).abs()]).amax(dim=0) / 255
    # Hue as an angle in the plane orthogonal to grey; equals the hexagonal hue at the six pure colours.
    angle = torch.atan2(3**0.5 * second, 2 * first + second)
    place = torch.remainder(angle / (2 * torch.pi) * hues, hues)
    lower = place.floor()
    table = torch.zeros(len(place), hues)
    for bin, share in ((lower, 1 - (place - lower)), (lower + 1, place - lower)):
        table.scatter_add_(1, (bin.long() % hues)[:, None], (chroma * share).float()[:, None])
    return table


def grey_shares(planes: np.ndarray) -> np.ndarray:
    """Share of the pixels' weight that is dark, grey and bright: `[frame, 3]`; what is left of 1 is in the hues.

    A pixel has `1 - chroma` to give. With value v = (max + min) / 2 of R, G, B, dark is `1 - 2 v` of it where that is
    positive, bright `2 v - 1`, grey the rest.

    Args:
        planes: uint8 RGB planes `[3, frame, row, column]`.
    """
    # With l = min and u = 1 - max, 1 - chroma is l + u and 2 v - 1 is l - u: bright is max(l, u)^2 - u^2, dark
    # max(l, u)^2 - l^2.
    ends = np.empty_like(planes)
    low, far, more = ends
    np.minimum(np.minimum(planes[0], planes[1], out=low), planes[2], out=low)
    np.maximum(np.maximum(planes[0], planes[1], out=far), planes[2], out=far)
    np.subtract(255, far, out=far)
    np.maximum(low, far, out=more)
    plain = np.add.reduce(ends[:2].reshape(2, planes.shape[1], -1), axis=2, dtype=np.uint32).sum(axis=0)
    values = ends.astype(np.float32)
    # A row of 64 squares is a whole number below 2^24, which float32 holds; rows are summed in float64.
    low2, far2, more2 = np.einsum("kfrc,kfrc->kfr", values, values).sum(axis=2, dtype=np.float64)
    bright, dark = more2 - far2, more2 - low2
    shares: np.ndarray = np.stack([dark, 255.0 * plain - dark - bright, bright], axis=1)
    return shares / (255 * 255 * planes[0, 0].size)


def _pooled(image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean over each cell of a grid, of images `[..., row, column]` in 255ths: `[..., cell]`."""
    height, width = (size // cells for size, cells in zip(image.shape[-2:], grid, strict=True))
    total = image[..., ::height, :].copy()
    for row in range(1, height):
        total += image[..., row::height, :]
    sums = total[..., ::width].copy()
    for column in range(1, width):
        sums += total[..., column::width]
    return sums.reshape(*image.shape[:-2], -1) / np.float32(255 * height * width)
