"""A scorer without weights for tests of finding, and recordings in which it is known what is loud and bright when."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avshot.features.extractors.logmel import LogMel
from avshot.features.extractors.pixels import Pixels
from avshot.media import write

RATE, FPS = 16000, 10


@dataclass(frozen=True)
class LoudAndBright:
    """Probabilities that it is loud, bright, or both, by thresholds on the steps within `reach` of a window."""

    names: tuple[str, ...] = ("loud noise", "bright light")
    audio: LogMel | None = field(default_factory=lambda: LogMel(normalise="none"))
    visual: Pixels | None = field(default_factory=lambda: Pixels(hop=0.2))
    reach: float = 0.5
    made: str = "by hand"

    def __call__(self, audio, visual, time):
        loud = self._mean(audio.time, audio.vectors.sum(dim=1).numpy() / max(1, audio.vectors.shape[1]) + 1.5, time)
        bright = self._mean(visual.time, visual.vectors[:, -1:].sum(dim=1).numpy() - 2.5, time)
        scores = {"loud noise": loud, "bright light": bright}
        found = np.stack([scores.get(name, loud) for name in self.names], axis=1)
        sound = np.array([0.0 if name == "bright light" else 1.0 for name in self.names])
        return found.astype(np.float32), np.broadcast_to(sound, found.shape).astype(np.float32)

    def _mean(self, at, values, time):
        near = np.abs(at[None] - time[:, None]) <= self.reach
        count = near.sum(axis=1)
        mean = (near * values[None]).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, 1 / (1 + np.exp(-3 * mean)), 0.0)

    def key(self):
        return {"scorer": "loud and bright", "names": list(self.names), "made": self.made}


class Dies(LoudAndBright):
    """Takes its process with it where something is bright."""

    def __call__(self, audio, visual, time):
        if (visual.vectors[:, -1] > 2.5).any():
            os._exit(9)
        return super().__call__(audio, visual, time)


def recording(path: Path, seconds: float, *, loud=(), bright=(), seed: int = 0, picture: bool = True) -> Path:
    """An mp4 with faint noise, loud in some spans (seconds), and a dark picture, bright in others."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    sound = random.uniform(-1, 1, len(at)) * (0.01 + 0.5 * _within(at, loud))
    count = round(seconds * FPS)
    level = 40 + 200 * _within(np.arange(count) / FPS, bright)
    frames = np.broadcast_to(level[:, None, None, None].astype(np.uint8), (count, 48, 64, 3))
    write(path, frames if picture else None, FPS, sound.astype(np.float32), RATE)
    return path


def _within(at, spans):
    return np.any([(at >= start) & (at < end) for start, end in spans] or [np.zeros(len(at), bool)], axis=0)
