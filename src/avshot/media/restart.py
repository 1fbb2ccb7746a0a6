"""Which packets a video decoder may start from, and which it must be given: what it needs to drop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

_HEAD = 1 << 12  # bytes of a packet that are looked at: parameter sets and headers come before the picture
_STATE = ("new_extradata", "param_change")  # side data that changes the decoder for all that follows

# What the beginning of a packet says: whether a picture follows that needs nothing from before, and the parameter sets
# in front of it. None when the part that was looked at does not tell.
Head = tuple[bool, tuple[bytes, ...]] | None


class Restarts:
    """Tells, for the codecs where a key picture needs nothing but its parameter sets, what may be left undecoded.

    The flag "key frame" of a container is not enough: some mark every packet, some mark pictures from which the decoder
    recovers only slowly. So the packet itself must say it; of codecs that are not listed here nothing may be left out.

    Attributes:
        known: Whether the codec is one of those.
    """

    def __init__(self, context: Any) -> None:
        extradata = bytes(context.extradata or b"")
        self._reader = _reader(context.name, extradata)
        self.known = self._reader is not None
        self._keeps_sets = context.name in ("h264", "hevc", "mpeg4")  # beyond the next restart
        head = None if self._reader is None or _is_record(context.name, extradata) else self._reader(extradata)
        self._had: tuple[bytes, ...] = () if head is None else head[1]

    def is_restart(self, packet: Any) -> bool:
        """Whether decoding may begin at this packet."""
        head = self._head(packet) if packet.is_keyframe else None
        return head is not None and head[0]

    def may_drop(self, packets: Sequence[Any]) -> bool:
        """Whether the decoder would do the same without these packets, when a restart follows them."""
        for packet in packets:
            head = self._head(packet)
            if head is None or (head[1] and head[1] != self._had) or any(map(packet.has_sidedata, _STATE)):
                return False
        return True

    def given(self, packet: Any) -> None:
        """Note the parameter sets of a packet that goes to the decoder."""
        if not self._keeps_sets:
            return
        head = self._head(packet)
        if head is None:
            self._had = (b"unknown",)
        elif head[1]:
            self._had = head[1]

    def _head(self, packet: Any) -> Head:
        return None if self._reader is None else self._reader(bytes(memoryview(packet)[:_HEAD]))


def _reader(name: str, extradata: bytes) -> Callable[[bytes], Head] | None:
    if name in ("h264", "hevc"):
        read = _h264 if name == "h264" else _hevc
        width = 0
        if _is_record(name, extradata):
            at = 4 if name == "h264" else 21
            width = (extradata[at] & 3) + 1 if len(extradata) > at else 0
        return lambda data: read(_lengths(data, width) if width else _start_codes(data))
    return _READERS.get(name)


def _is_record(name: str, extradata: bytes) -> bool:
    """Whether extradata are the record of an mp4 (then packets hold lengths instead of start codes)."""
    return name in ("h264", "hevc") and extradata[:1] == b"\x01"


def _start_codes(data: bytes) -> Iterator[bytes]:
    """What stands behind each start code 00 00 01, up to the next; the last one may be cut."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        yield data[at + 3 :] if following < 0 else data[at + 3 : following].rstrip(b"\0")
        at = following


def _lengths(data: bytes, width: int) -> Iterator[bytes]:
    """The units of a packet whose units have their length in front."""
    at = 0
    while at + width < len(data):
        size = int.from_bytes(data[at : at + width], "big")
        yield data[at + width : at + width + size]
        at += width + size


def _h264(units: Iterator[bytes]) -> Head:
    sets: list[bytes] = []
    for unit in units:
        kind = unit[0] & 31 if unit else 0
        if 1 <= kind <= 5:
            return kind == 5, tuple(sets)
        if kind in (7, 8, 13, 15):
            sets.append(unit)
    return None if not sets else (False, tuple(sets))


def _hevc(units: Iterator[bytes]) -> Head:
    sets: list[bytes] = []
    for unit in units:
        kind = unit[0] >> 1 & 63 if unit else 63
        if kind <= 31:  # 16 to 21: pictures on which nothing behind them depends through an earlier one
            return 16 <= kind <= 21, tuple(sets)
        if kind in (32, 33, 34):
            sets.append(unit)
    return None if not sets else (False, tuple(sets))


def _mpeg12(data: bytes) -> Head:
    sequence = False
    for unit in _start_codes(data):
        if unit[:1] == b"\xb3":  # a sequence header sets everything anew, tables of the pictures before it included
            sequence = True
        elif unit[:1] == b"\0" and len(unit) > 2:
            return sequence and unit[2] >> 3 & 7 == 1, ()
    return None


def _mpeg4(data: bytes) -> Head:
    sets: list[bytes] = []
    for unit in _start_codes(data):
        if unit[:1] == b"\xb6":
            return len(unit) > 1 and unit[1] >> 6 == 0, tuple(sets)
        if unit[:1] not in (b"\xb3", b""):  # a group's header has but a time
            sets.append(unit)
    return None if not sets else (False, tuple(sets))


def _vp8(data: bytes) -> Head:
    return (data[0] & 1 == 0 and data[3:6] == b"\x9d\x01\x2a", ()) if data else None


def _vp9(data: bytes) -> Head:
    if not data or data[0] >> 6 != 2:
        return None
    profile = (data[0] >> 5 & 1) | (data[0] >> 4 & 1) << 1
    rest = data[0] << 1 if profile == 3 else data[0]
    return rest & 0b1100 == 0, ()  # neither a frame shown again nor one that refers to others


def _av1(data: bytes) -> Head:
    at, sequence = 0, False
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        at += 1 + extended
        size, shift = 0, 0
        while sized and at < len(data):
            size |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 128:
                break
        if kind in (3, 6):  # a key frame that is shown: show_existing_frame 0, frame_type 0, show_frame 1
            return (sequence and at < len(data) and data[at] >> 4 == 1, ())
        if not sized:
            return None
        sequence |= kind == 1
        at += size
    return None


_READERS: dict[str, Callable[[bytes], Head]] = {
    "mpeg1video": _mpeg12,
    "mpeg2video": _mpeg12,
    "mpeg4": _mpeg4,
    "libvpx": _vp8,
    "vp8": _vp8,
    "libvpx-vp9": _vp9,
    "vp9": _vp9,
    "libdav1d": _av1,
    # Every picture stands alone, tables included.
    "prores": lambda data: (True, ()),
    "dnxhd": lambda data: (True, ()),
    "dvvideo": lambda data: (True, ()),
    "jpeg2000": lambda data: (True, ()),
}
