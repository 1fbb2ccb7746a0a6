"""Audio features from a CLAP audio tower (Wu et al. 2023) through transformers.

The waveform is cut into windows of the length the model expects, one embedding each. transformers' own treatment of
long audio takes a *random* crop (`truncation="rand_trunc"`), and for "fusion" checkpoints flags a random short clip as
long; windows that are never longer than the model's input, and flags set here, keep the features deterministic. A piece
shorter than a window is padded as the feature extractor says ("repeatpad": repeated).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractors._windows import WindowedSound


@dataclass(frozen=True)
class ClapAudio(WindowedSound):
    """CLAP audio embeddings of windows, in the space CLAP shares with text.

    Attributes:
        checkpoint: Hub id such as `"laion/clap-htsat-unfused"`, or a folder with model and feature extractor.
        window: Seconds per window, or 0 for what the model was trained on (10 s); more is refused.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "clap"
    version: ClassVar[int] = 2  # 1 took silence at the ends, and gaps, for sound
    text: ClassVar[str] = "clap"
    licence: ClassVar[str] = "Apache-2.0"
    size: ClassVar[str] = "620 MB (htsat-unfused)"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    @property
    def dim(self) -> int:
        """Width of CLAP's joint space."""
        return int(self._config.projection_dim)

    def scale_and_bias(self) -> tuple[float, float]:
        """CLAP's learnt scale of sound against text, and no bias: it was trained with a softmax."""
        return self._model.logit_scale_a.exp().item(), 0.0

    @property
    def _rate(self) -> int:
        return int(self._processor.sampling_rate)

    @property
    def _usual(self) -> float:
        return float(self._processor.nb_max_samples / self._processor.sampling_rate)

    @property
    def _longest(self) -> float:
        return self._usual

    def _embed(self, pieces: list[np.ndarray]) -> Tensor:
        processor = self._processor
        mels = [
            processor(piece, sampling_rate=processor.sampling_rate, return_tensors="np")["input_features"]
            for piece in pieces
        ]
        features = torch.as_tensor(np.concatenate(mels), dtype=torch.float32, device=self.device)
        never = torch.zeros(len(pieces), 1, dtype=torch.bool, device=self.device)
        return self._model.get_audio_features(input_features=features, is_longer=never).pooler_output

    @cached_property
    def _config(self) -> Any:
        from transformers import ClapConfig

        return self._load(ClapConfig)

    @cached_property
    def _processor(self) -> Any:
        from transformers import ClapFeatureExtractor

        return self._load(ClapFeatureExtractor)

    @cached_property
    def _model(self) -> Any:
        from transformers import ClapModel

        return self._load_model(ClapModel, unused=("text_",))
