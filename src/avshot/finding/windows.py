"""Windows: the times at which a recording is scored, and their scores as steps come."""

from __future__ import annotations

import math

import numpy as np

from avshot.errors import BadSetting
from avshot.features.steps import Steps, StepScorer
from avshot.finding.steps import joined
from avshot.types import MODALITIES

_USUAL_HOP = 1.0  # seconds between windows, where the scorer's reach is longer
_TOGETHER = 256  # windows scored at once


class Windows:
    """Scores windows whose steps have all come; holds the steps that later windows need, and no others.

    Window k is centred on `(k + 0.5) * hop` and stands for the hop around that. There are as many as whole hops come
    nearest to the length of the recording, but one at least.

    Args:
        scorer: Scores them.
        hop: Seconds.
    """

    def __init__(self, scorer: StepScorer, hop: float) -> None:
        check_hop(hop)
        self._scorer, self.hop = scorer, hop
        extractors = dict(zip(MODALITIES, (scorer.audio, scorer.visual), strict=True))
        self._dims = {name: 0 if found is None else found.dim for name, found in extractors.items()}
        self._steps: dict[str, list[Steps]] = {name: [] for name in MODALITIES}
        self._next = 0  # number of the next window

    def add(self, modality: str, steps: Steps) -> None:
        """Take steps that follow on those before."""
        if len(steps.time):
            self._steps[modality].append(steps)

    def scored(self, known: float, duration: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times `[window]`, probabilities and shares of the sound `[window, class]` of windows that can be scored now.

        Args:
            known: Seconds up to which all steps have come.
            duration: Seconds of the recording, when it is over; then all windows that are left are scored.
        """
        ahead = max(self._scorer.reach, self.hop / 2)
        stop = max(self._next, math.floor((known - ahead) / self.hop - 0.5 + 1e-9) + 1) if known < math.inf else 0
        if duration is not None:
            stop = max(self._next, window_count(duration, self.hop))
        parts = [self._score(first, min(first + _TOGETHER, stop)) for first in range(self._next, stop, _TOGETHER)]
        self._next = stop
        self._let_go()
        if not parts:
            none = np.zeros((0, len(self._scorer.names)), np.float32)
            return np.zeros(0), none, none
        times, probabilities, sounds = zip(*parts, strict=True)
        return np.concatenate(times), np.concatenate(probabilities), np.concatenate(sounds)

    def _score(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        time = (np.arange(first, stop) + 0.5) * self.hop
        span = (time[0] - self._scorer.reach, time[-1] + self._scorer.reach)
        near = {name: _between(joined(self._steps[name], self._dims[name]), span) for name in MODALITIES}
        probability, sound = self._scorer(near["audio"], near["visual"], time)
        return time, *checked(probability, sound, (len(time), len(self._scorer.names)))

    def _let_go(self) -> None:
        first = (self._next + 0.5) * self.hop - self._scorer.reach
        for name, some in self._steps.items():
            self._steps[name] = [steps for steps in some if steps.time[-1] >= first]


def check_hop(hop: float) -> None:
    """Raise ValueError for seconds between windows that are none."""
    if not 0 < hop < math.inf:
        raise BadSetting(f"Windows are {hop} s apart; expected more than 0 s.")


def checked(probability: np.ndarray, sound: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What a scorer gave, as float32 `[window, class]`. Raises RuntimeError for anything but probabilities."""
    found = np.asarray(probability, np.float32)
    if found.shape != shape or not ((found >= 0) & (found <= 1)).all():
        raise RuntimeError(f"The scorer gave {found.shape}; expected probabilities [window, class], {shape}.")
    return found, np.broadcast_to(np.asarray(sound, np.float32), shape)


def window_count(duration: float, hop: float) -> int:
    """How many windows a recording of so many seconds has: whole hops, the nearest number, at least one."""
    return max(1, round(duration / hop)) if duration > 0 else 0


def usual_hop(scorer: StepScorer) -> float:
    """Seconds between windows unless somebody says otherwise: what the scorer reaches to one side, one at most."""
    return min(_USUAL_HOP, scorer.reach) or _USUAL_HOP


def _between(steps: Steps, span: tuple[float, float]) -> Steps:
    first, stop = np.searchsorted(steps.time, [span[0] - 1e-9, span[1] + 1e-9])
    return Steps(steps.vectors[first:stop], steps.time[first:stop])
