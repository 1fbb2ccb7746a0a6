"""Whether a file is whole: does it reach the length that it states, and is a second file joined behind it?"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO

import numpy as np

from avshot.media.streams import Streams

# Formats that state the length of their streams. Elsewhere (MPEG streams, mp3, raw AAC, wav as FFmpeg reads it) the
# length is worked out from the size of the file or the last stamp in it, and cannot prove that something is missing.
_DECLARING = {"mov", "matroska", "webm", "avi", "flac", "flv", "asf", "w64", "caf"}
_MISSING = 0.25  # seconds that may lack at the end before a file counts as truncated (last packets are often inexact)
_UNKNOWN = {0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF}  # sizes that writers of pipes leave
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the name of an object in ASF
_PACKETS = 1 << 18  # of a transport stream that are looked at together: 50 MB
_SLACK = 16  # bytes that may lack at the end: padding


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


def stated_size(path: str) -> tuple[int | None, bool]:
    """How many bytes a file says it has, by its outermost headers, and whether another file begins behind them.

    Returns:
        The bytes (None when the format does not say, or says that it does not know), and True when a second file of the
        same kind is joined behind the first, which FFmpeg does not read.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        for marks, walk in _WALKS:
            if any(head[at : at + len(mark)] == mark for at, mark in marks):
                try:
                    stated = walk(file, head, size)
                except (struct.error, IndexError):  # a header that is cut itself
                    return None, False
                break
        else:
            return None, False
        if stated is None or stated in _UNKNOWN or stated + _SLACK >= size:
            return stated, False
        file.seek(stated)
        following = file.read(64)
    joined = walk is not _ebml and any(following[at : at + len(mark)] == mark for at, mark in marks)
    return stated, joined  # FFmpeg goes on to a second Matroska segment


def late_streams(path: str, known: Collection[int]) -> list[int]:
    """Numbers of streams of video and sound in a transport stream that are not among those found at its beginning.

    PyAV gives no packets of streams that appear later, as they do where a recording with other numbers is joined.
    """
    found: set[int] = set()
    with open(path, "rb") as file:
        head = file.read(3 * 192)
        layouts = [
            (at, size) for size in (188, 192) for at in range(size) if head[at : at + 2 * size + 1 : size] == b"GGG"
        ]
        if not layouts:
            return []
        at, size = layouts[0]
        file.seek(at)
        while len(block := np.frombuffer(file.read(size * _PACKETS), np.uint8)) >= size:
            packets = block[: len(block) // size * size].reshape(-1, size)[:, :188]
            begins = packets[(packets[:, 0] == 0x47) & (packets[:, 1] & 0x40 > 0)]
            start = 4 + np.where(begins[:, 3] & 0x20, 1 + begins[:, 4].astype(int), 0)
            begins, start = begins[start < 184], start[start < 184]
            mark = np.take_along_axis(begins, start[:, None] + np.arange(4), axis=1)
            media = (mark[:, :3] == (0, 0, 1)).all(axis=1) & (mark[:, 3] >= 0xC0) & (mark[:, 3] <= 0xEF)
            found |= set(np.unique((begins[media, 1].astype(int) & 0x1F) << 8 | begins[media, 2]).tolist())
    return sorted(found - set(known))


def _riff(file: BinaryIO, head: bytes, size: int) -> int | None:
    """WAV and AVI: chunks RIFF, and for long AVI files RIFF AVIX behind it."""
    at, wide = 0, head[:4] != b"RIFF"
    if wide:  # RF64: the size stands in the chunk ds64
        return struct.unpack_from("<Q", head, 20)[0] + 8 if head[12:16] == b"ds64" else None
    while at == 0 or (head[:4] == b"RIFF" and head[8:12] == b"AVIX"):
        (length,) = struct.unpack_from("<I", head, 4)
        if length in _UNKNOWN:
            return None
        at += 8 + length + length % 2
        if at >= size:
            return at
        file.seek(at)
        head = file.read(64)
    return at


def _form(file: BinaryIO, head: bytes, size: int) -> int | None:
    (length,) = struct.unpack_from(">I", head, 4)
    return None if length in _UNKNOWN else 8 + int(length)


def _au(file: BinaryIO, head: bytes, size: int) -> int | None:
    offset, length = struct.unpack_from(">II", head, 4)
    return None if length in _UNKNOWN else int(offset + length)


def _w64(file: BinaryIO, head: bytes, size: int) -> int | None:
    (length,) = struct.unpack_from("<Q", head, 16)
    return None if length in _UNKNOWN else int(length)


def _caf(file: BinaryIO, head: bytes, size: int) -> int | None:
    at = 8
    while at < size:
        file.seek(at)
        _, length = struct.unpack(">4sq", file.read(12))
        if length < 0:  # goes on to the end
            return None
        at += 12 + length
    return at


def _asf(file: BinaryIO, head: bytes, size: int) -> int | None:
    """ASF, WMV, WMA: the size stands in the object of file properties."""
    file.seek(0)
    header = file.read(1 << 16)
    at = header.find(_FILE_PROPERTIES)
    if at < 0:
        return None
    (length,) = struct.unpack_from("<Q", header, at + 40)
    return None if length in _UNKNOWN else int(length)


def _boxes(file: BinaryIO, head: bytes, size: int) -> int | None:
    """MP4, MOV, 3GP: boxes behind each other; a second `ftyp` begins another file."""
    at, seen = 0, set()
    for _ in range(100_000):
        file.seek(at)
        box = file.read(16)
        if len(box) < 8:
            return at
        (length,), kind = struct.unpack_from(">I", box), box[4:8]
        if kind in seen and kind in (b"ftyp", b"moov") and b"moof" not in seen:
            return at
        seen.add(kind)
        if length == 1:
            (length,) = struct.unpack_from(">Q", box, 8)
        if length == 0:
            return size
        if length < 8 or not kind.strip(b"\0 ").isalnum():
            return min(at, size)
        at += length
        if at >= size:
            return int(at)
    return None


def _ebml(file: BinaryIO, head: bytes, size: int) -> int | None:
    """Matroska and WebM: an EBML header and a segment, whose size live writers leave unknown."""
    at = _element(head, 4)
    if at is None:
        return None
    file.seek(at)
    data = file.read(16)
    if data[:4] != b"\x18\x53\x80\x67":
        return None
    end = _element(data, 4)
    return None if end is None else at + end


def _element(data: bytes, at: int) -> int | None:
    """Where an EBML element ends whose size stands at `at`, or None."""
    width = 9 - data[at].bit_length()
    most = (1 << 7 * width) - 1
    value = int.from_bytes(data[at : at + width], "big") & most
    return None if width > 8 or value == most else at + width + value


_WALKS = (
    (((0, b"RIFF"), (0, b"RF64")), _riff),
    (((0, b"FORM"),), _form),
    (((0, b".snd"),), _au),
    (((0, b"caff"),), _caf),
    (((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),), _asf),
    (((0, b"riff\x2e\x91\xcf\x11"),), _w64),
    (((4, b"ftyp"), (4, b"moov"), (4, b"mdat")), _boxes),
    (((0, b"\x1a\x45\xdf\xa3"),), _ebml),
)
