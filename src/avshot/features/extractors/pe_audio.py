"""Audio features from PE-AV (Vyas et al. 2025, https://arxiv.org/abs/2512.19687) through transformers: sound alone.

48 kHz through the encoder of a codec and a transformer; a window is one vector, in one space with PE-AV's pictures
(`pe_video`), and with texts through a head of their own (text encoder `pe_audio`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.features.extractors._pe import PeWindows, alike
from avshot.features.extractors._windows import WindowedSound


@dataclass(frozen=True)
class PeAudio(PeWindows, WindowedSound):
    """PE-AV's audio embeddings of windows.

    Attributes:
        checkpoint: Hub id such as `"facebook/pe-av-small-16-frame"`, or a folder with model and feature extractor.
        window: Seconds per window, or 0 for 10.
        hop: Seconds between windows, or 0 for windows side by side.
        revision: Branch, tag or commit on the hub; ignored for a folder.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "pe_audio"
    text: ClassVar[str] = "pe_audio"
    part: ClassVar[str] = "PeSound"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    @property
    def _rate(self) -> int:
        return self._hertz

    def _embed(self, pieces: list[np.ndarray]) -> Tensor:
        return torch.cat([self._model(self._sounds(group)) for group in alike(pieces)])
