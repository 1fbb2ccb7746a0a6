"""Audio features from SeLaVi (Asano et al., NeurIPS 2020), as AVCA and its successors use them: 512 numbers a second.

One second at 44.1 kHz as 16-bit whole numbers; pre-emphasis 0.97; frames of 20 ms every 10 ms without a window; 257 mel
bands over 513 frequencies, as python_speech_features makes them: many are empty and hold the logarithm of the smallest
float64; (x - 1.93) / 17.89; a ResNet of 9 layers, before its heads. Source: AVCA's `selavi_feature_extraction`
(`2021_10_28_run_config.txt`, `datasets/`), thesis section 2.4; https://arxiv.org/abs/2006.13662.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import EDGE
from avshot.features.extractors._released import ReleasedExtractor
from avshot.features.extractors._seconds import second_starts
from avshot.features.extractors._sound import heard, windows
from avshot.nn.nets.resnet9 import ResNet9

if TYPE_CHECKING:
    from avshot.media import Media

RATE = 44_100
FRAME, STEP, FFT, BANDS = 882, 441, 1024, 257  # samples, and mel bands
EMPHASIS, MEAN, DEVIATION = 0.97, 1.93, 17.89
BATCH = 16  # seconds at once


@dataclass(frozen=True)
class SelaviAudio(ReleasedExtractor):
    """SeLaVi's audio network on windows of a second.

    Attributes:
        hop: Seconds between windows, or 0 for the places at which AVCA's program takes them (`second_starts`).
    """

    name: ClassVar[str] = "selavi_audio"
    modality: ClassVar[str] = "audio"
    licence: ClassVar[str] = "that of facebookresearch/selavi"
    what: ClassVar[str] = "audio network of SeLaVi"
    unused: ClassVar[str] = r"video_network\..*|mlp_[av]\d*\..*"
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^audio_network\.base\.", ""),)

    hop: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hop != 0 and not 1 / RATE <= self.hop < float("inf"):
            raise BadSetting(f"selavi_audio hop is {self.hop} s; expected seconds above 0, or 0 for those of AVCA.")

    @property
    def dim(self) -> int:
        """512 in the released files."""
        return 8 * len(self._network.conv1.weight)

    @property
    def reach(self) -> float:
        """Half a second where windows are `hop` apart; otherwise they lie as the length of the clip says."""
        return 0.5 + EDGE if self.hop else math.inf

    def request(self) -> dict[str, Any]:
        """Sound at 44.1 kHz."""
        return {"rate": RATE}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Vectors `[second, dim]` and the centre of each window's real sound; no step for a clip without any sound.

        A sound shorter than a second is one window, with zeros behind it.

        Raises:
            ValueError: The clip was decoded at another rate, or the checkpoint cannot be used.
        """
        sound = heard(media, RATE, self.name)
        if sound is None:
            return torch.zeros(0, self.dim), torch.zeros(0)
        starts = second_starts(len(sound.waveform), RATE, self.hop)

        def spectrograms() -> Iterator[Tensor]:
            for first in range(0, len(starts), BATCH):
                some = windows(sound.waveform, starts[first : first + BATCH], RATE)
                yield torch.stack([spectrogram(window) for window in some])[:, None]

        centres = np.array([start + min(RATE, len(sound.waveform) - start) / 2 for start in starts])
        return self._through(spectrograms()), torch.from_numpy(sound.when(centres))

    def _like(self, tensors: Mapping[str, Tensor]) -> ResNet9:
        return ResNet9.like(tensors)


def spectrogram(waveform: np.ndarray) -> Tensor:
    """The scaled spectrogram `[257, frame]` float32 of a waveform `[sample]` at 44.1 kHz, in [-1, 1]."""
    whole = torch.from_numpy((waveform * 32768).round().clip(-32768, 32767).astype(np.float64))
    emphasised = torch.cat([whole[:1], whole[1:] - EMPHASIS * whole[:-1]])
    count = 1 + max(0, math.ceil((len(whole) - FRAME) / STEP))
    padded = torch.cat([emphasised, emphasised.new_zeros(max(0, (count - 1) * STEP + FRAME - len(whole)))])
    power = torch.fft.rfft(padded.unfold(0, FRAME, STEP), FFT).abs().square() / FFT
    bands = power @ _filters()
    bands = torch.where(bands == 0, torch.finfo(torch.float64).eps, bands)
    return ((bands.log().float() - MEAN) / DEVIATION).T


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """Triangles between whole bins of the transform, `[frequency, band]` float64."""
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins = np.floor((FFT + 1) * hertz / RATE).astype(int)
    found = np.zeros((FFT // 2 + 1, BANDS))
    for band, (left, middle, right) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        rising, falling = np.arange(left, middle), np.arange(middle, right)
        found[rising, band] = (rising - left) / max(middle - left, 1)
        found[falling, band] = (right - falling) / max(right - middle, 1)
    return torch.from_numpy(found)
