"""Evidence: whether anything is seen and heard in the stretches of a stream."""

from __future__ import annotations

import numpy as np

from avshot.media.presence import lit, sounding
from avshot.media.stretch import Stretch
from avshot.media.verdict import Held

_KEPT = 1.0  # seconds of sound that are looked at again together with what follows
_UNSURE = 0.5  # seconds at the end in which an onset may turn out to be a leap to another constant


class Evidence:
    """Counts what the stretches of a stream hold.

    Args:
        rate: Hz of the waveform.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frames = self._samples = 0
        self._seen = self._heard = False
        self._tail = np.zeros(0, np.float32)
        self._gaps: list[tuple[float, float]] = []

    def look(self, stretch: Stretch) -> None:
        """Look at what is a stretch's own."""
        frames, samples = stretch.media.frames[stretch.own_frames], stretch.media.waveform[stretch.own_samples]
        self._frames += len(frames)
        self._seen = self._seen or bool(lit(frames).any())
        if not self._heard and len(samples):
            self._listen(samples, stretch)
        self._samples += len(samples)

    def held(self) -> Held:
        """What there was, in short."""
        heard = self._heard or len(sounding(self._tail, self._rate, self._gaps)) > 0
        return Held(self._frames, self._samples, self._seen, heard)

    def _listen(self, samples: np.ndarray, stretch: Stretch) -> None:
        before, moved = len(self._tail) / self._rate, stretch.start - stretch.own[0]
        sound = np.concatenate([self._tail, samples])
        own = [(start + moved + before, end + moved + before) for start, end in stretch.media.gaps]
        gaps = [*self._gaps, *((max(start, before), end) for start, end in own if end > before)]
        spans = sounding(sound, self._rate, gaps)
        self._heard = len(spans) > 0 and spans[0, 0] < len(sound) / self._rate - _UNSURE
        cut = max(0, len(sound) - round(_KEPT * self._rate))
        self._tail = sound[cut:]
        late = cut / self._rate
        self._gaps = [(max(0.0, start - late), end - late) for start, end in gaps if end > late]
