"""Clips with a part of their sound drowned in noise: how much a trained method depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from avshot.data.sources import FeatureSource, as_indices
from avshot.errors import BadDataset
from avshot.types import Features


class NoisyAudio:
    """Another source's clips, with Gaussian noise on one stretch of the audio features of each.

    TCaF's figure B.1 adds noise to a proportion of the audio stream of the clips it tests on and names neither its
    strength nor its place. Ours: a stretch of that share of the clip's audio steps (rounded, at a random place), noise
    with the standard deviation of all numbers of the clip's audio features, so signal and noise are equally strong.
    A clip gets the same noise whatever is asked for beside it.

    Args:
        source: Where the clips are.
        share: Of the audio steps, 0 to 1.
        seed: Decides place and noise.

    Raises:
        ValueError: A share outside 0 to 1.
    """

    def __init__(self, source: FeatureSource, share: float, seed: int = 0) -> None:
        if not 0 <= share <= 1:
            raise BadDataset(f"The share of noisy audio is {share}; expected 0 to 1.")
        self._source, self.share, self.seed = source, share, seed
        self.status: Mapping[str, str] = getattr(source, "status", {})

    @property
    def ids(self) -> Sequence[str]:
        """Clip id of each row."""
        return self._source.ids

    @property
    def spec(self) -> Mapping[str, Any]:
        """What made the features, and the noise."""
        return {**self._source.spec, "audio_noise": self.share}

    @property
    def dims(self) -> tuple[int, int]:
        """Width of the audio and of the visual features."""
        return self._source.dims

    def gather(self, rows: ArrayLike) -> Features:
        """The features of `rows` (integers `[clip]`), in that order."""
        index = as_indices(rows)
        features = self._source.gather(index)
        audio = features.audio.clone()
        for i, row in enumerate(index.tolist()):
            steps = features.audio_mask[i].nonzero().flatten()
            count = round(self.share * len(steps))
            if count == 0:
                continue
            rng = np.random.default_rng([self.seed, row])
            first = int(rng.integers(len(steps) - count + 1))
            chosen, scale = steps[first : first + count], float(audio[i, steps].std(correction=0))
            noise = rng.standard_normal((count, audio.shape[2]), dtype=np.float32) * np.float32(scale)
            audio[i, chosen] += torch.from_numpy(noise)
        return replace(features, audio=audio)
