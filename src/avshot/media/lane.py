"""Lane: one of the two streams of a file, decoded up to a time and no farther; and both of them side by side.

Each has the file open for itself, so that it does not matter how far apart picture and sound stand in it: what is held
in memory is what was not let go of, and nothing that waits for the other one.
"""

from __future__ import annotations

import math
from contextlib import ExitStack

import numpy as np

from avshot.media.demux import Passed, delivering
from avshot.media.doors import open_file, reason
from avshot.media.flow import PictureFlow, SoundFlow
from avshot.media.limits import BadFileError, Limits, Watch
from avshot.media.passage import Found, Way, start_in, stated
from avshot.media.picture import PictureRequest
from avshot.media.roll import Roll


class Lane:
    """Picture or sound of a file.

    Args:
        opened: Closes the file.
        path: The file.
        asked: As for `go_through`.
        kind: "video" or "audio".
        rate: Hz of the waveform.
        limits: What not to exceed.
        way: How to go through the file.
        watch: Stops what takes too long.
    """

    def __init__(
        self,
        opened: ExitStack,
        path: str,
        asked: PictureRequest,
        kind: str,
        rate: int,
        limits: Limits,
        way: Way,
        watch: Watch,
    ) -> None:
        container = opened.enter_context(open_file(path, limits, watch))
        roll = Roll(asked.size, asked.short_side, asked.max_bytes, asked.max_pixels)
        begun = start_in(container, asked, (kind == "video", kind == "audio"), rate, limits, way, roll)
        self.begun, self.kind, self.passed, self.ended = begun, kind, Passed(), False
        self.picture = None if begun.picture is None else PictureFlow(begun.picture, roll)
        self.sound = None if begun.sound is None else SoundFlow(begun.sound)
        self.flow = self.picture or self.sound
        self.length = min(stated(container, way, trust=True), asked.end) - asked.start
        span = (begun.request.start, begun.request.end)
        sinks = (begun.picture, begun.sound)
        self._steps = delivering(begun.streams, sinks, begun.clock, span, limits, watch, self.passed)

    def go_to(self, until: float) -> None:
        """Decode until all of the span up to a time is known, or the file ends."""
        while not self.ended and (self.flow is None or self.flow.known < until):
            for _ in self._steps:
                if self.flow is not None:
                    self.flow.pull()
                break
            else:
                self.finish()
        self.begun.check_landing(self.ended)

    def finish(self) -> None:
        """Flush the decoder; there is nothing more."""
        if not self.ended and self.flow is not None:
            self.flow.finish(self.passed.ends[self.kind])
        self.ended = True


class Lanes:
    """Picture and sound of a file, as far as they are wanted and there. Arguments as for `Lane` and `go_through`.

    Attributes:
        length: Seconds of the span as the file states it, or None.
        failed: Why going on failed, or "".
    """

    def __init__(
        self,
        opened: ExitStack,
        path: str,
        asked: PictureRequest,
        wants: tuple[bool, bool],
        rate: int,
        limits: Limits,
        way: Way,
        watch: Watch,
    ) -> None:
        kinds = [kind for kind, wanted in zip(("video", "audio"), wants, strict=True) if wanted]
        made = [Lane(opened, path, asked, kind, rate, limits, way, watch) for kind in kinds]
        self._lanes = [lane for lane in made if lane.flow is not None] or made[:1]
        self._rate, self.failed = rate, ""
        length = made[0].length
        self.length = length if math.isfinite(length) else None
        self._picture = next((lane.picture for lane in self._lanes if lane.picture is not None), None)
        self._sound = next((lane.sound for lane in self._lanes if lane.sound is not None), None)

    def go_to(self, until: float, *, rescue: bool) -> None:
        """Decode until all of the span up to a time is known, or the file ends.

        Args:
            until: Seconds.
            rescue: Where going on fails, keep what there is and say so in `failed`.
        """
        from av.error import FFmpegError

        try:
            for lane in self._lanes:
                lane.go_to(until)
        except (BadFileError, FFmpegError, IndexError, OSError) as problem:
            if not rescue:
                raise
            self.failed = str(problem) if isinstance(problem, BadFileError) else reason(problem)
            for lane in self._lanes:
                lane.finish()

    @property
    def ended(self) -> bool:
        """Whether all there is is known."""
        return all(lane.ended for lane in self._lanes)

    @property
    def end(self) -> float:
        """Seconds at which the last frame and the last sample end; infinity before that is known."""
        return max((flow.end for flow in (self._picture, self._sound) if flow), default=0.0) if self.ended else math.inf

    @property
    def gaps(self) -> tuple[tuple[float, float], ...]:
        """Seconds without sound, as far as is known."""
        return () if self._sound is None else tuple(self._sound.gaps)

    def frames(self, start: float, end: float, own: float) -> tuple[np.ndarray, np.ndarray, slice]:
        """As `PictureFlow.take`."""
        if self._picture is None:
            return np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), slice(0, 0)
        return self._picture.take((start, end), own)

    def waveform(self, first: int, stop: int) -> np.ndarray:
        """As `SoundFlow.take`; zeros where the channels cancel each other."""
        sound = self._sound
        if sound is None:
            return np.zeros(0, np.float32)
        samples = sound.take(first, stop)
        return np.zeros_like(samples) if sound.cancels else samples

    def drop(self, before: float) -> None:
        """Let go of what lies before a time."""
        if self._picture is not None:
            self._picture.drop(before)
        if self._sound is not None:
            self._sound.drop(max(0, round(before * self._rate)))

    def found(self) -> Found:
        """What going through the file gave, without the frames and samples."""
        first, passed = self._lanes[0], Passed()
        passed.ends.update(first.passed.ends)
        for lane in self._lanes:
            passed.ends[lane.kind] = lane.passed.ends[lane.kind]
            passed.ended |= lane.passed.ended
            passed.broken = passed.broken or lane.passed.broken
            passed.last = max(passed.last, lane.passed.last)
        sounds = [lane.begun.sound for lane in self._lanes if lane.begun.sound is not None]
        for sound in sounds:
            sound.gaps = self.gaps
        no_frames = np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), np.zeros(0, np.float32)
        return first.begun.found(passed, *no_frames, sound=next(iter(sounds), None))
