"""Choose the picture and the sound of a file, and describe them without decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from avshot.media.doors import may_decode, open_file, reason
from avshot.media.limits import BadFileError, Limits, Watch
from avshot.media.sound import RATES

_WARM_UP = -1.0  # seconds; stamps down to here are an encoder's warm-up, of which nothing is shown


@dataclass(frozen=True)
class Streams:
    """The chosen streams of an open container, the stamp (seconds) that counts as time 0, and what was not chosen."""

    container: Any
    video: Any
    audio: Any
    origin: float
    notes: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()  # of all streams of a transport stream, otherwise empty

    @property
    def sequential(self) -> bool:
        """Whether packets stand in the file in the order in which they are read, and nothing behind them."""
        return bool({"flv", "live_flv"} & set(self.container.format.name.split(",")))

    @property
    def chosen(self) -> list[Any]:
        """Those of the two that exist."""
        return [stream for stream in (self.video, self.audio) if stream is not None]


def choose(container: Any, limits: Limits) -> Streams:
    """Choose picture and sound: the default stream, then the one with most pixels or channels; no cover pictures.

    Raises:
        BadFileError: There is neither, or the picture is larger than `limits.pixels`.
    """
    from av.stream import Disposition

    def rank(stream: Any) -> tuple[bool, int]:
        extent = stream.width * stream.height if stream.type == "video" else stream.channels
        return bool(stream.disposition & Disposition.default), extent

    covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    video = max((s for s in container.streams.video if may_decode(s) and s not in covers), key=rank, default=None)
    audio = max((s for s in container.streams.audio if may_decode(s) and _sane(s.rate)), key=rank, default=None)
    if video is None and audio is None:
        raise BadFileError("it holds neither a picture nor sound that can be decoded")
    if video is not None:
        if video.width * video.height > limits.pixels:
            raise BadFileError(
                f"its picture is {video.width}x{video.height}, more than limits.pixels = {limits.pixels}"
            )
        # Extraction runs one process per core; and one thread cannot hang on closing (see `open_file`).
        video.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(limits.pixels)}  # what is decoded may be larger than is stated
    left = [stream for stream in container.streams.video if video is None and stream not in covers]
    left += [stream for stream in container.streams.audio if audio is None]
    numbers = tuple(stream.id for stream in container.streams) if container.format.name == "mpegts" else ()
    notes = tuple(map(_left_out, left[:2]))
    return Streams(container, video, audio, _origin(container, video, audio), notes, numbers)


def _left_out(stream: Any) -> str:
    what, context = "picture" if stream.type == "video" else "sound", stream.codec_context
    if not may_decode(stream):
        codec = "an unknown codec" if context is None else f"codec {context.name!r}"
        return f"The {what} was left out: {codec} is not among the decoders that are used."
    return f"The {what} was left out: it states {stream.rate} Hz."


def _sane(rate: int | None) -> bool:
    return not rate or RATES[0] <= rate <= RATES[1]  # the decoder may know better than a header that says nothing


def _origin(container: Any, video: Any, audio: Any) -> float:
    """The stamp of time 0: the earliest one."""
    found = [stream for stream in (video, audio) if stream is not None and stream.start_time is not None]
    return origin_of(min((float(stream.start_time * stream.time_base) for stream in found), default=0.0), container)


def origin_of(first: float, container: Any) -> float:
    """The stamp of time 0, given the earliest one. A negative one counts as 0 where it means what nobody shall see.

    That is an encoder's warm-up, or what the edit list of an mp4 cuts away. In a transport stream it comes from a clock
    that wrapped, and in other formats a long one is no warm-up.
    """
    names = container.format.name.split(",")
    counts = "mpegts" in names or "mpeg" in names or (first < _WARM_UP and "mov" not in names)
    return first if counts else max(0.0, first)


def may_restart(container: Any) -> bool:
    """Whether the format is one whose clock may start anew in the middle (transport streams that were joined)."""
    from av.format import Flags

    return bool(container.format.flags & Flags.ts_discont.value)


def probe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a file without decoding it: what its header states.

    Returns:
        `status` ("ok", "no_audio", "no_visual" or "error: ..."; only reading finds a truncated file) and, unless it is
        an error, `format`, `duration` (seconds or None), `width`, `height`, `fps`, `video_codec` (None without a
        picture), `rate` in Hz, `channels`, `audio_codec` (None without sound), `video_streams`, `audio_streams`.
    """
    import av

    limits = Limits()
    try:
        with open_file(os.fspath(path), limits, Watch(limits)) as container:
            streams = choose(container, limits)
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
    fps = float(stream.average_rate) if stream.average_rate else None
    return {"width": stream.width, "height": stream.height, "fps": fps, "video_codec": stream.codec_context.name}


def _describe_audio(stream: Any) -> dict[str, Any]:
    if stream is None:
        return dict.fromkeys(("rate", "channels", "audio_codec"))
    return {"rate": stream.rate or None, "channels": stream.channels, "audio_codec": stream.codec_context.name}
