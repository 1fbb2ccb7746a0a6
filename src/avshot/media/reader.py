"""Read any file that FFmpeg opens; a bad file gives a status, never an exception."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np

from avshot.media.doors import reason
from avshot.media.limits import BadFileError, Limits
from avshot.media.passage import go_through
from avshot.media.picture import PictureRequest
from avshot.media.verdict import held, judge

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Media:
    """Frames and sound of one file, or of a span of it.

    Attributes:
        frames: uint8 RGB `[frame, height, width, 3]`, upright; 0 frames when there is no picture.
        frame_time: float64 `[frame]` seconds from the start of the requested span, strictly increasing.
        waveform: float32 mono `[sample]` in [-1, 1] from the start of the span; 0 samples when there is no sound.
        rate: Hz of `waveform`.
        status: "ok"; "no_audio" or "no_visual" (of what was asked for); "silent" or "black" (it is there and given, but
            nothing is heard or seen in it); "truncated" (the file ends before the length it states, breaks off, goes on
            with a second file, or more than a quarter of a stream is damaged; what was there is given); or "error: "
            and a sentence (nothing is given). The first that holds of error, truncated, no_visual, no_audio, silent,
            black; the others are among the notes.
        duration: Seconds of the span: from its start to the end of its picture or sound, whichever is later.
        notes: Sentences on what was left out, joined or assumed, for whoever uses the result.
        gaps: Seconds of the waveform, from and to, in which no sound was found and zeros were put: a late start, lost
            or damaged packets. Not the part behind the end of the sound.
    """

    frames: np.ndarray
    frame_time: np.ndarray
    waveform: np.ndarray
    rate: int
    status: str
    duration: float
    notes: tuple[str, ...] = ()
    gaps: tuple[tuple[float, float], ...] = ()


def read(
    path: str | os.PathLike[str],
    *,
    fps: float | None = 25.0,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    rate: int = 16000,
    start: float | None = None,
    end: float | None = None,
    want_frames: bool = True,
    want_audio: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Media:
    """Read frames at stated times and the waveform at a stated rate, in one pass over the file.

    Frames are those on the screen at `(k + 0.5) / fps` seconds after `start`, k = 0, 1, ..., by time stamp (variable
    frame rates included), while the picture lasts; their `frame_time` is that wanted time. A picture shorter than half
    a step gives its last frame. Damaged packets are decoded around: their time shows the frame before, or is silent.

    Time 0 is the earliest stamp of the chosen picture and sound (a negative one, an encoder's warm-up, counts as 0).
    Of several streams the default one is taken, then the one with most pixels or channels; cover pictures never.

    Where the stamps cannot be taken at face value (joined transport streams, clocks that restart, wrap or jump, no
    times of display) all packets are looked at first and put on one time line, picture and sound together, and `notes`
    say so. Such a file is read from its beginning, whatever the span, so that a span is always the part of the whole;
    so are codecs whose key pictures are not known to need nothing from before. Elsewhere a span far in is sought.

    Args:
        path: The file.
        fps: Frames per second, or None for every frame at its own time.
        size: Height and width of the frames (the aspect ratio is not kept); default as stored, upright.
        short_side: Instead of `size`: length of the shorter side, the aspect ratio kept.
        rate: Hz of the waveform. Channels are averaged.
        start: Seconds from the beginning of the file; default 0.
        end: Seconds from the beginning of the file; default its end.
        want_frames: Decode the picture.
        want_audio: Decode the sound.
        limits: What not to exceed.

    Returns:
        A `Media`; never raises for a bad file, its status says what is wrong.

    Raises:
        ValueError: A bad argument.
    """
    import av

    empty = Media(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), np.zeros(0, np.float32), rate, "ok", 0.0)
    wants, name = (want_frames, want_audio), os.fspath(path)
    request = checked_request(fps, size, short_side, rate, (start, end), wants, limits)
    try:
        found = go_through(name, request, wants, rate, limits)
        status, notes = judge(name, found, wants, held(found, rate))
    except BadFileError as problem:
        return replace(empty, status=f"error: {problem}.")
    except (av.error.FFmpegError, IndexError, OSError) as problem:
        return replace(empty, status=f"error: {reason(problem)}.")
    duration = max(0.0, found.last - found.request.start)
    gaps = () if found.sound is None else found.sound.gaps
    return Media(found.frames, found.times, found.waveform, rate, status, duration, notes, gaps)


def checked_request(
    fps: float | None,
    size: tuple[int, int] | None,
    short_side: int | None,
    rate: int,
    span: tuple[float | None, float | None],
    wants: tuple[bool, bool],
    limits: Limits,
) -> PictureRequest:
    """What `read` is asked for. Raises ValueError for a bad argument."""
    _check(fps, size, short_side, rate)
    begin, stop = _check_span(*span)
    if not any(wants):
        raise ValueError("Got want_frames=False and want_audio=False; ask for at least one of them.")
    return PictureRequest(
        begin, stop, fps, size, short_side, max_bytes=limits.bytes, max_pixels=limits.pixels, max_rate=limits.rate
    )


def _check(fps: float | None, size: tuple[int, int] | None, short_side: int | None, rate: int) -> None:
    if fps is not None and not 0 < fps <= 1000:
        raise ValueError(f"fps is {fps}; expected frames per second in (0, 1000], or None for every frame.")
    if size is not None and short_side is not None:
        raise ValueError("Got both size and short_side; pass one of them.")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size is {size}; expected (height, width), both at least 1.")
    if short_side is not None and short_side < 1:
        raise ValueError(f"short_side is {short_side}; expected at least 1 pixel.")
    if not 1000 <= rate <= 384000:
        raise ValueError(f"rate is {rate} Hz; expected 1000 to 384000.")


def _check_span(start: float | None, end: float | None) -> tuple[float, float]:
    begin, stop = 0.0 if start is None else start, math.inf if end is None else end
    if not (0 <= begin < math.inf and stop > begin):
        raise ValueError(f"The span is {start} to {end} s; expected 0 <= start < end, or None for the whole file.")
    return begin, stop
