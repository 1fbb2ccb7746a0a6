"""Open a file, choose its picture and sound, and tell whether it ends where it says."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Formats that state the length of their streams. Elsewhere (MPEG streams, mp3, raw AAC, wav as FFmpeg reads it) the
# length is worked out from the size of the file or the last stamp in it, and cannot prove that something is missing.
_DECLARING = {"mov", "matroska", "webm", "avi", "flac", "flv", "asf"}
_MISSING = 0.25  # seconds that may lack at the end before a file counts as truncated (last packets are often inexact)


class BadFileError(Exception):
    """The file cannot be used, or a limit is reached; the message is a sentence without its full stop."""


@dataclass(frozen=True)
class Limits:
    """What `read` refuses to exceed: the file then gets an "error: ..." status that says what to ask instead.

    Attributes:
        seconds: Longest span; longer files are read in parts (`start`, `end`).
        bytes: Largest array of frames.
        pixels: Largest stored picture; guards against absurd declared sizes.
    """

    seconds: float = 3600.0  # an hour of sound at 48 kHz is 0.7 GB before resampling
    bytes: int = 4 << 30  # an hour of 25 fps at 48x64 is 0.8 GiB
    pixels: int = 1 << 26  # twice 8K


@dataclass(frozen=True)
class Streams:
    """The chosen streams of an open container, and the stamp (seconds) that counts as time 0."""

    container: Any
    video: Any
    audio: Any
    origin: float

    @property
    def chosen(self) -> list[Any]:
        """Those of the two that exist."""
        return [stream for stream in (self.video, self.audio) if stream is not None]


def open_file(path: str) -> Any:
    """Open a local file with FFmpeg. Raises BadFileError or an `av.error.FFmpegError`.

    PyAV is silent unless its logging was switched on. Setting a level, even PANIC, would install a log callback that
    takes the interpreter's lock in FFmpeg's own threads, and closing a threaded decoder then hangs.
    """
    import av

    if os.path.isdir(path):
        raise BadFileError("the path is a folder; expected a video or sound file")
    if not os.path.exists(path):
        raise BadFileError("the file does not exist")
    if os.path.getsize(path) == 0:
        raise BadFileError("the file is empty (0 bytes)")
    # "file:" keeps names with a colon from being taken for a protocol; the white list keeps playlists off the network.
    # FFmpeg decodes the first pictures to learn what the streams are; nobody sees those, so they need no loop filter.
    # The option does not reach the decoders that PyAV opens afterwards.
    options = {"protocol_whitelist": "file", "skip_loop_filter": "all"}
    return av.open(f"file:{path}", metadata_errors="ignore", options=options)


def reason(problem: Exception) -> str:
    """A sentence, without its full stop, for what FFmpeg or the system said."""
    said = getattr(problem, "strerror", None) or str(problem)
    return f"not a readable video or sound file, or cut off before its index ({said})"


def choose(container: Any, max_pixels: int) -> Streams:
    """Choose picture and sound: the default stream, then the one with most pixels or channels; no cover pictures.

    Raises:
        BadFileError: There is neither, or the picture is larger than `max_pixels`.
    """
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
        if video.width * video.height > max_pixels:
            raise BadFileError(f"its picture is {video.width}x{video.height}, more than limits.pixels = {max_pixels}")
        # Extraction runs one process per core; and one thread cannot hang on closing (see `open_file`).
        video.codec_context.thread_count = 1
    found = [stream for stream in (video, audio) if stream is not None]
    starts = [float(stream.start_time * stream.time_base) for stream in found if stream.start_time is not None]
    return Streams(container, video, audio, max(0.0, min(starts, default=0.0)))


def is_short(streams: Streams, ends: Mapping[str, float], end: float) -> bool:
    """Whether packets end earlier than the file states: its index was in front and the tail is missing.

    Packets are compared, not decoded frames: a damaged frame at the end is not a truncated file.

    Args:
        streams: The chosen streams, read to the end of the file or to `end`.
        ends: Seconds at which the packets of "video" and "audio" end.
        end: Where the wanted span ends.
    """
    container = streams.container
    if not _DECLARING & set(container.format.name.split(",")):
        return False
    whole = math.inf if container.duration is None else streams.origin + container.duration / 1e6
    stated = {stream.type: min(_stated_end(stream), whole, end) for stream in streams.chosen}
    own = {kind: until for kind, until in stated.items() if math.isfinite(until)}
    if any(stream.duration is None for stream in streams.chosen):  # Matroska states only the longest stream's end
        own = {kind: until for kind, until in own.items() if ends[kind] == max(ends.values())}
    return any(ends[kind] < until - _MISSING for kind, until in own.items())


def _stated_end(stream: Any) -> float:
    if stream.duration is None:
        return math.inf
    first = 0 if stream.start_time is None else stream.start_time
    return float((first + stream.duration) * stream.time_base)


def probe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a file without decoding it: what its header states.

    Returns:
        `status` ("ok", "no_audio", "no_visual" or "error: ..."; only reading finds a truncated file) and, unless it is
        an error, `format`, `duration` (seconds or None), `width`, `height`, `fps`, `video_codec` (None without a
        picture), `rate` in Hz, `channels`, `audio_codec` (None without sound), `video_streams`, `audio_streams`.
    """
    import av

    try:
        with open_file(os.fspath(path)) as container:
            streams = choose(container, Limits().pixels)
            return {**_describe(container), **_describe_video(streams.video), **_describe_audio(streams.audio)} | {
                "status": "no_visual" if streams.video is None else "no_audio" if streams.audio is None else "ok"
            }
    except BadFileError as problem:
        return {"status": f"error: {problem}."}
    except (av.error.FFmpegError, IndexError, OSError) as problem:
        return {"status": f"error: {reason(problem)}."}


def _describe(container: Any) -> dict[str, Any]:
    return {
        "format": container.format.name,
        "duration": None if container.duration is None else container.duration / 1e6,
        "video_streams": len(container.streams.video),
        "audio_streams": len(container.streams.audio),
    }


def _describe_video(stream: Any) -> dict[str, Any]:
    if stream is None:
        return dict.fromkeys(("width", "height", "fps", "video_codec"))
    fps = None if stream.average_rate is None else float(stream.average_rate)
    return {"width": stream.width, "height": stream.height, "fps": fps, "video_codec": stream.codec_context.name}


def _describe_audio(stream: Any) -> dict[str, Any]:
    if stream is None:
        return dict.fromkeys(("rate", "channels", "audio_codec"))
    return {"rate": stream.rate, "channels": stream.channels, "audio_codec": stream.codec_context.name}
