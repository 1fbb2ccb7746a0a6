"""Read any file that FFmpeg opens; a bad file gives a status, never an exception."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avshot.media.picture import Picture, PictureRequest, TooBigError
from avshot.media.sound import Sound, span_of

# Formats that state the length of their streams. Elsewhere (MPEG streams, mp3, raw AAC) the stated length is a guess
# from the bit rate or from the last stamp found, and cannot prove that something is missing.
_DECLARING = {"mov", "matroska", "webm", "avi", "wav", "flac", "flv", "asf"}
_MISSING = 0.25  # seconds that may lack at the end before a file counts as truncated (last packets are often inexact)


@dataclass(frozen=True)
class Limits:
    """What `read` refuses to exceed: the file then gets an "error: ..." status that says what to ask instead."""

    seconds: float = 3600.0  # longest span; longer files are read in spans (`start`, `end`)
    bytes: int = 4 << 30  # largest array of frames
    pixels: int = 1 << 26  # largest stored picture (8K is half of it); guards against absurd declared sizes


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
    """

    frames: np.ndarray
    frame_time: np.ndarray
    waveform: np.ndarray
    rate: int
    status: str
    duration: float


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
    limits: Limits = Limits(),
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

    _check(fps, size, short_side, rate, start, end)
    begin, stop = start or 0.0, math.inf if end is None else end
    empty = Media(np.zeros((0, 0, 0, 3), np.uint8), np.zeros(0), np.zeros(0, np.float32), rate, "ok", 0.0)
    request = PictureRequest(begin, stop, fps, size, short_side, limits.bytes)
    wants = (want_frames, want_audio)
    try:
        result = _read(os.fspath(path), request, wants, empty, limits)
        if result is None:  # the seek landed behind the start of the span
            result = _read(os.fspath(path), request, wants, empty, limits, seek=False)
    except (BadFileError, TooBigError) as problem:
        return replace(empty, status=f"error: {problem}.")
    except (av.error.FFmpegError, IndexError, OSError) as problem:
        return replace(empty, status=f"error: not a readable video or sound file, or cut off early ({problem}).")
    assert result is not None
    return result


_TOO_LONG = "the span is longer than limits.seconds; read it in parts (start, end) or raise the limit"


class BadFileError(Exception):
    """The file cannot be used; the message is a sentence without its full stop."""


@dataclass(frozen=True)
class _Chosen:
    """The opened streams, and the stamp that counts as time 0."""

    container: Any
    video: Any
    audio: Any
    origin: float

    @property
    def streams(self) -> list[Any]:
        return [stream for stream in (self.video, self.audio) if stream is not None]


def _read(
    path: str, request: PictureRequest, wants: tuple[bool, bool], empty: Media, limits: Limits, seek: bool = True
) -> Media | None:
    with _open(path) as container:
        chosen = _choose(container, limits)
        request = replace(request, start=request.start + chosen.origin, end=request.end + chosen.origin)
        _check_length(chosen, request, limits)
        picture = Picture(chosen.video, request) if wants[0] and chosen.video is not None else None
        sound = Sound(chosen.audio, request.start, request.end) if wants[1] and chosen.audio is not None else None
        sought = seek and request.start - chosen.origin > 2.0 and _seek(container, request.start)
        ends, broken = _demux(chosen, picture, sound, request.end, request.start + limits.seconds)
        if sought and picture is not None and (picture.first is None or picture.first > request.start + 1e-3):
            return None
        frames, times = picture.finish(ends["video"]) if picture is not None else (empty.frames, empty.frame_time)
        waveform = sound.finish(empty.rate, ends["audio"]) if sound is not None else empty.waveform
        last = min(max(ends.values()), request.end)
        short = broken or _is_short(chosen, ends, request.end)
    if len(frames) == 0 and len(waveform) == 0 and last <= request.start:
        raise BadFileError(
            f"the span starts at {request.start - chosen.origin:g} s but the file ends at {last - chosen.origin:g} s"
            if math.isfinite(last)
            else "nothing in the file could be decoded"
        )
    status = _status(wants, len(frames), len(waveform), short)
    return Media(frames, times, waveform, empty.rate, status, max(0.0, last - request.start))


def _status(wants: tuple[bool, bool], frames: int, samples: int, short: bool) -> str:
    if frames == 0 and samples == 0 and wants == (True, True):
        raise BadFileError("nothing in the file could be decoded")
    if short:
        return "truncated"
    if wants[0] and frames == 0:
        return "no_visual"
    return "no_audio" if wants[1] and samples == 0 else "ok"


def _open(path: str) -> Any:
    import av

    av.logging.set_level(av.logging.PANIC)
    if os.path.isdir(path):
        raise BadFileError("the path is a folder; expected a video or sound file")
    if not os.path.exists(path):
        raise BadFileError("the file does not exist")
    if os.path.getsize(path) == 0:
        raise BadFileError("the file is empty (0 bytes)")
    # "file:" keeps names with a colon from being taken for a protocol; the white list keeps playlists off the network.
    return av.open(f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"})


def _choose(container: Any, limits: Limits) -> _Chosen:
    from av.stream import Disposition

    def usable(stream: Any) -> bool:
        return stream.codec_context is not None and not stream.disposition & Disposition.attached_pic

    def rank(stream: Any) -> tuple[bool, int]:
        extent = stream.width * stream.height if stream.type == "video" else stream.channels
        return bool(stream.disposition & Disposition.default), extent

    video = max(filter(usable, container.streams.video), key=rank, default=None)
    audio = max(filter(usable, container.streams.audio), key=rank, default=None)
    if video is None and audio is None:
        raise BadFileError("it holds neither a picture nor sound that can be decoded")
    if video is not None:
        if video.width * video.height > limits.pixels:
            raise BadFileError(
                f"its picture is {video.width}x{video.height}, more than limits.pixels = {limits.pixels}"
            )
        video.thread_type, video.codec_context.thread_count = "AUTO", 1
    chosen = [stream for stream in (video, audio) if stream is not None]
    starts = [float(stream.start_time * stream.time_base) for stream in chosen if stream.start_time is not None]
    return _Chosen(container, video, audio, max(0.0, min(starts, default=0.0)))


def _check_length(chosen: _Chosen, request: PictureRequest, limits: Limits) -> None:
    """Refuse, before decoding, a span that is stated to be longer than the limit."""
    stated = chosen.container.duration
    end = request.end if stated is None else min(request.end, chosen.origin + stated / 1e6)
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
    chosen: _Chosen, picture: Picture | None, sound: Sound | None, end: float, limit: float
) -> tuple[dict[str, float], bool]:
    """Feed every packet up to `end`; returns where each stream's packets end, and whether reading broke off."""
    from av.error import FFmpegError

    ends = {"video": -math.inf, "audio": -math.inf}
    bases = {stream.index: float(stream.time_base) for stream in chosen.streams}
    sinks = {"video": picture, "audio": sound}
    waiting = [sink for sink in sinks.values() if sink is not None]
    try:
        for packet in chosen.container.demux(chosen.streams):
            if packet.size == 0 and packet.pts is None:  # end of the file; `finish` flushes
                continue
            stream = packet.stream
            until = span_of(packet, bases[stream.index])
            ends[stream.type] = max(ends[stream.type], until)
            if min(until, end) > limit:
                raise BadFileError(_TOO_LONG)
            sink = sinks[stream.type]
            if sink is not None:
                sink.feed(packet)
                if sink.done and all(other.done for other in waiting):
                    break
            if until > end + 5.0:  # one of the streams has ended before the span does
                break
    except FFmpegError:
        return ends, True
    return ends, False


def _is_short(chosen: _Chosen, ends: dict[str, float], end: float) -> bool:
    """Whether a stream's packets end earlier than the file states (the index was in front, the tail is missing)."""
    container = chosen.container
    if not _DECLARING & set(container.format.name.split(",")):
        return False
    whole = math.inf if container.duration is None else chosen.origin + container.duration / 1e6
    for stream in chosen.streams:
        if stream.duration is not None:
            stated = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        elif len(container.streams) == 1:
            stated = whole
        else:
            continue
        stated = min(stated, whole, end)
        if math.isfinite(stated) and ends[stream.type] < stated - _MISSING:
            return True
    if all(stream.duration is None for stream in chosen.streams):
        stated = min(whole, end)
        return math.isfinite(stated) and max(ends.values()) < stated - _MISSING
    return False


def _check(fps: Any, size: Any, short_side: Any, rate: Any, start: Any, end: Any) -> None:
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
    if (start is not None and not 0 <= start < math.inf) or (end is not None and not end > (start or 0.0)):
        raise ValueError(f"The span is {start} to {end} s; expected 0 <= start < end, or None for the whole file.")


def probe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a file without decoding it: what its header states.

    Returns:
        `status` ("ok", "no_audio", "no_visual" or "error: ..."; only reading finds a truncated file) and, unless
        it is an error, `format`, `duration` (seconds or None), `width`, `height`, `fps`, `video_codec` (None without
        a picture), `rate` in Hz, `channels`, `audio_codec` (None without sound), `video_streams`, `audio_streams`.
    """
    import av

    try:
        with _open(os.fspath(path)) as container:
            chosen = _choose(container, Limits())
            video, audio, streams = chosen.video, chosen.audio, container.streams
            return {
                "status": "no_visual" if video is None else "no_audio" if audio is None else "ok",
                "format": container.format.name,
                "duration": None if container.duration is None else container.duration / 1e6,
                "width": None if video is None else video.width,
                "height": None if video is None else video.height,
                "fps": None if video is None or video.average_rate is None else float(video.average_rate),
                "video_codec": None if video is None else video.codec_context.name,
                "rate": None if audio is None else audio.rate,
                "channels": None if audio is None else audio.channels,
                "audio_codec": None if audio is None else audio.codec_context.name,
                "video_streams": len(streams.video),
                "audio_streams": len(streams.audio),
            }
    except BadFileError as problem:
        return {"status": f"error: {problem}."}
    except (av.error.FFmpegError, IndexError, OSError) as problem:
        return {"status": f"error: not a readable video or sound file, or cut off early ({problem})."}
