"""Stretch: a part of a stream."""

from __future__ import annotations

from dataclasses import dataclass

from avshot.media.reader import Media


@dataclass(frozen=True)
class Stretch:
    """A part of a stream.

    Attributes:
        number: 0, 1, 2, ...; a second 0 begins anew (`Stream`).
        start: Seconds from the beginning of the span at which `media` begins.
        own: Seconds, from and to, that are this stretch's alone; what lies outside is the overlap. The last one ends
            where picture and sound end.
        media: Frames and sound from `start` on, their times counted from there. Its status is "ok": what is wrong with
            the file is known at the end.
        own_frames: Which frames are this stretch's alone. Of the samples it is `own_samples`.
        own_samples: Likewise.
    """

    number: int
    start: float
    own: tuple[float, float]
    media: Media
    own_frames: slice
    own_samples: slice
