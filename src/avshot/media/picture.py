"""Picture: the decoded frames shown at the wanted times, in one pass over the packets."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avshot.media.canvas import Canvas
from avshot.media.limits import BadFileError
from avshot.media.restart import Restarts
from avshot.media.roll import Roll

# Containers round time stamps (Matroska to 1 ms). A frame counts as shown from this many seconds before its stamp, so
# that a wanted time on the border of two frames always takes the later one instead of jittering between them.
SLACK = 0.75e-3

_REORDERED = 34  # packets among whose stamps the next one on the screen is looked for: H.264 reorders up to 16 pictures
_AWAITED = 17  # frames whose times are put in order together, where only the order of the packets is known


class DisorderError(Exception):
    """The stamps of a file cannot be taken at face value: `clock` has to look at all of them first."""


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
        max_pixels: Largest decoded picture.
        max_rate: Most decoded pictures for a second of the file.
        expected: How many frames will come, 0 when that is not known.
    """

    start: float
    end: float
    fps: float | None
    size: tuple[int, int] | None
    short_side: int | None
    max_bytes: int
    max_pixels: int
    max_rate: float
    expected: int = 0


class Picture:
    """Decodes one video stream packet by packet and keeps the wanted frames.

    Packets wait undecoded until one reaches the next wanted time; when a packet arrives that still is not later than
    it, and from which the decoder may start (`Restarts`), what waited is dropped. Sparse sampling so decodes only
    groups of pictures that hold a wanted frame, without seeking, while the sound is read in the same pass.
    H.264 pictures that nobody wants and no other picture refers to are skipped, too (`_spare`). Neither changes a frame
    that is kept.

    Args:
        stream: The video stream.
        request: What is wanted.
        times: None where a frame's own stamp says when it is shown. Otherwise the seconds at which the packet is shown
            whose number a frame carries instead of a stamp; then every packet is decoded, and the decoder's order wins
            over that of the times.
        canvas: Takes the frames; None: one for all of them.
    """

    def __init__(
        self,
        stream: Any,
        request: PictureRequest,
        times: Sequence[float] | None = None,
        canvas: Canvas | Roll | None = None,
    ) -> None:
        from av.error import FFmpegError

        self.stream, self.request = stream, request
        self.first = math.inf  # stamp of the first packet that the decoder may start from: nothing earlier can be shown
        self.done = False
        self.packets, self.damaged = 0, 0  # all that were decoded, and those that the decoder refused
        self.reordered = False  # the times of the pictures were not in the decoder's order
        self._base = float(stream.time_base)
        self._step = 1.0 / float(stream.average_rate) if stream.average_rate else 0.04
        self._queue: list[tuple[Any, float | None]] = []
        self._late = False  # the queue holds a packet at or behind the next wanted time
        self._known: deque[float] = deque(maxlen=_REORDERED)  # stamps of the last packets
        self._decoder = stream.codec_context
        self._damage = (FFmpegError, ValueError)  # PyAV 19 says the latter once a decoder could not be opened
        self._restarts = Restarts(self._decoder)
        self._may_skip = request.fps is not None and self._decoder.name == "h264" and times is None
        self._skipping = False
        self._times_of = times
        self._awaiting: deque[Any] = deque()  # decoded frames whose time is not sure yet
        self._awaited: list[float] = []  # their times, a heap
        self._held: Any = None  # the frame on the screen, and its stamp
        self._held_time = -math.inf
        self._decoded, self._begun = 0, math.inf  # pictures so far, and the time of the first
        self._taken = 0  # wanted times answered or, before the first frame, passed by
        self.count = 0  # frames so far
        self.times: list[float] = []  # of those that were not let go of, seconds from the start of the span
        most = (request.max_bytes, request.max_pixels)
        self.canvas = canvas or Canvas(request.size, request.short_side, *most, expected=request.expected)

    @property
    def may_start_late(self) -> bool:
        """Whether decoding may begin in the middle of the stream."""
        return self._restarts.known

    def feed(self, packets: Sequence[tuple[Any, float | None]]) -> None:
        """Take the next packets of the stream, with their stamps in seconds; decode what can no longer be skipped."""
        for packet, time in packets:
            if not self.done:
                self._take(packet, time)

    def _take(self, packet: Any, time: float | None) -> None:
        if self._times_of is not None:
            self._decode(packet, time)
            return
        if time is not None:
            self._known.append(time)
        if self._late:  # one packet later than necessary, for `_spare` to know the stamp that comes next
            self._drain()
        early = time is not None and time - SLACK <= self._next_wanted()
        if time is not None and packet.is_keyframe and (self.first == math.inf or (early and self._queue)):
            self._restart(packet, time, early)
        self._queue.append((packet, time))
        self._late = not early or not self._restarts.known

    def _restart(self, packet: Any, time: float, early: bool) -> None:
        """Drop what waits in front of a packet from which the decoder may start, unless it is needed after all."""
        if not self._restarts.is_restart(packet):
            return
        self.first = min(self.first, time)
        if self._queue and early:
            if self._restarts.may_drop([waiting for waiting, _ in self._queue]):
                self._queue.clear()
                self._decoder.flush_buffers()
            else:
                self._drain()

    @property
    def known(self) -> float:
        """Seconds of the span up to which all frames are known."""
        if self.done:
            return math.inf
        return (self._held_time if self.request.fps is None else self._next_wanted()) - self.request.start

    def finish(self, end: float) -> tuple[np.ndarray, np.ndarray]:
        """`flush`, and give all frames and their times."""
        self.flush(end)
        return self.canvas.frames(self.count), np.array(self.times)

    def flush(self, end: float) -> None:
        """Flush the decoder; the last frame stays on the screen until `end` seconds."""
        if not self.done:
            self._drain()
            self._decode(None, None)
            while self._awaiting and not self.done:
                self._next(self._awaiting.popleft(), heapq.heappop(self._awaited))
        if not self.done and self._held is not None:
            self._show(end if end > self._held_time else self._held_time + self._step, last=True)

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
        if self._restarts.known and packet is not None and self._times_of is None:
            self._restarts.given(packet)
        self.packets += 1
        try:
            frames = self._decoder.decode(packet)
        except self._damage:  # a damaged packet: the decoder resumes with the next one it understands
            self.damaged += 1
            return
        for frame in frames:
            if not self.done:
                self._arrive(frame)

    def _arrive(self, frame: Any) -> None:
        """A frame leaves the decoder: find out when it is shown."""
        pts = frame.pts
        if self._times_of is None:
            if pts is None or (time := pts * self._base) <= self._held_time:
                raise DisorderError
            self._next(frame, time)
            return
        known = pts is not None and 0 <= pts < len(self._times_of)
        latest = max(self._awaited, default=self._held_time)
        time = self._times_of[pts] if known else max(0.0, latest) + self._step
        self.reordered |= known and time < latest
        heapq.heappush(self._awaited, time)
        self._awaiting.append(frame)
        if len(self._awaiting) > _AWAITED:
            self._next(self._awaiting.popleft(), heapq.heappop(self._awaited))

    def _next(self, frame: Any, time: float) -> None:
        if time <= self._held_time:  # one packet gave two frames
            time = self._held_time + self._step / 2
        self._decoded, self._begun = self._decoded + 1, min(self._begun, time)
        if self._decoded > self.request.max_rate * (time - self._begun + 1.0):
            raise BadFileError(
                f"{self._decoded} pictures came in {time - self._begun:.3g} s of it, more than "
                f"limits.rate = {self.request.max_rate:g} a second; it is damaged"
            )
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
            if last and not self.count and not times and self._held_time < end and until > start + SLACK:
                times = [max(0.0, self._held_time - start)]  # a picture shorter than half a step still gives one frame
        if self._held is not None and times:
            self.canvas.keep(self._held, self.count, len(times))
            self.times += times
            self.count += len(times)
        self.done = until >= end + SLACK
