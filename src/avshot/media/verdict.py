"""Verdict: the status of what was read, and sentences on all that the status does not say."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np

from avshot.media.limits import BadFileError
from avshot.media.passage import Found
from avshot.media.presence import lit, sounding
from avshot.media.whole import late_streams, stated_size

_WORTH_SAYING = 0.1  # seconds without sound, in all
_PADDING = 4096  # bytes at the end of a file that need not hold anything


@dataclass(frozen=True)
class Held:
    """What was read, in short: how many frames and samples, and whether anything is seen and heard in them."""

    frames: int = 0
    samples: int = 0
    seen: bool = False
    heard: bool = False


def held(found: Found, rate: int) -> Held:
    """What going through a file gave, in short."""
    frames, samples = len(found.frames), len(found.waveform)
    heard = samples > 0 and len(sounding(found.waveform, rate, _gaps(found))) > 0
    return Held(frames, samples, frames > 0 and bool(np.any(lit(found.frames))), heard)


def judge(path: str, found: Found, wants: tuple[bool, bool], held: Held) -> tuple[str, tuple[str, ...]]:
    """The status and the notes of what was read.

    Args:
        path: The file.
        found: What going through it gave.
        wants: Whether picture and sound were asked for.
        held: What that is, in short.

    Raises:
        BadFileError: Nothing is left of what was asked for.
    """
    short, notes = _missing(path, found)
    notes = [*found.streams.notes, *found.notes, *notes, *_of_picture(found), *_of_sound(found)]
    frames, samples, seen, heard = held.frames, held.samples, held.seen, held.heard
    if frames == 0 and samples == 0:
        at, stop = found.request.start - found.origin, found.last - found.origin
        if at > 0 and at >= stop > -math.inf:
            raise BadFileError(f"the span starts at {at:g} s but the file ends at {stop:g} s")
        if short or wants == (True, True):
            refused = sum(sink.damaged for sink in (found.picture, found.sound) if sink is not None)
            more = f" ({refused} packets are damaged, or larger than limits.pixels)" if refused else ""
            raise BadFileError(f"nothing in the span could be decoded{more}")
    _check_left(wants, (frames > 0, samples > 0), (seen, heard))
    states = [
        ("truncated", short, ""),
        ("no_visual", wants[0] and frames == 0, "There is no picture."),
        ("no_audio", wants[1] and samples == 0, "There is no sound."),
        ("silent", samples > 0 and not heard, "The sound is silent."),
        ("black", frames > 0 and not seen, "The picture is black."),
    ]
    true = [(status, note) for status, holds, note in states if holds]
    notes += [note for _, note in true[1:]]
    return true[0][0] if true else "ok", tuple(notes)


def _check_left(wants: tuple[bool, bool], present: tuple[bool, bool], evidence: tuple[bool, bool]) -> None:
    if wants != (True, True) or any(evidence):
        return
    picture = "the picture is black" if present[0] else "there is no picture"
    sound = "the sound is silent" if present[1] else "there is no sound"
    raise BadFileError(f"{sound} and {picture}")


def _gaps(found: Found) -> tuple[tuple[float, float], ...]:
    return () if found.sound is None else found.sound.gaps


def _missing(path: str, found: Found) -> tuple[bool, list[str]]:
    """Whether the file lacks something of the span, or much of it cannot be decoded; and what."""
    passed, end = found.passed, found.request.end
    if passed.broken:
        return True, [f"Reading broke off after {max(0.0, found.last - found.origin):.2f} s ({passed.broken})."]
    if passed.ended and max(passed.ends.values()) < end:
        stated, joined = stated_size(path)
        size = os.path.getsize(path)
        if joined and stated is not None and passed.last <= stated:  # FFmpeg reads on in AVI
            return True, [f"Another file is joined behind this one, from byte {stated} on; it was not read."]
        if stated is not None and stated > size + 16:
            return True, [f"The file states {stated} bytes and has {size}."]
        late = late_streams(path, found.streams.numbers) if found.streams.numbers else []
        if late:
            numbers = ", ".join(map(str, late[:5]))
            return True, [f"Streams that begin in the middle of the file (number {numbers}) were not read."]
        behind = size - passed.last if passed.last and found.streams.sequential else 0
        if behind > max(_PADDING, size / 10):
            return True, [f"Of the last {behind} bytes of the file nothing could be read."]
    mostly = [sink for sink in (found.picture, found.sound) if sink is not None and sink.damaged > sink.packets / 4]
    return found.short or bool(mostly), []


def _of_picture(found: Found) -> list[str]:
    picture, notes = found.picture, []
    if picture is None:
        return []
    if picture.damaged:
        notes.append(f"Damaged packets of the picture were left out: {picture.damaged}.")
    if picture.reordered and not found.notes:
        notes.append("The times of the pictures run backwards in places; the decoder's order was taken.")
    sizes = picture.canvas.stored
    if len(sizes) > 1:
        change = ", ".join(f"{width}x{height}" for width, height in sizes[:4])
        notes.append(
            f"The picture changes its size ({change}{', ...' if len(sizes) > 4 else ''}); all were scaled to one."
        )
    return notes


def _of_sound(found: Found) -> list[str]:
    sound, notes = found.sound, []
    if sound is None:
        return []
    if sound.damaged:
        notes.append(f"Damaged packets of the sound were left out: {sound.damaged}.")
    if sound.cancels:
        notes.append("The channels of the sound cancel each other: their average is silent.")
    lost = sum(stop - start for start, stop in sound.gaps)
    if lost > _WORTH_SAYING:
        notes.append(f"There is no sound for {lost:.2f} s, in {len(sound.gaps)} place(s); the waveform is 0 there.")
    return notes
