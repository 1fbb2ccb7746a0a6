"""Audio features from EmbeddingGemma 2 (google/embeddinggemma-2) through transformers.

One space for texts, pictures, videos and sounds; here a window of sound at 16 kHz, 25 tokens a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractors._embeddinggemma import GemmaWindows
from avshot.features.extractors._windows import WindowedSound

LONGEST = 30.0  # seconds; the processor cuts what is longer
LEAST = 0.1  # seconds; a shorter sound would leave no token
STRIDE = 4  # steps of the spectrogram for a token


@dataclass(frozen=True)
class EmbeddingGemmaAudio(GemmaWindows, WindowedSound):
    """EmbeddingGemma 2's embeddings of windows of sound.

    Attributes:
        checkpoint: Hub id such as `"google/embeddinggemma-2"`, or a folder with model, tokenizer and feature extractor.
        window: Seconds per window, or 0 for 10; at most 30.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "embeddinggemma_audio"
    without: ClassVar[str] = "vision_config"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    @property
    def _rate(self) -> int:
        return int(self._processor.sampling_rate)

    @property
    def _longest(self) -> float:
        return LONGEST

    def _embed(self, pieces: list[np.ndarray]) -> Tensor:
        return torch.cat([self._embed_one(piece) for piece in pieces])

    def _embed_one(self, piece: np.ndarray) -> Tensor:
        least = round(LEAST * self._rate)
        longer = np.pad(piece, (0, max(0, least - len(piece))))
        heard = self._processor(longer[None], sampling_rate=self._rate, return_tensors="pt")
        mask, config = heard["input_features_mask"], self._config
        count = int(mask[0, ::STRIDE].sum())
        first, one, last = map(self._token, (config.boa_token_id, config.audio_token_id, config.eoa_token_index))
        return self._mean(
            [first + one * count + last],
            input_features=heard["input_features"].to(self.device),
            input_features_mask=mask.to(self.device),
        )

    @cached_property
    def _processor(self) -> Any:
        from transformers import Gemma4AudioFeatureExtractor

        return self._load(Gemma4AudioFeatureExtractor)
