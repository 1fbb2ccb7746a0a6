"""Passage: how to go through a file for a span, and one time through it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avshot.media.clock import Clock
from avshot.media.demux import TOO_LONG, Passed, deliver, look, no_made_up_stamps
from avshot.media.doors import open_file
from avshot.media.limits import BadFileError, Limits, Watch
from avshot.media.line import AHEAD
from avshot.media.picture import SLACK, DisorderError, Picture, PictureRequest
from avshot.media.roll import Roll
from avshot.media.sound import Sound
from avshot.media.streams import Streams, choose, may_restart, origin_of
from avshot.media.whole import is_short

_NEAR = 2.0  # seconds; a span that begins earlier is reached sooner by decoding than by seeking
# Where one may seek and trust what the header says of the length: stamps and length come from an index or are counted.
_INDEXED = {"mov", "matroska", "webm", "avi", "flac", "wav", "w64", "aiff", "au", "caf", "mxf", "gxf"}
# Where one may seek when a look at all packets found one clock: stamps stand in the stream itself. In what is in
# neither set (mp3, raw streams) places are estimated; it is read from the beginning.
_STAMPED = {"mpegts", "mpeg", "ogg", "flv", "live_flv", "asf", "asf_o", "nut", "rm", "wtv", "ivf", "nsv"}


# Codecs of which FFmpeg cannot tell, without decoding, in which order pictures are shown: times of display that it
# makes up from the order of decoding are wrong.
_REORDERING = {"h264", "hevc", "vvc"}


@dataclass(frozen=True)
class Way:
    """How to go through a file.

    Attributes:
        seek: Begin near the start of the span where that is safe.
        clock: The time line of all packets, where their stamps cannot be taken at face value.
        length: Seconds that a look at all packets found; None before such a look.
    """

    seek: bool = True
    clock: Clock | None = None
    length: float | None = None


@dataclass(frozen=True)
class Found:
    """What one time through a file gave; times are seconds on its clock."""

    streams: Streams
    request: PictureRequest
    passed: Passed
    picture: Picture | None
    sound: Sound | None
    frames: np.ndarray
    times: np.ndarray
    waveform: np.ndarray
    origin: float
    short: bool  # the packets end before the length that the file states
    notes: tuple[str, ...]

    @property
    def last(self) -> float:
        """Where picture or sound end, whichever is later, or the span."""
        return min(max(self.passed.ends.values()), self.request.end)


class LookFirst(Exception):
    """Only a look at all packets tells how long the file is, or whether one may seek in it."""


class LandedLate(Exception):
    """The seek landed behind the start of the span, or at a picture from which a decoder cannot start."""


def go_through(path: str, request: PictureRequest, wants: tuple[bool, bool], rate: int, limits: Limits) -> Found:
    """Decode the span, in the cheapest way first, and again from the beginning when the file turns out to need it.

    Args:
        path: The file.
        request: The span in seconds from the beginning of the file, and what is wanted of the picture.
        wants: Whether picture and sound are wanted.
        rate: Hz of the waveform.
        limits: What not to exceed.

    Raises:
        BadFileError: It cannot be used.
        av.error.FFmpegError: FFmpeg cannot open it.
    """
    way, watch = Way(), Watch(limits)
    while True:
        try:
            return _once(path, request, wants, rate, limits, way, watch)
        except (DisorderError, LookFirst, LandedLate) as problem:
            way = another_way(problem, path, request, way, limits, watch, limits.seconds)


def another_way(
    problem: Exception,
    path: str,
    request: PictureRequest,
    way: Way,
    limits: Limits,
    watch: Watch,
    longest: float,
) -> Way:
    """How to go through a file that turned out to need more than `way`; `longest` is for `make_clock`.

    Raises:
        BadFileError: There is no other way.
    """
    if isinstance(problem, LandedLate):
        return replace(way, seek=False)
    if way.clock is not None:
        raise BadFileError("its time stamps cannot be put in any order") from None
    with open_file(path, limits, watch) as container:
        clock = look(choose(container, limits), (request.start, request.end), limits, watch, longest)
    plain = clock.plain and isinstance(problem, LookFirst)
    return Way(plain, None if plain else clock, _length(clock))


def _length(clock: Clock) -> float:
    return clock.end - min((min(times) for times in clock.times.values()), default=0.0)


@dataclass(frozen=True)
class Started:
    """A file that was opened, with the decoders that its packets go to."""

    streams: Streams
    request: PictureRequest  # on the clock of the file
    picture: Picture | None
    sound: Sound | None
    origin: float
    clock: Clock | None
    sought: bool

    def check_landing(self, ended: bool = True) -> None:
        """Raise LandedLate where seeking has come behind the start of the span; what has no packet yet may wait."""
        firsts = [sink.first for sink in (self.picture, self.sound) if sink is not None]
        if self.sought and any(first > self.request.start + SLACK for first in firsts if ended or first < math.inf):
            raise LandedLate

    def found(
        self,
        passed: Passed,
        frames: np.ndarray,
        times: np.ndarray,
        waveform: np.ndarray,
        sound: Sound | None = None,
    ) -> Found:
        """What came of it; `sound` is that of the same file opened again, where it has its own."""
        notes = () if self.clock is None else self.clock.notes
        short = is_short(self.streams, passed.ends, self.request.end)
        sinks = (self.picture, self.sound or sound)
        return Found(self.streams, self.request, passed, *sinks, frames, times, waveform, self.origin, short, notes)


def start_in(
    container: Any,
    asked: PictureRequest,
    wants: tuple[bool, bool],
    rate: int,
    limits: Limits,
    way: Way,
    canvas: Roll | None = None,
) -> Started:
    """Choose the streams of an open file, make their decoders, and go where the span begins.

    Raises:
        BadFileError: It cannot be used.
        LookFirst: As `go_through` knows what to do about; as DisorderError.
    """
    streams, clock = choose(container, limits), way.clock
    far = way.seek and asked.start > _NEAR
    _check_plan(streams, asked, limits, way, far)
    origin = streams.origin if clock is None else origin_of(clock.end - _length(clock), container)
    expected = _expected(asked, stated(container, way))
    request = replace(asked, start=asked.start + origin, end=asked.end + origin, expected=expected)
    times = None if clock is None else clock.times.get("video", [])
    seen = wants[0] and streams.video is not None
    picture = Picture(streams.video, request, times, canvas) if seen else None
    sound = _sound(streams, request, rate, clock) if wants[1] else None
    sought = far and _may_seek(container, way, picture) and _seek(container, request.start)
    if clock is not None or (streams.video is not None and streams.video.codec_context.name in _REORDERING):
        no_made_up_stamps(streams)
    return Started(streams, request, picture, sound, origin, clock, sought)


def _once(
    path: str, asked: PictureRequest, wants: tuple[bool, bool], rate: int, limits: Limits, way: Way, watch: Watch
) -> Found:
    with open_file(path, limits, watch) as container:
        begun = start_in(container, asked, wants, rate, limits, way)
        picture, sound, span = begun.picture, begun.sound, (begun.request.start, begun.request.end)
        passed = deliver(begun.streams, (picture, sound), begun.clock, span, limits, watch)
        begun.check_landing()
        no_frames = np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0)
        frames, shown = no_frames if picture is None else picture.finish(passed.ends["video"])
        waveform = np.zeros(0, np.float32) if sound is None else sound.finish(passed.ends["audio"])
        return begun.found(passed, frames, shown, waveform)


def _sound(streams: Streams, request: PictureRequest, rate: int, clock: Clock | None) -> Sound | None:
    if streams.audio is None:
        return None
    return Sound(streams.audio, request.start, request.end, rate, loose=clock is not None)


def _check_plan(streams: Streams, asked: PictureRequest, limits: Limits, way: Way, far: bool) -> None:
    """Refuse, before decoding, a span longer than the limit; find out first what the header does not tell.

    Raises:
        BadFileError: The span is longer than the limit.
        LookFirst: Only a look at all packets can tell, or whether one may seek.
        DisorderError: Picture and sound do not begin on one clock.
    """
    names = _names(streams.container)
    end = min(asked.end, stated(streams.container, way, trust=True))
    long = math.isfinite(end) and end - asked.start > limits.seconds
    if long and (way.length is not None or names & _INDEXED):
        raise BadFileError(TOO_LONG)
    if way.length is None and (long or (far and names & _STAMPED)):
        raise LookFirst
    begins = [float(s.start_time * s.time_base) for s in streams.chosen if s.start_time is not None]
    if (
        way.length is None
        and may_restart(streams.container)
        and max(begins, default=0) - min(begins, default=0) > AHEAD
    ):
        raise DisorderError


def stated(container: Any, way: Way, trust: bool = False) -> float:
    """Seconds that the file lasts, as it states or as was found; infinity where neither is known, or not trusted."""
    if way.length is not None:
        return way.length
    known = container.duration is not None and (trust or bool(_names(container) & _INDEXED))
    return container.duration / 1e6 if known else math.inf


def _expected(asked: PictureRequest, length: float) -> int:
    """How many frames a span gives at least, as far as that is known."""
    seconds = min(asked.end, length) - asked.start
    return 0 if asked.fps is None or not math.isfinite(seconds) else max(0, int(asked.fps * seconds) - 1)


def _may_seek(container: Any, way: Way, picture: Picture | None) -> bool:
    names = _names(container)
    safe = bool(names & _INDEXED) or (way.length is not None and bool(names & _STAMPED))
    return safe and way.clock is None and (picture is None or picture.may_start_late)


def _names(container: Any) -> set[str]:
    return set(container.format.name.split(","))


def _seek(container: Any, start: float) -> bool:
    from av.error import FFmpegError

    try:  # half a second early: audio decoders need a packet or two to settle
        container.seek(int((start - 0.5) * 1e6), backward=True)
    except (FFmpegError, OverflowError):  # not seekable, or a clock beyond all seconds: read from the beginning
        return False
    return True
