"""A span of a recording as a file of its own, encoded anew so that it begins and ends where it should."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avshot.errors import BadMedia
from avshot.media.reader import Media, read
from avshot.media.streams import probe

_AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_PIECE = 256 << 20  # bytes of frames that are held at a time
_FRAME_RATES = (1.0, 60.0)  # what a file with an impossible rate is bounded to


def write_excerpt(source: str | Path, target: str | Path, start: float, end: float) -> tuple[Path, float]:
    """Write a span of a recording: an mp4 file (H.264, AAC), or where there is no picture a wav file.

    Memory does not grow with the span. Channels of sound are averaged, as everything in avshot hears them; the rate of
    the sound stays where AAC knows it, the rate of the frames where it is 1 to 60 a second. A span that reaches beyond
    the recording ends with it.

    Args:
        source: The recording.
        target: The file without its ending; an existing file is replaced. It appears when it is complete.
        start: Seconds.
        end: Seconds, after `start`.

    Returns:
        The file, and its length in seconds.

    Raises:
        ValueError: The recording cannot be read, or has nothing there.
        OSError: The file cannot be written.
    """
    import av

    about = probe(source)
    if about["status"].startswith("error"):
        raise BadMedia(f"{source}: {about['status'].removeprefix('error: ')}")
    pictured, heard = about["width"] is not None, about["rate"] is not None
    rate = about["rate"] or 48000
    if pictured and rate not in _AAC_RATES:
        rate = 48000
    rate = min(max(rate, 1000), 384000)
    fps = min(max(about["fps"] or 25.0, _FRAME_RATES[0]), _FRAME_RATES[1])
    path = Path(f"{target}.{'mp4' if pictured else 'wav'}")
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    pixels = (about["width"] or 1) * (about["height"] or 1)
    try:
        with av.open(f"file:{beside}", "w", format=path.suffix[1:]) as container:
            pieces = _pieces(source, start, end, fps, rate, wants=(pictured, heard), pixels=pixels)
            length = _encode(container, pieces, Fraction(fps).limit_denominator(1001), rate, pictured, heard)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path, length


def _pieces(
    source: str | Path, start: float, end: float, fps: float, rate: int, *, wants: tuple[bool, bool], pixels: int
) -> Iterator[Media]:
    """The span in pieces of whole frames that fit in memory; ends where the recording does."""
    frames = max(1, min(_PIECE // (3 * pixels), round(60 * fps)))
    at = 0
    while start + at / fps < end - 1e-6:
        first, last = start + at / fps, min(end, start + (at + frames) / fps)
        found = _read(source, first, last, wants, fps=fps, rate=rate)
        if found.status.startswith("error") and at == 0:
            raise BadMedia(f"{source}, {start:.3f} to {end:.3f} s: {found.status.removeprefix('error: ')}")
        if found.status.startswith("error") or (not len(found.frames) and not len(found.waveform)):
            return  # the recording is over
        yield found
        at += frames


def _read(source: str | Path, start: float, end: float, wants: tuple[bool, bool], **rates: Any) -> Media:
    """Read a piece; one that is black and silent, which is an error where something is looked for in it, as it is."""
    found = read(source, start=start, end=end, want_frames=wants[0], want_audio=wants[1], **rates)
    if not (all(wants) and found.status.startswith("error")):
        return found
    seen = read(source, start=start, end=end, want_audio=False, **rates)
    heard = read(source, start=start, end=end, want_frames=False, **rates)
    if seen.status.startswith("error"):
        return found if heard.status.startswith("error") else heard
    return replace(seen, waveform=heard.waveform)


def _encode(container: Any, pieces: Iterator[Media], fps: Fraction, rate: int, pictured: bool, heard: bool) -> float:
    """Encode the pieces; returns the seconds written."""
    audio = video = None
    if heard:
        codec = "aac" if pictured else "pcm_s16le"
        audio = container.add_stream(codec, rate=rate, layout="mono")
    shown = sampled = 0
    for piece in pieces:
        if pictured and video is None and len(piece.frames):
            video = _video(container, piece.frames.shape[1:3], fps)
        if video is not None:
            for frame in piece.frames:
                _put_frame(container, video, frame, shown, fps)
                shown += 1
        if audio is not None:
            _put_sound(container, audio, piece.waveform, sampled, rate)
            sampled += len(piece.waveform)
    for stream in (video, audio):
        if stream is not None:
            container.mux(stream.encode(None))
    return max(shown / float(fps), sampled / rate)


def _video(container: Any, size: tuple[int, ...], fps: Fraction) -> Any:
    stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "18"})
    stream.height, stream.width = (side // 2 * 2 or 2 for side in size)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / fps
    stream.codec_context.thread_count = 1
    return stream


def _put_frame(container: Any, stream: Any, frame: np.ndarray, number: int, fps: Fraction) -> None:
    import av

    even = np.ascontiguousarray(np.pad(frame, ((0, 1), (0, 1), (0, 0)), mode="edge")[: stream.height, : stream.width])
    picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", threads=1)
    picture.pts, picture.time_base = number, 1 / fps
    container.mux(stream.encode(picture))


def _put_sound(container: Any, stream: Any, waveform: np.ndarray, before: int, rate: int) -> None:
    import av

    kind = "fltp" if stream.codec_context.name == "aac" else "s16"
    for at in range(0, len(waveform), 1024):
        samples = waveform[at : at + 1024].clip(-1.0, 1.0)
        values: Any = samples.astype(np.float32) if kind == "fltp" else (samples * 32767).round().astype(np.int16)
        frame = av.AudioFrame.from_ndarray(values[None], format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, before + at, Fraction(1, rate)
        container.mux(stream.encode(frame))
