"""Flow: the picture and the sound of a stream as they become certain, and are let go of again.

What `Picture.finish` and `Sound.finish` give for a whole span, the two classes here give stretch by stretch: the same
frames and samples, of which they hold no more than what was not let go of.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from avshot.media.picture import Picture
from avshot.media.roll import Roll
from avshot.media.sound import LEAST_GAP, Run, Sound

# Seconds of the sound so far that a later packet may still change: one that begins before the last one has ended, or
# the padding that is cut where the packets end.
_UNSURE = 1.0


class PictureFlow:
    """The frames of a `Picture` whose canvas is a `Roll`.

    Attributes:
        known: Seconds of the span up to which all frames are known; infinity after `finish`.
    """

    def __init__(self, picture: Picture, roll: Roll) -> None:
        self._picture, self._roll = picture, roll
        self._gone = self._given = 0  # frames that were let go of; those that `take` has passed
        self.known = 0.0

    def pull(self) -> None:
        """Take note of what was decoded."""
        self.known = self._picture.known

    def finish(self, end: float) -> None:
        """Flush the decoder; the packets end at `end` seconds."""
        self._picture.flush(end)
        self.known = math.inf

    @property
    def end(self) -> float:
        """Seconds behind the last frame so far; 0 where there is none."""
        return math.nextafter(self._picture.times[-1], math.inf) if self._picture.times else 0.0

    def take(self, span: tuple[float, float], own: float) -> tuple[np.ndarray, np.ndarray, slice]:
        """Frames and times `[frame]` of a span of the stream, and which of them are new, up to `own` seconds.

        A frame is new once, in the order of calls.
        """
        times, given = self._picture.times, self._given - self._gone
        first, stop = min(bisect_left(times, span[0]), given), bisect_left(times, span[1])
        now = max(given, bisect_left(times, own))
        self._given = self._gone + now
        frames = self._roll.frames(self._gone + stop, self._gone + first)
        return frames, np.array(times[first:stop]), slice(given - first, now - first)

    def drop(self, before: float) -> None:
        """Let go of what lies before a time."""
        count = min(bisect_left(self._picture.times, before), self._given - self._gone)
        del self._picture.times[:count]
        self._gone += count
        self._roll.drop(self._gone)


class SoundFlow:
    """The samples of a `Sound`.

    Attributes:
        known: Seconds of the span up to which all samples are known; infinity after `finish`.
        gaps: Seconds, from and to, in which no sound was found, as far as is known.
        count: Samples of the waveform, after `finish`.
    """

    def __init__(self, sound: Sound) -> None:
        self._sound, self._rate = sound, sound.rate
        self._pieces: list[tuple[int, np.ndarray]] = []  # where they lie; later ones go over earlier ones
        self._placed = 0  # samples of the first run that lie there
        self._reached = 0  # sample behind the last that lies there
        self.known, self.count = 0.0, 0
        self.gaps: list[tuple[float, float]] = []

    def pull(self, last: bool = False) -> None:
        """Place what was decoded and resampled."""
        runs = self._sound.runs
        while runs:
            ended = last or len(runs) > 1
            place = self._put(runs[0], ended)
            self.known = place / self._rate - _UNSURE
            if not ended:
                break
            self._sound.let_go()
            self._placed = 0

    def finish(self, end: float) -> None:
        """Flush the decoder; the packets end at `end` seconds."""
        self.count = self._sound.flush(end)
        self.pull(last=True)
        self._note_gap(self.count)
        self.gaps = [(start, min(stop, self.end)) for start, stop in self.gaps if start < self.end]
        self.known = math.inf

    @property
    def end(self) -> float:
        """Seconds of the waveform, after `finish`."""
        return self.count / self._rate

    @property
    def cancels(self) -> bool:
        """As that of `Sound`, by what was heard so far."""
        return self._sound.cancels

    def take(self, first: int, stop: int) -> np.ndarray:
        """Samples number `first` to `stop` of the stream, as far as it goes; zeros where there is no sound."""
        stop = min(stop, self.count) if self.known == math.inf else stop
        waveform = np.zeros(max(0, stop - first), np.float32)
        for place, samples in self._pieces:
            begin, end = max(place, first), min(place + len(samples), stop)
            if end > begin:
                waveform[begin - first : end - first] = samples[begin - place : end - place]
        return waveform

    def drop(self, before: int) -> None:
        """Let go of what lies before a sample."""
        kept = [(place, samples, before - place) for place, samples in self._pieces if place + len(samples) > before]
        self._pieces = [(p, s) if cut <= 0 else (before, s[cut:].copy()) for p, s, cut in kept]

    def _put(self, run: Run, ended: bool) -> int:
        """Place what is sure of a run; returns the sample behind it."""
        samples = run.take(last=ended)
        place = self._sound.place(run) + self._placed
        self._placed += len(samples)
        if place < 0:
            place, samples = 0, samples[-place:]
        if len(samples):
            self._note_gap(place)
            self._pieces.append((place, samples))
            self._reached = max(self._reached, place + len(samples))
        return place + len(samples)

    def _note_gap(self, place: int) -> None:
        if place - self._reached > LEAST_GAP * self._rate:
            self.gaps.append((self._reached / self._rate, place / self._rate))
