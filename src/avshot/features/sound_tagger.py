"""What taggers of sound share: one spectrogram for each stretch of sound, and windows of it through a network."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.tagger import Tagger, window_starts
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from avshot.media import Media


class SoundTagger(Tagger):
    """A tagger that hears windows of a recording, each for itself, which share one spectrogram.

    Attributes:
        rate: Hz of the sound that it takes.
        step: Samples between frames of its spectrogram.
        middle: Samples from the place of a frame, `i * step`, to the middle of what it hears.
        at_once: Frames through the network at once: so many that what they take stays in the processor's cache.
        window: Seconds that each step hears.
        hop: Seconds between steps.
    """

    modality: ClassVar[str] = "audio"
    rate: ClassVar[int]
    step: ClassVar[int]
    middle: ClassVar[int]
    at_once: ClassVar[int]
    window: float
    hop: float

    @property
    @abstractmethod
    def shortest(self) -> int:
        """Samples that the network needs to name anything; less is put in the middle of silence of this length."""

    @abstractmethod
    def spectrogram(self, sound: Tensor) -> Tensor:
        """The network's input `[band, frame]` of sound `[sample]`, of at least `shortest` samples."""

    @abstractmethod
    def describe(self, windows: Tensor) -> Tensor:
        """What the network answers, `[window, dim]`, to windows `[window, band, frame]`."""

    def request(self) -> dict[str, Any]:
        """The sampling rate."""
        return {"rate": self.rate}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Steps `[time, dim]` and the centres of their windows; no step for silence, one for less than a window.

        Digital silence at the ends, and gaps, are left out; each stretch between them has windows of its own, of which
        the last ends where it ends. A stretch too short for the network is heard in the middle of silence.

        Raises:
            ValueError: The clip was decoded at another rate, or the weights cannot be used.
        """
        if media.rate != self.rate:
            raise BadSetting(
                f"Audio is sampled at {media.rate} Hz; {self.name} expects {self.rate}. Decode with request()."
            )
        made = [(torch.zeros(0, self.dim), torch.zeros(0, dtype=torch.float64))]
        for start, end in sounding(media.waveform, self.rate, media.gaps):
            sound = media.waveform[round(start * self.rate) : round(end * self.rate)]
            vectors, samples = self._steps(torch.as_tensor(sound, dtype=torch.float32))
            made.append((vectors, start + samples / self.rate))
        return torch.cat([vectors for vectors, _ in made]), torch.cat([times for _, times in made]).float()

    def _steps(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors and the samples in whose place their windows are centred, of one stretch."""
        missing = max(0, self.shortest - len(sound))
        before = missing // 2
        frames = self.spectrogram(F.pad(sound, (before, missing - before)))
        window, hop = (round(seconds * self.rate / self.step) for seconds in (self.window, self.hop))
        starts = window_starts(frames.shape[1], window, hop)
        size = min(window, frames.shape[1])
        centres = (torch.tensor(starts, dtype=torch.float64) + (size - 1) / 2) * self.step + self.middle
        return self._described(frames, starts, size), centres - before

    @torch.inference_mode()
    def _described(self, frames: Tensor, starts: list[int], window: int) -> Tensor:
        together, parts = max(1, self.at_once // window), []
        for first in range(0, len(starts), together):
            windows = [frames[:, at : at + window] for at in starts[first : first + together]]
            parts.append(self.describe(torch.stack(windows)))
        return torch.cat(parts).float().cpu().clone()
