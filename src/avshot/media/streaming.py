"""Read a file of any length in stretches: what `read` gives of the whole, with no more in memory than a few of them."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from avshot.errors import BadSetting
from avshot.media.doors import reason
from avshot.media.evidence import Evidence
from avshot.media.lane import Lanes
from avshot.media.limits import BadFileError, Limits, Watch
from avshot.media.passage import LandedLate, LookFirst, Way, another_way
from avshot.media.picture import DisorderError, PictureRequest
from avshot.media.reader import DEFAULT_LIMITS, Media, checked_request
from avshot.media.stretch import Stretch
from avshot.media.verdict import judge


class Stream:
    """The stretches of a file, to be gone through once; made by `stream`.

    Attributes:
        length: Seconds of the span as the header of the file states it; None where it does not, or before the first
            stretch.
        status: As that of `Media`, of the whole; "" before the end. "truncated" also where going on failed, and
            "error: ..." also where nothing was found in what was given.
        notes: As those of `Media`; () before the end.
        duration: As that of `Media`: seconds of the span; so far, before the end.
        gaps: As those of `Media`, as far as they are known.
    """

    def __init__(
        self,
        path: str,
        request: PictureRequest,
        wants: tuple[bool, bool],
        rate: int,
        limits: Limits,
        cut: tuple[float, float],
    ) -> None:
        self._path, self._request, self._wants, self._rate = path, request, wants, rate
        self._limits, self._longest = replace(limits, seconds=math.inf), limits.seconds
        self._seconds, self._overlap = cut
        self._seals: list[bytes] = []  # of the stretches that were given
        self._begun = False
        self.length: float | None = None
        self.status, self.duration = "", 0.0
        self.notes: tuple[str, ...] = ()
        self.gaps: tuple[tuple[float, float], ...] = ()

    def __iter__(self) -> Iterator[Stretch]:
        if self._begun:
            raise BadSetting(f"The stream of {self._path} was gone through already; call stream again.")
        self._begun = True
        from av.error import FFmpegError

        way, watch = Way(), Watch(self._limits)
        while True:
            try:
                yield from self._once(way, watch)
                return
            except _Differs:
                self._seals = []
            except (DisorderError, LookFirst, LandedLate) as problem:
                try:
                    way = another_way(problem, self._path, self._request, way, self._limits, watch, self._longest)
                except (BadFileError, FFmpegError, IndexError, OSError) as worse:
                    self._give_up(worse)
                    return
            except (BadFileError, FFmpegError, IndexError, OSError) as problem:
                self._give_up(problem)
                return

    def _once(self, way: Way, watch: Watch) -> Iterator[Stretch]:
        """Go through the file; stretches that were given already are compared and not given again."""
        given, evidence, number = len(self._seals), Evidence(self._rate), 0
        with ExitStack() as opened:
            whole = (self._request, self._wants, self._rate, self._limits, way, watch)
            lanes = Lanes(opened, self._path, *whole)
            self.length = lanes.length
            while True:
                first, stop = number * self._seconds, (number + 1) * self._seconds
                lanes.go_to(stop + self._overlap, rescue=bool(self._seals))
                if lanes.ended and first >= lanes.end:
                    break
                stretch = self._cut(lanes, number, first, min(stop, lanes.end))
                evidence.look(stretch)
                if number >= given:
                    self._seals.append(_seal(stretch))
                    self.gaps, self.duration, begun = lanes.gaps, stretch.own[1], time.monotonic()
                    yield stretch
                    watch.rest(time.monotonic() - begun)
                elif _seal(stretch) != self._seals[number]:
                    raise _Differs
                number += 1
                lanes.drop(number * self._seconds - self._overlap)
            self._conclude(lanes, evidence)

    def _cut(self, lanes: Lanes, number: int, first: float, stop: float) -> Stretch:
        start, end = max(0.0, first - self._overlap), stop + self._overlap
        frames, times, new = lanes.frames(start, end, stop)
        edges = [round(edge * self._rate) for edge in (start, end, first, stop)]
        waveform = lanes.waveform(edges[0], edges[1])
        own = slice(edges[2] - edges[0], min(edges[3] - edges[0], len(waveform)))
        gaps = [(max(a, start) - start, min(b, end) - start) for a, b in lanes.gaps if b > start and a < end]
        duration = max(0.0, min(end, lanes.end) - start)
        media = Media(frames, times - start, waveform, self._rate, "ok", duration, (), tuple(gaps))
        return Stretch(number, start, (first, stop), media, new, own)

    def _conclude(self, lanes: Lanes, evidence: Evidence) -> None:
        found = lanes.found()
        self.gaps, self.duration = lanes.gaps, max(0.0, found.last - found.request.start)
        try:
            self.status, self.notes = judge(self._path, found, self._wants, evidence.held())
        except BadFileError as problem:
            self.status = f"error: {problem}."
            return
        if lanes.failed:
            told = f"Reading broke off after {lanes.end:.2f} s ({lanes.failed})."
            self.status, self.notes = "truncated", (*self.notes, told)

    def _give_up(self, problem: Exception) -> None:
        """Nothing more can be given."""
        said = str(problem) if isinstance(problem, BadFileError) else reason(problem)
        if self._seals:
            self.status, self.notes = "truncated", (f"Reading broke off after {self.duration:.2f} s ({said}).",)
        else:
            self.status = f"error: {said}."


class _Differs(Exception):
    """A stretch that was given is another one, now that all stamps are known."""


def _seal(stretch: Stretch) -> bytes:
    """What tells whether a stretch is the same; times may differ by rounding."""
    media = stretch.media
    seal = hashlib.blake2b(np.rint(media.frame_time[stretch.own_frames] * 1e6).astype(np.int64).tobytes())
    seal.update(np.ascontiguousarray(media.frames[stretch.own_frames]).data)
    seal.update(media.waveform[stretch.own_samples].data)
    return seal.digest()


def stream(
    path: str | os.PathLike[str],
    *,
    seconds: float = 30.0,
    overlap: float = 0.0,
    fps: float | None = 25.0,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    want_frames: bool = True,
    want_audio: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Stream:
    """Read a file of any length in stretches.

    Put behind each other, what is the stretches' own is what `read` gives of the whole: frame by frame, stamp by stamp,
    sample by sample. Each picture and each sound is decoded once, and no more than a few stretches are in memory.

    Where the stamps turn out not to be what they should be (see `read`), all packets are looked at, and the file is
    decoded again from its beginning; stretches that were given are compared and not given again. Where one of them is
    another one now, stretch number 0 comes again, and all that was given before is void. The look takes about 200 bytes
    of memory for each packet.

    It differs from `read` in this: `limits.seconds` refuses nothing, `limits.bytes` holds for one stretch, and whether
    the channels of the sound cancel each other (they are silent then) is decided by what was heard so far.

    Args:
        path: The file.
        seconds: Of each stretch, but the last one.
        overlap: Seconds of what lies before and behind that each stretch has, too, as far as the file goes.
        fps: As for `read`, as are the others.
        size: Likewise.
        short_side: Likewise.
        rate: Likewise.
        start: Likewise.
        end: Likewise.
        want_frames: Likewise.
        want_audio: Likewise.
        limits: Likewise.

    Returns:
        A `Stream` to be gone through once; its status and notes are known at the end. It never raises for a bad file:
        where nothing can be read there is no stretch, where going on fails those that were read are given.

    Raises:
        ValueError: A bad argument.

    Example:
        >>> found = stream("no such file.mp4", fps=1)
        >>> len(list(found)), found.status
        (0, 'error: the file does not exist.')
    """
    if not (0 < seconds < math.inf and 0 <= overlap < math.inf):
        raise BadSetting(f"Got stretches of {seconds} s with an overlap of {overlap} s; expected more than 0, and 0.")
    wants = (want_frames, want_audio)
    request = checked_request(fps, size, short_side, rate, (start, end), wants, limits)
    return Stream(os.fspath(path), request, wants, rate, limits, (seconds, overlap))
