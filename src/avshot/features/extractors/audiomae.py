"""Audio features from Audio-MAE (Huang et al., NeurIPS 2022), EZ-AVGZL's encoder of sound in its Table 7.

16 kHz; the mean of the waveform is taken off; Kaldi's log-mel spectrogram of 128 bands, frames of 25 ms every 10 ms;
1024 frames (10.24 s), zeros behind a shorter sound; (x + 4.2677393) / (2 x 4.5689974). EZ-AVGZL does not say which of
the two released files it took, nor how tokens became features: here their mean, one vector for each window.
https://arxiv.org/abs/2207.06405, section 4.1; `dataset.py` and `models_vit.py` of facebookresearch/AudioMAE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._released import ReleasedExtractor
from avshot.features.extractors._sound import heard, window_starts, windows
from avshot.features.spectrogram import mel_triangles, power_spectrum
from avshot.nn.nets.audio_mae import BANDS, UNUSED, AudioMae

if TYPE_CHECKING:
    from avshot.media import Media

RATE, FRAME, STEP, FFT = 16_000, 400, 160, 512  # Hz and samples
LOW, FLOOR = 20.0, torch.finfo(torch.float32).eps  # Kaldi's lowest Hz, and its least power
EMPHASIS = 0.97
MEAN, DEVIATION = -4.2677393, 4.5689974  # of AudioSet's spectrograms
BATCH = 4  # windows at once
POOLS = ("window", "time")


@dataclass(frozen=True)
class AudioMaeAudio(ReleasedExtractor):
    """Mean tokens of Audio-MAE's encoder.

    Attributes:
        hop: Seconds between windows, or 0 for windows side by side.
        pool: "window", one vector for each window, or "time", one for each column of patches (0.16 s) that sounds.
    """

    name: ClassVar[str] = "audiomae"
    modality: ClassVar[str] = "audio"
    licence: ClassVar[str] = "CC-BY-4.0"
    what: ClassVar[str] = "Audio-MAE"
    unused: ClassVar[str] = UNUSED

    hop: float = 0.0
    pool: str = "window"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool not in POOLS:
            raise BadSetting(f"audiomae pool is {self.pool!r}; expected one of {', '.join(POOLS)}.")
        if self.hop != 0 and not 1 / RATE <= self.hop < float("inf"):
            raise BadSetting(f"audiomae hop is {self.hop} s; expected seconds above 0, or 0 for windows side by side.")

    @property
    def dim(self) -> int:
        """Width of a token (768 in the released files)."""
        return int(self._network.cls_token.shape[-1])

    def request(self) -> dict[str, Any]:
        """Sound at 16 kHz."""
        return {"rate": RATE}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Vectors `[step, dim]` and the centre of what each describes; no step for a clip without any sound.

        A rest shorter than half a hop is left out.

        Raises:
            ValueError: The clip was decoded at another rate, or the checkpoint cannot be used.
        """
        sound = heard(media, RATE, self.name)
        if sound is None:
            return torch.zeros(0, self.dim), torch.zeros(0)
        frames, count = self._network.frames, len(sound.waveform)
        length = (frames - 1) * STEP + FRAME
        starts = window_starts(count, length, round(self.hop * RATE) or frames * STEP)

        def spectrograms() -> Iterator[Tensor]:
            for first in range(0, len(starts), BATCH):
                some = starts[first : first + BATCH]
                pieces = torch.from_numpy(windows(sound.waveform, some, length))
                yield torch.stack(
                    [spectrogram(piece[: count - start], frames) for piece, start in zip(pieces, some, strict=True)]
                )[:, None]

        vectors = self._through(spectrograms())
        if self.pool == "window":
            centres = np.array([start + min(length, count - start) / 2 for start in starts])
            return vectors, torch.from_numpy(sound.when(centres))
        places = np.add.outer(starts, (np.arange(frames // self._network.side) + 0.5) * self._network.side * STEP)
        kept = places < np.maximum(count, places[:, :1] + 1)  # a window has one column at least
        return vectors.reshape(*places.shape, -1)[torch.from_numpy(kept)], torch.from_numpy(sound.when(places[kept]))

    def _like(self, tensors: Mapping[str, Tensor]) -> AudioMae:
        return AudioMae.like(tensors)

    def _of_network(self, batch: Tensor) -> Tensor:
        found: Tensor = self._network(batch, over_time=self.pool == "time")
        return found.reshape(-1, found.shape[-1])


def spectrogram(waveform: Tensor, frames: int) -> Tensor:
    """The scaled spectrogram `[frames, 128]` of a waveform `[sample]` at 16 kHz; zeros where it has no whole frame."""
    filters = mel_triangles(RATE, FFT, BANDS, LOW, RATE / 2).T
    found = torch.zeros(frames, BANDS)
    if len(waveform) >= FRAME:
        pieces = (waveform - waveform.mean()).unfold(0, FRAME, STEP)[:frames]
        pieces = pieces - pieces.mean(dim=1, keepdim=True)
        pieces = pieces - EMPHASIS * F.pad(pieces[:, None], (1, 0), mode="replicate")[:, 0, :-1]
        power = power_spectrum(pieces, torch.hann_window(FRAME, periodic=False), FFT)
        found[: len(pieces)] = (power @ filters).clamp(min=FLOOR).log()
    return (found - MEAN) / (2 * DEVIATION)
