"""Write frames and a waveform as an H.264 + AAC mp4 file."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import numpy as np

_AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


def write(
    path: str | os.PathLike[str],
    frames: np.ndarray | None,
    fps: float = 25.0,
    waveform: np.ndarray | None = None,
    rate: int = 16000,
) -> None:
    """Write an mp4 file (H.264 yuv420p + AAC, index in front); the same input gives the same bytes on one machine.

    The file appears under its name only when complete (written beside it, then renamed).

    Args:
        path: The file to make; an existing one is replaced.
        frames: uint8 RGB `[frame, height, width, 3]` with even height and width, or None for sound alone.
        fps: Frames per second.
        waveform: Mono samples `[sample]` in [-1, 1] (values beyond are cut), or None for a silent video.
        rate: Hz of the waveform; one of the rates AAC knows, 7350 to 96000.

    Raises:
        ValueError: Nothing to write, or a shape, type, fps or rate that H.264 or AAC cannot take.
    """
    import av

    _check(frames, fps, waveform, rate)
    path = os.path.abspath(os.fspath(path))
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        with av.open(
            f"file:{beside}", "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
        ) as container:
            video = None if frames is None else _video_stream(container, frames, fps)
            audio = None if waveform is None else _audio_stream(container, rate)
            _encode(container, (video, frames, fps), (audio, waveform, rate))
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def _check(frames: np.ndarray | None, fps: float, waveform: np.ndarray | None, rate: int) -> None:
    if frames is None and waveform is None:
        raise ValueError("Got neither frames nor a waveform; pass at least one of them.")
    if frames is not None:
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or len(frames) == 0:
            raise ValueError(
                f"frames have shape {frames.shape} and type {frames.dtype}; "
                "expected uint8 [frame, height, width, 3] with at least one frame."
            )
        if frames.shape[1] % 2 or frames.shape[2] % 2 or 0 in frames.shape:
            raise ValueError(
                f"frames are {frames.shape[1]} high and {frames.shape[2]} wide; H.264 (yuv420p) needs even sizes: "
                "cut or pad one row or column."
            )
        if not 0 < fps <= 1000:
            raise ValueError(f"fps is {fps}; expected frames per second in (0, 1000].")
    if waveform is not None:
        if waveform.ndim != 1 or waveform.dtype.kind != "f" or len(waveform) == 0:
            raise ValueError(
                f"waveform has shape {waveform.shape} and type {waveform.dtype}; expected float mono [sample]."
            )
        if not np.isfinite(waveform).all():
            raise ValueError("waveform holds infinite or undefined samples; replace them first.")
        if rate not in _AAC_RATES:
            raise ValueError(f"rate is {rate} Hz; AAC takes {', '.join(map(str, _AAC_RATES))}: resample first.")


def _video_stream(container: Any, frames: np.ndarray, fps: float) -> Any:
    rate = _exact(fps)
    # Without mbtree: on some processors it spreads bits by chance, and the same frames gave another file each time.
    options = {"preset": "veryfast", "crf": "18", "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=rate, options=options)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate
    _repeatable(stream.codec_context)
    return stream


def _audio_stream(container: Any, rate: int) -> Any:
    stream = container.add_stream("aac", rate=rate, layout="mono")
    stream.bit_rate = 128_000 if rate >= 32000 else 64_000
    _repeatable(stream.codec_context)
    return stream


def _exact(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)  # 29.97 is 30000/1001


def _repeatable(context: Any) -> None:
    from av.codec.context import Flags

    context.thread_count = 1
    context.flags |= Flags.bitexact


def _encode(container: Any, picture: tuple[Any, Any, float], sound: tuple[Any, Any, int]) -> None:
    """Feed both encoders in step, so that the muxer never holds more than a moment of either."""
    import av
    from av.video.reformatter import VideoReformatter

    (video, frames, fps), (audio, waveform, rate) = picture, sound
    scaler, position, tick = VideoReformatter(), 0, 1 / _exact(fps)  # the muxer changes the stream's own time base
    for i in range(0 if frames is None else len(frames)):
        if waveform is not None:
            position = _encode_sound(container, audio, waveform, position, int((i + 1) / fps * rate))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[i]), format="rgb24")
        frame = scaler.reformat(frame, format="yuv420p", threads=1)
        frame.pts, frame.time_base = i, tick
        container.mux(video.encode(frame))
    if waveform is not None:
        _encode_sound(container, audio, waveform, position, len(waveform) + 1024)
        container.mux(audio.encode(None))
    if video is not None:
        container.mux(video.encode(None))


def _encode_sound(container: Any, audio: Any, waveform: np.ndarray, position: int, until: int) -> int:
    import av

    while position < min(until, len(waveform)) and (position + 1024 <= until):
        chunk = np.clip(waveform[position : position + 1024], -1.0, 1.0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(chunk[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = audio.rate, position, Fraction(1, audio.rate)
        container.mux(audio.encode(frame))
        position += len(chunk)
    return position
