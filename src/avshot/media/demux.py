"""Demux: the packets of a file to the decoders of its picture and sound, or to a clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from avshot.media.clock import Clock, make_clock
from avshot.media.limits import BadFileError, Limits, Watch
from avshot.media.line import AHEAD, BACK, Track
from avshot.media.picture import DisorderError
from avshot.media.streams import Streams, may_restart

_BATCH, _BATCH_BYTES = 256, 1 << 20  # packets, and bytes in them, that are decoded together
_LOOK = 4096  # packets after which a look at all of them first asks whether it has seen enough
TOO_LONG = (
    "the span is longer than limits.seconds; read it in parts: pass start and end (on the command line --start and "
    "--end), or raise the limit"
)


@dataclass
class Passed:
    """What came by.

    Attributes:
        ends: Seconds at which the packets of "video" and "audio" end, on the clock that was used.
        ended: The end of the file was reached.
        broken: What FFmpeg said when reading broke off, or "".
        last: Byte behind the last packet, when the end was reached and the format tells.
    """

    ends: dict[str, float] = field(default_factory=lambda: {"video": -math.inf, "audio": -math.inf})
    ended: bool = False
    broken: str = ""
    last: int = 0


def packets(streams: Streams, passed: Passed) -> Iterator[Any]:
    """The packets of the chosen streams in the order of the file, without the empty ones that PyAV adds at the end."""
    from av.error import FFmpegError

    last = None
    try:
        for packet in streams.container.demux(streams.chosen):
            if packet.pts is None and packet.size == 0:
                continue
            last = packet
            yield packet
        passed.ended = True
    except IndexError:  # PyAV stumbles so at the end of a file in which more streams appeared on the way
        passed.ended = True
    except FFmpegError as problem:
        passed.broken = getattr(problem, "strerror", None) or str(problem)
    if passed.ended and last is not None and last.pos is not None:
        passed.last = last.pos + last.size


class Stamps:
    """Reads packets' stamps at face value, as long as they can be taken so."""

    def __init__(self, streams: Streams) -> None:
        self.ticks = {stream.index: _tick(stream) for stream in streams.chosen}
        self._picture = None if streams.video is None else streams.video.index
        # In ticks: the last stamps (of decoding and of display), and how far the next may lie before and behind.
        self._last: dict[int, list[Any]] = {
            index: [None, None, int(BACK / tick) + 1, int(AHEAD / tick) + 1] for index, tick in self.ticks.items()
        }

    def of(self, packet: Any) -> float:
        """Seconds at which a packet is shown. Raises DisorderError when its stamps are not what they should be."""
        index, pts, dts = packet.stream_index, packet.pts, packet.dts
        last = self._last[index]
        before, shown, back, ahead = last
        if pts is None:
            raise DisorderError
        if dts is not None:
            if before is not None and not -back < dts - before < ahead:
                raise DisorderError
            last[0] = dts
        if shown is not None and (not -ahead < pts - shown < ahead or (pts == shown and index == self._picture)):
            raise DisorderError
        last[1] = pts
        return float(pts * self.ticks[index])


class Remapped:
    """Gives packets the times of a `Clock`, and frames a way to find theirs: a picture carries its packet's number."""

    def __init__(self, streams: Streams, clock: Clock) -> None:
        self.ticks = {stream.index: _tick(stream) for stream in streams.chosen}
        self._kinds = {stream.index: stream.type for stream in streams.chosen}
        self._clock = clock
        self._count = {"video": 0, "audio": 0}

    def of(self, packet: Any) -> float:
        """Seconds at which a packet is shown."""
        index = packet.stream_index
        kind = self._kinds[index]
        number, times = self._count[kind], self._clock.times[kind]
        if number >= len(times):
            raise BadFileError("the file changed while it was read")
        self._count[kind] = number + 1
        time = times[number]
        packet.pts, packet.dts = number if kind == "video" else round(time / self.ticks[index]), None
        return time


def deliver(
    streams: Streams,
    sinks: tuple[Any, Any],
    clock: Clock | None,
    span: tuple[float, float],
    limits: Limits,
    watch: Watch,
) -> Passed:
    """`delivering`, all of it."""
    passed = Passed()
    for _ in delivering(streams, sinks, clock, span, limits, watch, passed):
        pass
    return passed


def delivering(
    streams: Streams,
    sinks: tuple[Any, Any],
    clock: Clock | None,
    span: tuple[float, float],
    limits: Limits,
    watch: Watch,
    passed: Passed,
) -> Iterator[None]:
    """Feed every packet up to the end of the span to the decoders; stops after some of them, again and again.

    Packets wait for some hundred to be decoded together. Each decoder then finds its code and tables in the processor's
    caches; turns after every packet cost a sixth more.

    Args:
        streams: The chosen streams.
        sinks: `Picture` and `Sound`, or None.
        clock: None takes the stamps as they are.
        span: Seconds where it begins and ends.
        limits: What not to exceed.
        watch: Stops what takes too long.
        passed: Is told what came by.

    Raises:
        DisorderError: Without a clock, when the stamps cannot be taken as they are.
        BadFileError: The span is longer than the limits allow, or took too long.
    """
    start, end = span
    stamps = Stamps(streams) if clock is None else Remapped(streams, clock)
    ends, kinds = passed.ends, {stream.index: (stream.type, *_clock(stream)) for stream in streams.chosen}
    by_kind = {kind: sink for kind, sink in zip(("video", "audio"), sinks, strict=True) if sink is not None}
    limit = start + limits.seconds
    far, most = end + 5.0, limit + 1.0 if end > limit + 1.0 else math.inf
    waiting: dict[str, list[tuple[Any, float | None]]] = {"video": [], "audio": []}
    count = total = 0
    for packet in packets(streams, passed):
        kind, tick, step = kinds[packet.stream_index]
        length, time = packet.duration, stamps.of(packet)
        until = time + (length * tick if length else step)
        if until > ends[kind]:
            ends[kind] = until
        if until > most:
            raise BadFileError(TOO_LONG)
        if until > far:  # the other stream has ended before the span does
            break
        waiting[kind].append((packet, time))
        count, total = count + 1, total + packet.size
        if count >= _BATCH or total >= _BATCH_BYTES:
            _hand_over(waiting, by_kind)
            watch.check(max(ends.values()) - streams.origin)
            if all(sink.done for sink in by_kind.values()):
                break
            count = total = 0
            yield
    _hand_over(waiting, by_kind)


def look(streams: Streams, span: tuple[float, float], limits: Limits, watch: Watch, longest: float) -> Clock:
    """Look at the stamps of all packets, up to the end of a span in seconds from the beginning, without decoding any.

    Args:
        streams: The chosen streams.
        span: Seconds where it begins and ends.
        limits: What not to exceed.
        watch: Stops what takes too long.
        longest: As for `make_clock`.

    Raises:
        BadFileError: The span is longer than the limits allow, or took too long.
    """
    (start, end), restarting = span, may_restart(streams.container)
    no_made_up_stamps(streams)
    tracks = {stream.index: Track(stream.type, _clock(stream)[1]) for stream in streams.chosen}
    ticks, passed, enough = {stream.index: _tick(stream) for stream in streams.chosen}, Passed(), _LOOK
    for place, packet in enumerate(packets(streams, passed)):
        index = packet.stream_index
        tick, track = ticks[index], tracks[index]
        shown, decoded = (math.nan if stamp is None else stamp * tick for stamp in (packet.pts, packet.dts))
        track.add(place, shown, decoded, (packet.duration or 0) * tick)
        if place % _BATCH == 0:
            watch.check(0.0 if track.shown[-1] != track.shown[-1] else track.shown[-1] - track.shown[0])
        if place >= enough:
            clock = make_clock(list(tracks.values()), restarting, longest)
            if clock.end - _first(clock) > start + limits.seconds + AHEAD and end - start > limits.seconds:
                raise BadFileError(TOO_LONG)
            reached = min(max(times) for times in clock.times.values())
            if reached > _first(clock) + end + AHEAD and _all_seen(tracks.values()):
                break
            enough *= 2
    return make_clock(list(tracks.values()), restarting, longest)


def no_made_up_stamps(streams: Streams) -> None:
    """Keep FFmpeg from filling in times of display from the order of decoding, as PyAV asks it to."""
    from av.container import Flags

    streams.container.flags &= ~Flags.gen_pts.value


def _first(clock: Clock) -> float:
    return min(min(times) for times in clock.times.values())


def _all_seen(tracks: Any) -> bool:
    return all(track.place for track in tracks)


def _hand_over(waiting: Mapping[str, list[tuple[Any, float | None]]], sinks: Mapping[str, Any]) -> None:
    for kind, some in waiting.items():
        if kind in sinks:
            sinks[kind].feed(some)
        some.clear()


def _tick(stream: Any) -> float:
    """Seconds per tick of a stream's stamps."""
    tick = float(stream.time_base or 0)
    if not 0 < tick < math.inf:
        raise BadFileError(f"the time base of its {stream.type} is {stream.time_base}")
    return tick


def _clock(stream: Any) -> tuple[float, float]:
    """Seconds per tick of the stamps, and per packet without a stated duration."""
    nominal = stream.average_rate if stream.type == "video" else None
    return _tick(stream), 1.0 / float(nominal) if nominal and float(nominal) > 0 else 0.0
