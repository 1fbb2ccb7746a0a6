"""The lit part of a clip as tensors, for extractors that see several frames at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.media.presence import lit

if TYPE_CHECKING:
    from avshot.media import Media


def seen(media: Media, side: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames without the black ones at both ends, uint8 `[frame, height, width, 3]`, and their times in seconds.

    Args:
        media: A clip.
        side: Pixels that height and width must have at least.
        name: Of the extractor, for the message.

    Raises:
        ValueError: The frames are smaller.
    """
    kept = lit(media.frames)
    frames = media.frames if kept.all() else media.frames[kept]
    if len(frames) and min(frames.shape[1:3]) < side:
        raise BadSetting(
            f"Frames are {frames.shape[1]} x {frames.shape[2]}; {name} expects {side} x {side} at least. Decode with "
            "request()."
        )
    return frames, np.asarray(media.frame_time, dtype=np.float32)[kept]


def as_clip(
    frames: np.ndarray, side: int, mean: Sequence[float], deviation: Sequence[float], *, bgr: bool = False
) -> Tensor:
    """The middle of frames, scaled: `[colour, frame, side, side]` float32.

    Args:
        frames: uint8 RGB `[frame, height, width, 3]`, `side` pixels at least.
        side: Of the square that is cut out.
        mean: Taken off each colour, which is in [0, 1]; in the order that the network gets.
        deviation: By which each colour is divided after that.
        bgr: Blue first, as programs that read frames with OpenCV and change nothing.
    """
    # Rounded up, as SeLaVi and PyTorchVideo do; torchvision rounds half a pixel to even.
    top, left = (-(-(size - side) // 2) for size in frames.shape[1:3])
    middle = frames[:, top : top + side, left : left + side]
    image = torch.from_numpy(np.ascontiguousarray(middle[..., ::-1] if bgr else middle)).permute(3, 0, 1, 2)
    shape = (3, 1, 1, 1)
    return (image.float() / 255 - torch.tensor(mean).reshape(shape)) / torch.tensor(deviation).reshape(shape)


def covering(count: int, window: int, hop: int) -> list[int]:
    """First frame of each window, so that every one of `count` frames is in one; the last may be a shorter rest.

    Example:
        >>> covering(33, 16, 16), covering(32, 16, 16), covering(3, 16, 16), covering(20, 16, 2)
        ([0, 16, 32], [0, 16], [0], [0, 2, 4])
    """
    return [i * hop for i in range(1 + -(-max(0, count - window) // hop))]
