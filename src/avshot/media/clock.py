"""Clock: the stamps of all packets of a file on one time line, where they cannot be taken at face value.

Recorders and people join transport streams, the clock of each part starting where it likes; clocks wrap; AVI and raw
streams say when a picture is decoded, not when it is shown, or nothing at all; a flipped bit moves a packet by hours.
`read` notices that in passing and reads such a file again, with a `Clock` made from a look at all packets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avshot.media.line import Line, Track
from avshot.media.parts import Parts


@dataclass(frozen=True)
class Clock:
    """One time line for the packets of a file.

    Attributes:
        times: Seconds at which each packet is shown or heard, in the order of the file, by kind of stream.
        end: Seconds at which the last of them ends.
        plain: The stamps can be taken at face value after all.
        notes: Sentences on what was assumed.
    """

    times: Mapping[str, list[float]]
    end: float
    plain: bool
    notes: tuple[str, ...]


def make_clock(tracks: Sequence[Track], restarting: bool, longest: float) -> Clock:
    """Lay the packets of a file's chosen streams on one time line.

    Args:
        tracks: The chosen streams, one or two.
        restarting: The format is one in which clocks may start anew (FFmpeg's `ts_discont`), so that a jump forward of
            all streams is no pause but another clock.
        longest: A jump forward of more than this many seconds is another clock in every format.
    """
    lines = [Line(track, restarting) for track in tracks if track.place]
    strays = sum(line.smooth() for line in lines)
    parts = Parts(lines, restarting, longest)
    parts.find()
    times = {line.track.kind: line.on_one_line(parts.of(line)) for line in lines}
    ends = [max(times[line.track.kind]) + line.step for line in lines]
    counted = [line.track.kind for line in lines if line.counted]
    ordered = [line.track.kind for line in lines if line.ordered]
    notes = _notes(parts, strays, counted, ordered)
    return Clock(times, max(ends, default=0.0), not notes and all(line.plain for line in lines), notes)


def _notes(parts: Parts, strays: int, counted: Sequence[str], ordered: Sequence[str]) -> tuple[str, ...]:
    words = {"video": "picture", "audio": "sound"}
    notes = []
    if len(parts.shifts) > 1:
        notes.append(f"The file's clock starts anew; its {len(parts.shifts)} parts were put one behind the other.")
    if parts.apart:
        notes.append("The clocks of picture and sound are unrelated; both were begun where they stand in the file.")
    if strays:
        notes.append(
            f"{strays} packets carry times far from their neighbours'; they were put where the neighbours say."
        )
    notes += [
        f"The {words[kind]} has no time stamps; its packets were counted on at their nominal length."
        for kind in counted
    ]
    notes += [
        f"The {words[kind]} lacks times of display; the decoder's order was taken, at the times of the packets."
        for kind in ordered
    ]
    return tuple(notes)
