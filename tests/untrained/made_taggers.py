"""Small taggers with made-up vocabularies, and a text encoder of known vectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from avshot.classes.encoder import TextEncoder
from avshot.features.sound_tagger import SoundTagger
from avshot.features.tagger import Tagger
from avshot.media import Media

NO_FRAMES = np.zeros((0, 8, 8, 3), np.uint8)


def heard(waveform, rate, gaps=()):
    """A sound without picture."""
    waveform = np.asarray(waveform, np.float32)
    return Media(NO_FRAMES, np.zeros(0), waveform, rate, "no_visual", len(waveform) / rate, gaps=tuple(gaps))


@dataclass(frozen=True)
class Loud(SoundTagger):
    """Logits are mean squares of the sound in a window, times 1, 2, ... for the labels: a number for each 0.01 s."""

    name: ClassVar[str] = "loud"
    rate: ClassVar[int] = 1000
    step: ClassVar[int] = 10
    middle: ClassVar[int] = 5
    at_once: ClassVar[int] = 100
    labels: ClassVar[tuple[str, ...]] = ("dog", "rain")  # type: ignore[misc]

    window: float = 2.0
    hop: float = 0.5
    out: str = "logits"
    device: str = "cpu"

    path: ClassVar[Path] = Path(__file__)  # type: ignore[misc]
    width: ClassVar[int] = 1  # type: ignore[misc]
    shortest: ClassVar[int] = 100  # type: ignore[misc]

    def spectrogram(self, sound):
        """`[1, frame]`."""
        return sound[: len(sound) // self.step * self.step].reshape(1, -1, self.step).square().mean(dim=2)

    def describe(self, windows):
        """`[window, label]`."""
        return windows.mean(dim=(1, 2))[:, None] * torch.arange(1.0, len(self.labels) + 1)


@dataclass(frozen=True)
class Quick(Loud):
    """The same for short windows, at another rate and with other labels."""

    name: ClassVar[str] = "quick"
    rate: ClassVar[int] = 500
    step: ClassVar[int] = 5
    middle: ClassVar[int] = 2
    labels: ClassVar[tuple[str, ...]] = ("rain", "guitar, string", "Dog")  # type: ignore[misc]
    window: float = 0.5


@dataclass(frozen=True)
class Looker(Tagger):
    """Logits of a picture are given, not made."""

    name: ClassVar[str] = "looker"
    modality: ClassVar[str] = "visual"
    exclusive: ClassVar[bool] = True
    labels: ClassVar[tuple[str, ...]] = ("dog, Canis", "tench")  # type: ignore[misc]
    out: str = "logits"
    device: str = "cpu"
    path: ClassVar[Path] = Path(__file__)  # type: ignore[misc]
    width: ClassVar[int] = 1  # type: ignore[misc]

    def request(self) -> dict[str, Any]:
        """Small frames."""
        return {"fps": 1.0, "size": (8, 8)}

    def __call__(self, media):
        """A step for each frame."""
        light = torch.tensor(media.frames.reshape(len(media.frames), -1).mean(axis=1) / 255, dtype=torch.float32)
        return torch.stack([light, 1 - light], dim=1), torch.tensor(media.frame_time, dtype=torch.float32)


class Known(TextEncoder):
    """A unit vector for each text, drawn from its letters: the same text is the same vector, another one another."""

    spec = name = "known"
    dim = 6

    def encode(self, texts):
        """`[text, 6]`."""
        rows = []
        for text in texts:
            generator = torch.Generator().manual_seed(sum(ord(c) * 31**i for i, c in enumerate(text)) % 2**31)
            rows.append(torch.randn(self.dim, generator=generator))
        return torch.nn.functional.normalize(torch.stack(rows), dim=1) if rows else torch.zeros(0, self.dim)
