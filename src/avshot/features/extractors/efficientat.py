"""Sounds named in the 527 words of AudioSet: EfficientAT, convolutional networks that run anywhere.

Schmid et al. 2023, "Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation",
https://arxiv.org/abs/2211.04772; weights of the authors' release (fschmid56/EfficientAT, v0.0.1, MIT) by their names:
`mn04_as` (1 million parameters, mAP 0.432 on AudioSet), `mn10_as` (4.9 million, 0.471), and the other plain ones, whose
width is read from the file. Our network is written from the papers.

The authors describe ten seconds at once. Here a window is shorter, so that a sound has a time; all windows share one
spectrogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._mobilenet import EMBEDDING, MobileNet
from avshot.features.folding import folded
from avshot.features.sound_tagger import SoundTagger
from avshot.features.spectrogram import mel_spectrogram, mel_triangles
from avshot.features.tagger import check_windows
from avshot.files.pins import weights_file
from avshot.files.released import filled
from avshot.files.torch_archive import restricted_archive

# The authors' front-end (models/preprocess.py of the release, without its training-time augmentation).
RATE, FFT, WINDOW, HOP = 32_000, 1024, 800, 320  # Hz and samples
BANDS, HIGH, EMPHASIS, FLOOR = 128, 15_000.0, 0.97, 1e-5
MEAN, SCALE = -4.5, 5.0
WIDTHS = (0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0)  # of the releases mn01 to mn40


@dataclass(frozen=True)
class EfficientAT(SoundTagger):
    """AudioSet's 527 labels, or the embedding beneath them, for windows of a recording.

    Attributes:
        checkpoint: "mn04_as" or "mn10_as", fetched by `avshot encoders pull`, or the path of a released `.pt` file.
        window: Seconds that each step hears.
        hop: Seconds between steps.
        out: "embedding" (mn04: 384 wide, mn10: 960) or "logits" (527, each for a sigmoid).
        device: Where the network runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "efficientat"
    vocabulary: ClassVar[str] = "audioset"
    rate: ClassVar[int] = RATE
    step: ClassVar[int] = HOP
    middle: ClassVar[int] = HOP // 2  # a frame stands for what follows its middle, up to the next one
    at_once: ClassVar[int] = 6400

    checkpoint: str = "mn04_as"
    window: float = 2.0
    hop: float = 0.5
    out: str = "embedding"
    device: str = "cpu"

    def __post_init__(self) -> None:
        _ = self.path
        self.check_out()
        check_windows(self.name, self.window, self.hop, shortest=0.1)

    @property
    def width(self) -> int:
        """Width of the embedding, by the weights."""
        return int(self._tensors["classifier.2.weight"].shape[1])

    @property
    def path(self) -> Path:
        """The file of its weights; see `Tagger.path`."""
        return weights_file(self.checkpoint, self.name)

    @property
    def shortest(self) -> int:
        """A second, or a window: a bark of 0.3 s alone is taken for music, and in a second of silence for a dog."""
        return round(min(self.window, 1.0) * RATE)

    def spectrogram(self, sound: Tensor) -> Tensor:
        """See `spectrogram`."""
        return spectrogram(sound)

    def describe(self, windows: Tensor) -> Tensor:
        """See `SoundTagger.describe`."""
        return self._network(windows[:, None].to(self.device), self.out)

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        found = restricted_archive(self.path)
        arrays = isinstance(found, dict) and all(isinstance(value, np.ndarray) for value in found.values())
        if not arrays or np.ndim(found.get("classifier.2.weight")) != 2:
            raise BadSetting(f"{self.path} holds no network of EfficientAT; give a released file unchanged.")
        return {str(key): torch.from_numpy(value) for key, value in found.items()}

    @cached_property
    def _network(self) -> MobileNet:
        width = self.width / EMBEDDING
        if width not in WIDTHS:
            raise BadSetting(
                f"{self.path} has an embedding {self.width} wide; expected one of "
                f"{', '.join(str(round(w * EMBEDDING)) for w in WIDTHS)}, of a plain release of EfficientAT."
            )
        network = filled(MobileNet(width, len(self.labels)), self._tensors, self.path, "EfficientAT")
        return folded(network).to(self.device)


def spectrogram(sound: Tensor) -> Tensor:
    """The authors' input `[128, frame]`, 100 frames a second, of sound `[sample]` at 32 kHz, more than 513 samples."""
    emphasised = sound[1:] - EMPHASIS * sound[:-1]
    padded = F.pad(emphasised[None], (FFT // 2, FFT // 2), mode="reflect")[0]
    taper = torch.hann_window(WINDOW, periodic=False)
    bands = mel_spectrogram(padded, mel_triangles(RATE, FFT, BANDS, 0.0, HIGH), taper, HOP)
    return (torch.log(bands + FLOOR) - MEAN) / SCALE
