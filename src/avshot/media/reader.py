"""Read any file that FFmpeg opens; a bad file gives a status, never an exception."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avshot.media.picture import SLACK, Picture, PictureRequest
from avshot.media.sound import Sound
from avshot.media.streams import BadFileError, Limits, Streams, choose, is_short, open_file, reason

DEFAULT_LIMITS = Limits()
_BATCH, _BATCH_BYTES = 256, 1 << 20  # packets, and bytes in them, that are decoded together
_TOO_LONG = "the span is longer than limits.seconds; read it in parts (start, end) or raise the limit"


@dataclass(frozen=True)
class Media:
    """Frames and sound of one file, or of a span of it.

    Attributes:
        frames: uint8 RGB `[frame, height, width, 3]`, upright; 0 frames when there is no picture.
        frame_time: float64 `[frame]` seconds from the start of the requested span, strictly increasing.
        waveform: float32 mono `[sample]` in [-1, 1] from the start of the span; 0 samples when there is no sound.
        rate: Hz of `waveform`.
        status: "ok", "no_audio" or "no_visual" (of what was asked for), "truncated" (the file ends before the length
            it states, or breaks off; what was there is given) or "error: " and a sentence (nothing is given).
        duration: Seconds of the span: from its start to the end of its picture or sound, whichever is later.
        notes: Sentences on what the status cannot say.
        gaps: Spans `(from, to)` in seconds from the start of the span where no sound was decoded; zeros fill them.
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

    _check(fps, size, short_side, rate)
    begin, stop = _check_span(start, end)
    if not (want_frames or want_audio):
        raise ValueError("Got want_frames=False and want_audio=False; ask for at least one of them.")
    empty = Media(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), np.zeros(0, np.float32), rate, "ok", 0.0)
    request = PictureRequest(begin, stop, fps, size, short_side, limits.bytes)
    wants = (want_frames, want_audio)
    try:
        result = _read(os.fspath(path), request, wants, empty, limits)
        if result is None:  # the seek landed behind the start of the span
            result = _read(os.fspath(path), request, wants, empty, limits, seek=False)
    except BadFileError as problem:
        return replace(empty, status=f"error: {problem}.")
    except (av.error.FFmpegError, IndexError, OSError) as problem:
        return replace(empty, status=f"error: {reason(problem)}.")
    assert result is not None
    return result


def _read(
    path: str, request: PictureRequest, wants: tuple[bool, bool], empty: Media, limits: Limits, seek: bool = True
) -> Media | None:
    with open_file(path) as container:
        streams = choose(container, limits.pixels)
        request = replace(request, start=request.start + streams.origin, end=request.end + streams.origin)
        _check_length(streams, request, limits)
        picture = Picture(streams.video, request) if wants[0] and streams.video is not None else None
        sound = _sound(streams, request, empty.rate) if wants[1] else None
        # Near the beginning decoding is cheaper than seeking.
        sought = seek and request.start - streams.origin > 2.0 and _seek(container, request.start)
        ends, broken = _demux(streams, (picture, sound), request.end, request.start + limits.seconds)
        if sought and any(sink is not None and sink.first > request.start + SLACK for sink in (picture, sound)):
            return None
        frames, times = (empty.frames, empty.frame_time) if picture is None else picture.finish(ends["video"])
        waveform = empty.waveform if sound is None else sound.finish(ends["audio"])
        short = broken or is_short(streams, ends, request.end)
    last = min(max(ends.values()), request.end)
    if len(frames) == 0 and len(waveform) == 0 and request.start >= last > -math.inf:
        at, stop = request.start - streams.origin, last - streams.origin
        raise BadFileError(f"the span starts at {at:g} s but the file ends at {stop:g} s")
    status = _status(wants, len(frames), len(waveform), short)
    return Media(frames, times, waveform, empty.rate, status, max(0.0, last - request.start))


def _sound(streams: Streams, request: PictureRequest, rate: int) -> Sound | None:
    return None if streams.audio is None else Sound(streams.audio, request.start, request.end, rate)


def _status(wants: tuple[bool, bool], frames: int, samples: int, short: bool) -> str:
    if frames == 0 and samples == 0 and (short or wants == (True, True)):
        raise BadFileError("nothing in the span could be decoded")
    if short:
        return "truncated"
    if wants[0] and frames == 0:
        return "no_visual"
    return "no_audio" if wants[1] and samples == 0 else "ok"


def _check_length(streams: Streams, request: PictureRequest, limits: Limits) -> None:
    """Refuse, before decoding, a span that is stated to be longer than the limit."""
    stated = streams.container.duration
    end = request.end if stated is None else min(request.end, streams.origin + stated / 1e6)
    if math.isfinite(end) and end - request.start > limits.seconds:
        raise BadFileError(_TOO_LONG)


def _seek(container: Any, start: float) -> bool:
    from av.error import FFmpegError

    try:  # half a second early: audio decoders need a packet or two to settle
        container.seek(int((start - 0.5) * 1e6), backward=True)
    except FFmpegError:  # not seekable: read from the beginning
        return False
    return True


def _demux(
    streams: Streams, sinks: tuple[Picture | None, Sound | None], end: float, limit: float
) -> tuple[dict[str, float], bool]:
    """Feed every packet up to `end`; returns where each stream's packets end, and whether reading broke off."""
    from av.error import FFmpegError

    ends = {"video": -math.inf, "audio": -math.inf}
    clocks = {stream.index: (stream.type, *_clock(stream)) for stream in streams.chosen}
    by_kind = {kind: sink for kind, sink in zip(("video", "audio"), sinks, strict=True) if sink is not None}
    far, most = end + 5.0, limit + 1.0 if end > limit + 1.0 else math.inf
    # Packets wait for some hundred to be decoded together. Each decoder then finds its code and tables in the
    # processor's caches; turns after every packet cost a sixth more.
    waiting: dict[str, list[tuple[Any, float | None]]] = {"video": [], "audio": []}
    count = total = 0
    broken = False
    try:
        for packet in streams.container.demux(streams.chosen):
            pts, size, time = packet.pts, packet.size, None
            if pts is None and size == 0:  # end of the file; `finish` flushes the decoders
                continue
            kind, tick, step = clocks[packet.stream_index]
            if pts is not None:
                length, time = packet.duration, pts * tick
                until = time + (length * tick if length else step)
                if until > ends[kind]:
                    ends[kind] = until
                if until > most:
                    raise BadFileError(_TOO_LONG)
                if until > far:  # the other stream has ended before the span does
                    break
            waiting[kind].append((packet, time))
            count, total = count + 1, total + size
            if count >= _BATCH or total >= _BATCH_BYTES:
                _deliver(waiting, by_kind)
                if all(sink.done for sink in by_kind.values()):
                    break
                count = total = 0
    except FFmpegError:
        broken = True
    _deliver(waiting, by_kind)
    return ends, broken


def _deliver(waiting: dict[str, list[tuple[Any, float | None]]], sinks: dict[str, Any]) -> None:
    for kind, packets in waiting.items():
        if kind in sinks:
            sinks[kind].feed(packets)
        packets.clear()


def _clock(stream: Any) -> tuple[float, float]:
    """Seconds per tick of the stamps, and per packet without a stated duration."""
    nominal = stream.average_rate if stream.type == "video" else None
    return float(stream.time_base), 0.0 if nominal is None else 1.0 / float(nominal)


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
