"""Canvas: kept frames, scaled to one size and turned upright, in one growing array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from avshot.media.limits import BadFileError

KEPT_BYTES = 1 << 20  # pixels x 3 of kept frames that are scaled together, which is faster than one after each packet


class Canvas:
    """Takes decoded frames and where they belong among the wanted times.

    The first frame fixes the size; later ones of another size are scaled to it.

    Args:
        size: Height and width of the result, or None.
        short_side: Length of the result's shorter side, or None.
        max_bytes: Largest result.
        max_pixels: Largest decoded picture, whatever the file states.
        expected: How many frames will come, if that is known: a result that will be too large is refused at once.
    """

    def __init__(
        self,
        size: tuple[int, int] | None,
        short_side: int | None,
        max_bytes: int,
        max_pixels: int,
        expected: int = 0,
    ) -> None:
        self._scaler = Scaler(size, short_side, max_pixels)
        self._most, self._expected = max_bytes, expected
        self._kept: list[tuple[Any, int, int]] = []  # frames to scale, their place among the times, how often
        self._buffer: np.ndarray | None = None

    @property
    def stored(self) -> list[tuple[int, int]]:
        """The sizes (width, height) of decoded frames, as they changed."""
        return self._scaler.stored

    def keep(self, frame: Any, first: int, count: int) -> None:
        """Put a frame at the places `first` to `first + count` of the result."""
        pixels = self._scaler.check(frame)
        self._kept.append((frame, first, count))
        if len(self._kept) * 3 * pixels > KEPT_BYTES:
            self._scale()

    def frames(self, count: int) -> np.ndarray:
        """uint8 `[count, height, width, 3]`."""
        self._scale()
        if self._buffer is None:
            return np.zeros((0, 0, 0, 3), np.uint8)
        return self._buffer[:count]

    def _scale(self) -> None:
        """Scale the frames kept so far, and let go of them."""
        kept, self._kept = self._kept, []
        for frame, first, count in kept:
            pixels = self._scaler.scaled(frame)
            self._grow(first + count, pixels.shape)
            assert self._buffer is not None
            self._buffer[first : first + count] = pixels

    def _grow(self, count: int, shape: tuple[int, ...]) -> None:
        size = math.prod(shape)
        count = max(count, self._expected if self._buffer is None else 0)
        check_bytes(count, shape, self._most)
        if self._buffer is None or count > len(self._buffer):
            room = max(count, 64, 2 * (count - 1))
            grown = np.empty((room if room * size <= self._most else count, *shape), np.uint8)
            if self._buffer is not None:
                grown[: len(self._buffer)] = self._buffer
            self._buffer = grown


class Scaler:
    """Scales decoded frames to one size, which the first one fixes, and turns them upright.

    Args:
        size: Height and width of the result, or None.
        short_side: Length of the result's shorter side, or None.
        max_pixels: Largest decoded picture, whatever the file states.
    """

    def __init__(self, size: tuple[int, int] | None, short_side: int | None, max_pixels: int) -> None:
        from av.video.format import VideoFormat
        from av.video.reformatter import Interpolation, VideoReformatter

        self._asked, self._most = (size, short_side), max_pixels
        self.stored: list[tuple[int, int]] = []  # the sizes (width, height) of decoded frames, as they changed
        self._orient: Callable[[np.ndarray], np.ndarray] | None = None
        self._shape = (0, 0)
        self._scaler = VideoReformatter()
        # Names would be looked up again for every frame.
        self._how: dict[str, Any] = {"format": VideoFormat("rgb24"), "interpolation": Interpolation.AREA.value}

    def check(self, frame: Any) -> int:
        """Pixels of a frame, whose size is noted. Raises BadFileError where there are too many."""
        width, height = frame.width, frame.height
        if not self.stored or self.stored[-1] != (width, height):
            if width * height > self._most:
                raise BadFileError(
                    f"a decoded picture is {width}x{height}, more than limits.pixels = {self._most}, "
                    "whatever the file states"
                )
            self.stored.append((width, height))
        return int(width * height)

    def scaled(self, frame: Any) -> np.ndarray:
        """uint8 RGB `[height, width, 3]`; a view that holds until the next call at least, and may not be written to."""
        if self._orient is None:
            self._set_shape(frame)
        assert self._orient is not None
        return self._orient(self._pixels(frame))

    def _pixels(self, frame: Any) -> np.ndarray:
        height, width = self._shape
        plane: Any = self._scaler.reformat(frame, width, height, **self._how, threads=1).planes[0]
        return np.ndarray((height, width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))

    def _set_shape(self, frame: Any) -> None:
        """Fix the size before turning, and the turning, from the first kept frame."""
        size, short_side = self._asked
        turned, self._orient = orientation(frame)
        height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
        if size is not None:
            height, width = size
        elif short_side is not None:
            scale = short_side / min(height, width)
            height, width = max(1, round(height * scale)), max(1, round(width * scale))
        self._shape = (width, height) if turned else (height, width)


def check_bytes(count: int, shape: tuple[int, ...], most: int) -> None:
    """Raise BadFileError where `count` frames of a shape `[height, width, 3]` take more than `most` bytes."""
    if count * math.prod(shape) > most:
        raise BadFileError(
            f"{count} frames of {shape[1]}x{shape[0]} pixels exceed limits.bytes = {most}; "
            "ask for fewer frames per second, a smaller size or a shorter span"
        )


def orientation(frame: Any) -> tuple[bool, Callable[[np.ndarray], np.ndarray]]:
    """How a stored frame must be turned to stand upright, from its display matrix (rotation and mirroring).

    Returns:
        Whether height and width change places, and the function that turns `[height, width, 3]` pixels.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return False, lambda pixels: pixels
    a, b, _, c, d = matrix[:5]  # x' = a x + c y, y' = b x + d y
    turned = abs(b) + abs(c) > abs(a) + abs(d)
    to_x, to_y = (c, b) if turned else (a, d)
    columns = slice(None, None, -1 if to_x < 0 else 1)
    rows = slice(None, None, -1 if to_y < 0 else 1)
    if turned:
        return True, lambda pixels: pixels.swapaxes(0, 1)[rows, columns]
    return False, lambda pixels: pixels[rows, columns]


def _display_matrix(frame: Any) -> list[float] | None:
    from av.sidedata.sidedata import Type

    try:
        data = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV 18 does not know all kinds that its FFmpeg makes (EXIF); the angle it gives all the same
        angle = math.radians(frame.rotation)
        return (
            None if not frame.rotation else [math.cos(angle), -math.sin(angle), 0.0, math.sin(angle), math.cos(angle)]
        )
    return None if data is None else [float(v) for v in np.frombuffer(memoryview(data), np.int32)]
