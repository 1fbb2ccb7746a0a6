"""Sound from a pipe: bytes of 16-bit samples or of a wav file, as mono samples at a wanted rate, while they come."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from avshot.errors import BadMedia, BadSetting

_AT_ONCE = 0.1  # seconds of sound that are waited for at most
# What a wav file may hold: format and bits of a sample, as numpy says it, and how loud the loudest is.
_KINDS: dict[tuple[int, int], tuple[str, float]] = {
    (1, 8): ("u1", 128.0),
    (1, 16): ("<i2", 2.0**15),
    (1, 32): ("<i4", 2.0**31),
    (3, 32): ("<f4", 1.0),
    (3, 64): ("<f8", 1.0),
}
_EXTENSIBLE = 0xFFFE  # the format then stands at the beginning of the sub-format
_MOST_CHUNKS = 1000  # in front of the samples


def sound_of(pipe: IO[bytes], rate: int, *, raw_rate: int = 16000, raw_channels: int = 1) -> Iterator[np.ndarray]:
    """The sound that comes through a pipe, piece by piece as it comes.

    Bytes that begin as a wav file does say themselves what they are; others are taken for 16-bit samples, little end
    first, channels in turn. Channels are averaged. The length that a wav header states does not count: programs that
    write to a pipe do not know it.

    Args:
        pipe: Open for reading bytes.
        rate: Hz of what is given.
        raw_rate: Hz of what comes, where it is no wav file.
        raw_channels: Likewise.

    Returns:
        Pieces `[sample]` float32 in [-1, 1], none of them empty.

    Raises:
        ValueError: A rate or number of channels that is none, a wav file of another kind, or no sound at all.
    """
    import soxr

    if not 1000 <= raw_rate <= 384000 or not 1 <= raw_channels <= 64:
        raise BadSetting(
            f"Got {raw_rate} Hz and {raw_channels} channels; expected 1000 to 384000 Hz, 1 to 64 channels."
        )
    head = _exactly(pipe, 12)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        kind, scale, channels, source, head = *_wav_header(pipe), b""
    else:
        kind, scale, channels, source = "<i2", 2.0**15, raw_channels, raw_rate
    resampler = soxr.ResampleStream(source, rate, 1, dtype="float32") if source != rate else None
    count = 0
    for samples in _samples(pipe, head, np.dtype(kind), channels, source):
        mono = (samples.astype(np.float32) - (scale if kind == "u1" else 0)).mean(axis=1) / np.float32(scale)
        piece = mono if resampler is None else resampler.resample_chunk(mono)
        count += len(mono)
        if len(piece):
            yield np.clip(np.nan_to_num(piece), -1, 1)
    if count == 0:
        raise BadMedia("No sound came through the pipe; send 16-bit samples or a wav file.")
    if resampler is not None and len(rest := resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield np.clip(np.nan_to_num(rest), -1, 1)


def _samples(pipe: IO[bytes], head: bytes, kind: np.dtype[Any], channels: int, rate: int) -> Iterator[np.ndarray]:
    """`[sample, channel]` as they come; what is left of a sample at the end is dropped."""
    read = getattr(pipe, "read1", pipe.read)
    width, waiting = kind.itemsize * channels, head
    size = max(width, round(_AT_ONCE * rate) * width)
    while (part := read(size)) or waiting:
        waiting += part
        whole = len(waiting) // width * width
        if whole:
            yield np.frombuffer(waiting[:whole], kind).reshape(-1, channels)
        waiting = waiting[whole:]
        if not part:
            return


def _wav_header(pipe: IO[bytes]) -> tuple[str, float, int, int]:
    """Kind of samples, scale, channels and Hz; the pipe then stands in front of the samples."""
    found = None
    for _ in range(_MOST_CHUNKS):
        chunk = _exactly(pipe, 8)
        if len(chunk) < 8:
            raise BadMedia("The wav file that came ends before its samples; send a whole one.")
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            if found is None:
                raise BadMedia("The wav file that came has samples before it says of which kind; send another one.")
            return found
        content = _exactly(pipe, size + size % 2)
        if name == b"fmt " and len(content) >= 16:
            found = _wav_format(content)
    raise BadMedia("The wav file that came has no samples; send another one.")


def _wav_format(content: bytes) -> tuple[str, float, int, int]:
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
    if kind == _EXTENSIBLE and len(content) >= 26:
        (kind,) = struct.unpack_from("<H", content, 24)
    if (kind, bits) not in _KINDS or not 1 <= channels <= 64 or not 1000 <= rate <= 384000:
        raise BadMedia(
            f"The wav file that came holds format {kind} of {bits} bits, {channels} channels, {rate} Hz; expected PCM "
            "of 8, 16 or 32 bits or floating point."
        )
    return *_KINDS[kind, bits], channels, rate


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    """So many bytes, or fewer at the end."""
    parts = b""
    while len(parts) < count and (part := pipe.read(count - len(parts))):
        parts += part
    return parts
