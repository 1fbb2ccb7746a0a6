"""Picture: the decoded frames shown at the wanted times, scaled to the asked size, in one pass over the packets."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.media.streams import BadFileError

# Containers round time stamps (Matroska to 1 ms). A frame counts as shown from this many seconds before its stamp, so
# that a wanted time on the border of two frames always takes the later one instead of jittering between them.
SLACK = 0.75e-3

_KEPT_BYTES = 1 << 20  # pixels x 3 of kept frames that are scaled together, which is faster than one after each packet
_REORDERED = 34  # packets among whose stamps the next one on the screen is looked for: H.264 reorders up to 16 pictures


def wanted_before(time: float, fps: float) -> int:
    """Count the wanted times `(k + 0.5) / fps`, k = 0, 1, ..., that lie before a frame stamped `time` is shown.

    The frame on the screen from stamp t_i to t_{i+1} therefore answers the wanted times number `wanted_before(t_i)` up
    to, not including, `wanted_before(t_{i+1})`. Middles of steps, not their beginnings: when `fps` is the rate of the
    file every frame is then taken exactly once, whatever the rounding of the stamps.

    Args:
        time: Seconds from the start of the span; negative gives 0.
        fps: Wanted frames per second, > 0.
    """
    return max(0, math.ceil((time - SLACK) * fps - 0.5))


@dataclass(frozen=True)
class PictureRequest:
    """What is wanted of a picture.

    Attributes:
        start: Seconds (on the clock of the file's time stamps) where the span begins.
        end: Seconds where it ends; infinity for the end of the file.
        fps: Wanted frames per second, or None for every frame of the span.
        size: Height and width of the result, or None.
        short_side: Length of the result's shorter side, or None.
        max_bytes: Largest result.
    """

    start: float
    end: float
    fps: float | None
    size: tuple[int, int] | None
    short_side: int | None
    max_bytes: int


class Picture:
    """Decodes one video stream packet by packet and keeps the wanted frames.

    Packets wait undecoded until one reaches the next wanted time; when a key frame arrives that still is not later than
    it, what waited is dropped. Sparse sampling so decodes only groups of pictures that hold a wanted frame, without
    seeking, while the sound of the same file is read in the same pass. H.264 pictures that nobody wants and no other
    picture refers to are skipped, too (`_spare`). Neither changes a frame that is kept.
    """

    def __init__(self, stream: Any, request: PictureRequest) -> None:
        from av.error import FFmpegError
        from av.video.format import VideoFormat
        from av.video.reformatter import Interpolation, VideoReformatter

        self.stream, self.request = stream, request
        self.first = math.inf  # stamp of the first key frame: nothing before it can be shown
        self.done = False
        self._base = float(stream.time_base)
        self._step = 1.0 / float(stream.average_rate) if stream.average_rate else 0.04
        self._queue: list[tuple[Any, float | None]] = []
        self._late = False  # the queue holds a packet at or behind the next wanted time
        self._known: deque[float] = deque(maxlen=_REORDERED)  # stamps of the last packets
        self._decoder, self._damage = stream.codec_context, FFmpegError
        self._may_skip = request.fps is not None and self._decoder.name == "h264"
        self._skipping = False
        self._held: Any = None  # the frame on the screen, and its stamp
        self._held_time = -math.inf
        self._taken = 0  # wanted times answered or, before the first frame, passed by
        self._times: list[float] = []
        self._kept: list[tuple[Any, int, int]] = []  # frames to scale, their place among the times, how often
        self._buffer: np.ndarray | None = None
        self._orient: Callable[[np.ndarray], np.ndarray] | None = None
        self._shape = (0, 0)
        self._scaler = VideoReformatter()
        # Names would be looked up again for every frame.
        self._how: dict[str, Any] = {"format": VideoFormat("rgb24"), "interpolation": Interpolation.AREA.value}

    def feed(self, packets: Sequence[tuple[Any, float | None]]) -> None:
        """Take the next packets of the stream, with their stamps in seconds; decode what can no longer be skipped."""
        for packet, time in packets:
            if not self.done:
                self._take(packet, time)

    def _take(self, packet: Any, time: float | None) -> None:
        if time is not None:
            self._known.append(time)
        if self._late:  # one packet later than necessary, for `_spare` to know the stamp that comes next
            self._drain()
        early = time is not None and time - SLACK <= self._next_wanted()
        if time is not None and packet.is_keyframe:
            self.first = min(self.first, time)
            if self._queue and early:
                self._queue.clear()
                self._decoder.flush_buffers()
        self._queue.append((packet, time))
        self._late = not early

    def finish(self, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Flush the decoder; the last frame stays on the screen until `end` seconds. Returns frames and their times."""
        if not self.done:
            self._drain()
            self._decode(None, None)
            self._show(end if end > self._held_time else self._held_time + self._step, last=True)
        self._scale()
        if self._buffer is None:
            return np.zeros((0, *self._shape, 3), np.uint8), np.zeros(0)
        return self._buffer[: len(self._times)], np.array(self._times)

    def _next_wanted(self) -> float:
        if self.request.fps is None:
            return self.request.start
        return self.request.start + (self._taken + 0.5) / self.request.fps

    def _drain(self) -> None:
        queue, self._queue = self._queue, []
        for packet, time in queue:
            self._decode(packet, time)

    def _decode(self, packet: Any, time: float | None) -> None:
        spare = self._may_skip and time is not None and self._spare(time)
        if spare != self._skipping:
            self._decoder.skip_frame, self._skipping = "NONREF" if spare else "DEFAULT", spare
        try:
            frames = self._decoder.decode(packet)
        except self._damage:  # a damaged packet: the decoder resumes with the next one it understands
            return
        for frame in frames:
            pts = frame.pts
            time = self._held_time + self._step if pts is None else pts * self._base
            if time == -math.inf:
                time = 0.0
            if time <= self._held_time or self.done:  # stamps that run backwards are damage
                continue
            self._show(time)
            self._held, self._held_time = frame, time

    def _spare(self, time: float) -> bool:
        """Whether the picture stamped `time` answers no wanted time, by the stamps of the packets so far.

        A stamp still to come can only end the picture's stay on the screen earlier. The decoder, told to skip such a
        picture, does so only when its header says that no other picture refers to it.
        """
        start, fps = self.request.start, self.request.fps
        assert fps is not None
        first = wanted_before(time - start, fps)
        if (first + 0.5) / fps <= time - start + self._step / 2:  # the usual case, told at once
            return False
        following = min((other for other in self._known if other > time), default=math.inf)
        return following < self.request.end and wanted_before(following - start, fps) == first

    def _show(self, until: float, last: bool = False) -> None:
        """The held frame leaves the screen at `until`: keep it once for every wanted time that it answers."""
        start, end, fps = self.request.start, self.request.end, self.request.fps
        if fps is None:
            times = [self._held_time - start] if start - SLACK <= self._held_time < end - SLACK else []
            times = [max(0.0, t) for t in times]
        else:
            stop = wanted_before(min(until, end + SLACK) - start, fps)
            times = [(k + 0.5) / fps for k in range(self._taken, stop)] if stop > self._taken else []
            self._taken = max(self._taken, stop)
            if last and not self._times and not times and self._held_time < end and until > start + SLACK:
                times = [max(0.0, self._held_time - start)]  # a picture shorter than half a step still gives one frame
        if self._held is not None and times:
            self._keep(self._held, times)
        self.done = until >= end + SLACK

    def _keep(self, frame: Any, times: list[float]) -> None:
        self._kept.append((frame, len(self._times), len(times)))
        self._times += times
        if len(self._kept) * 3 * frame.width * frame.height > _KEPT_BYTES:
            self._scale()

    def _scale(self) -> None:
        """Scale the frames kept so far, and let go of them."""
        kept, self._kept = self._kept, []
        for frame, first, count in kept:
            if self._orient is None:
                self._set_shape(frame)
            assert self._orient is not None
            pixels = self._orient(self._pixels(frame))
            self._grow(first + count, pixels.shape)
            assert self._buffer is not None
            self._buffer[first : first + count] = pixels

    def _pixels(self, frame: Any) -> np.ndarray:
        height, width = self._shape
        plane: Any = self._scaler.reformat(frame, width, height, **self._how, threads=1).planes[0]
        return np.ndarray((height, width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))

    def _grow(self, count: int, shape: tuple[int, ...]) -> None:
        size = math.prod(shape)
        if count * size > self.request.max_bytes:
            raise BadFileError(
                f"{count} frames of {shape[1]}x{shape[0]} pixels exceed limits.bytes = {self.request.max_bytes}; "
                "ask for fewer frames per second, a smaller size or a shorter span"
            )
        if self._buffer is None or count > len(self._buffer):
            grown = np.empty((max(count, 64, 2 * (count - 1)), *shape), np.uint8)
            if self._buffer is not None:
                grown[: len(self._buffer)] = self._buffer
            self._buffer = grown

    def _set_shape(self, frame: Any) -> None:
        """Fix the size before turning, and the turning, from the first kept frame."""
        turned, self._orient = orientation(frame)
        height, width = (frame.width, frame.height) if turned else (frame.height, frame.width)
        if self.request.size is not None:
            height, width = self.request.size
        elif self.request.short_side is not None:
            scale = self.request.short_side / min(height, width)
            height, width = max(1, round(height * scale)), max(1, round(width * scale))
        self._shape = (width, height) if turned else (height, width)


def orientation(frame: Any) -> tuple[bool, Callable[[np.ndarray], np.ndarray]]:
    """How a stored frame must be turned to stand upright, from its display matrix (rotation and mirroring).

    Returns:
        Whether height and width change places, and the function that turns `[height, width, 3]` pixels.
    """
    data = next((side for side in frame.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, lambda pixels: pixels
    a, b, _, c, d = (float(v) for v in np.frombuffer(bytes(data), np.int32)[:5])  # x' = a x + c y, y' = b x + d y
    turned = abs(b) + abs(c) > abs(a) + abs(d)
    to_x, to_y = (c, b) if turned else (a, d)
    columns = slice(None, None, -1 if to_x < 0 else 1)
    rows = slice(None, None, -1 if to_y < 0 else 1)
    if turned:
        return True, lambda pixels: pixels.swapaxes(0, 1)[rows, columns]
    return False, lambda pixels: pixels[rows, columns]
