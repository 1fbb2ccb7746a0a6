"""Steps of a recording in time, and what finding asks of whoever scores them: pretrained encoders, or a Run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from avshot.features.extractor import Extractor


@dataclass(frozen=True)
class Steps:
    """What an extractor makes of one modality of a stretch of a recording.

    Attributes:
        vectors: `[step, dim]` float32; no rows where the modality is missing, silent or black.
        time: `[step]` float64 centre of each step in seconds from the beginning of the recording, increasing.
    """

    vectors: Tensor
    time: np.ndarray


class StepScorer(Protocol):
    """Names that are looked for, the extractors that describe a recording, and probabilities from what they give."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked for."""

    @property
    def audio(self) -> Extractor | None:
        """Describes the sound; None: nobody listens."""

    @property
    def visual(self) -> Extractor | None:
        """Describes the picture; None: nobody looks."""

    @property
    def reach(self) -> float:
        """Seconds around a window's centre whose steps take part in its score."""

    def __call__(self, audio: Steps, visual: Steps, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of all names in each window.

        Args:
            audio: Steps of the sound, at least those within `reach` of the windows.
            visual: Steps of the picture.
            time: `[window]` centres in seconds, increasing.

        Returns:
            `[window, class]` float32 probability that the name happens in the window, each name for itself (0 where
            neither modality says anything), and the share of the sound in it, 0 to 1.
        """

    def key(self) -> dict[str, object]:
        """Everything that the probabilities depend on beside the recording, as plain json values."""
