"""Audio features from ImageBind (Girdhar et al. 2023, https://arxiv.org/abs/2305.05665).

Two seconds at 16 kHz, their mean taken off, as 128 Kaldi mel bands of 25 ms every 10 ms, filled with zeros to 204
steps, less -4.268 and divided by 9.138 (ImageBind's data.py). A longer window is not read; the authors average three of
two seconds over a clip, which `Features.pooled` does with all of them. Weights are for research alone (CC-BY-NC 4.0).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractors._imagebind import SECONDS, ImageBindWindows
from avshot.features.extractors._windows import WindowedSound
from avshot.files.imagebind import BANDS, STEPS

RATE, FRAME, STEP, FFT = 16_000, 400, 160, 512  # Hz and samples
MEAN, DEVIATION = -4.268, 9.138


@dataclass(frozen=True)
class ImageBindAudio(ImageBindWindows, WindowedSound):
    """ImageBind's audio embeddings of windows, in its space of pictures, sounds and texts.

    Attributes:
        checkpoint: The file `imagebind_huge.pth`.
        window: Seconds per window, at most 2; 0 for 2.
        hop: Seconds between windows, or 0 for windows side by side.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "imagebind_audio"
    tower: ClassVar[str] = "audio"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    device: str = "cpu"

    @property
    def _rate(self) -> int:
        return RATE

    @property
    def _longest(self) -> float:
        return SECONDS

    def _embed(self, pieces: list[np.ndarray]) -> Tensor:
        images = torch.stack([spectrum(piece) for piece in pieces])[:, None]
        found: Tensor = self._model(images.to(self.device))
        return found


def spectrum(piece: np.ndarray) -> Tensor:
    """What the tower reads of a sound `[sample]` at 16 kHz: `[band, step]`, 128 by 204."""
    from transformers.audio_utils import spectrogram, window_function

    centred = piece.astype(np.float64) - piece.mean(dtype=np.float64)
    bands = spectrogram(
        np.pad(centred, (0, max(0, FRAME - len(centred)))),
        window_function(FRAME, "hann", periodic=False),
        frame_length=FRAME,
        hop_length=STEP,
        fft_length=FFT,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=_filters(),
        log_mel="log",
        mel_floor=float(np.finfo(np.float32).eps),
        remove_dc_offset=True,
    )
    filled = np.zeros((BANDS, STEPS), np.float32)
    filled[:, : bands.shape[1]] = bands[:, :STEPS]
    return torch.from_numpy((filled - MEAN) / DEVIATION).float()


@lru_cache(maxsize=1)
def _filters() -> Any:
    from transformers.audio_utils import mel_filter_bank

    with warnings.catch_warnings():  # the lowest bands are narrower than a step of the spectrum, and hold nothing
        warnings.simplefilter("ignore", UserWarning)
        return mel_filter_bank(
            num_frequency_bins=FFT // 2 + 1,
            num_mel_filters=BANDS,
            min_frequency=20,
            max_frequency=RATE // 2,
            sampling_rate=RATE,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
