"""Sounds named in 521 words: YAMNet, MobileNet v1 on patches of a mel spectrogram (Plakal and Ellis, Google, 2020).

Sources: Howard et al. 2017, "MobileNets", table 1 (https://arxiv.org/abs/1704.04861); Hershey et al. 2017, "CNN
Architectures for Large-Scale Audio Classification" (https://arxiv.org/abs/1609.09430) for the front-end. The weights
are read out of Google's `.tflite` file (Apache-2.0), where they are rounded to 8 bits and batch norm is worked into
them; here they are used in float32, without rounding what lies between the layers. No TensorFlow is needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.features.extractors._padding import same_convolution
from avshot.features.folding import folded
from avshot.features.sound_tagger import SoundTagger
from avshot.features.spectrogram import mel_spectrogram, mel_triangles
from avshot.features.tagger import check_windows
from avshot.files.pins import weights_file
from avshot.files.released import filled
from avshot.files.tflite import read_tflite

RATE, FFT, WINDOW, HOP = 16_000, 512, 400, 160  # Hz and samples
BANDS, LOW, HIGH, FLOOR = 64, 125.0, 7500.0, 1e-3
PATCH = 96  # frames that the network was trained on
SAMPLES = (PATCH - 1) * HOP + WINDOW  # that they need
WIDTH = 1024
# Channels and stride of each pair of layers: every channel by itself, then all together (MobileNets, table 1).
PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(5 * ((512, 1),)), (1024, 2), (1024, 1))
STEM = 32
_LAYER = re.compile(r"(?:tower0/)?network/layer(\d+)/.*", re.DOTALL)
_NO_LAYER = 28  # the mean, whose constant says over which axes


@dataclass(frozen=True)
class YamNet(SoundTagger):
    """YAMNet's 521 labels of AudioSet, or the embedding beneath them, for windows of a recording.

    A window is a patch of 0.975 s. The network could take longer ones, but was not trained to: of ESC-10 it names 0.97
    by patches, and 0.79 in windows of twice their length.

    Attributes:
        window: Seconds that each step hears.
        checkpoint: "yamnet", fetched by `avshot encoders pull yamnet`, or the path of Google's `.tflite` file.
        hop: Seconds between steps.
        out: "embedding" (1024 wide) or "logits" (521, each for a sigmoid).
        device: Where the network runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "yamnet"
    vocabulary: ClassVar[str] = "yamnet"
    rate: ClassVar[int] = RATE
    step: ClassVar[int] = HOP
    middle: ClassVar[int] = WINDOW // 2
    at_once: ClassVar[int] = 32 * PATCH
    window: ClassVar[float] = 0.96  # type: ignore[misc]

    checkpoint: str = "yamnet"
    hop: float = 0.48
    out: str = "embedding"
    device: str = "cpu"

    def __post_init__(self) -> None:
        _ = self.path
        self.check_out()
        check_windows(self.name, self.window, self.hop, shortest=self.window)

    @property
    def width(self) -> int:
        """Width of the embedding, 1024."""
        return WIDTH

    @property
    def path(self) -> Path:
        """The file of its weights; see `Tagger.path`."""
        return weights_file(self.checkpoint, self.name)

    @property
    def shortest(self) -> int:
        """A patch."""
        return SAMPLES

    def spectrogram(self, sound: Tensor) -> Tensor:
        """See `spectrogram`."""
        return spectrogram(sound)

    def describe(self, windows: Tensor) -> Tensor:
        """See `SoundTagger.describe`."""
        patches = windows.transpose(1, 2)[:, None].to(self.device, memory_format=torch.channels_last)
        return self._network(patches, self.out)

    @cached_property
    def _network(self) -> MobileNetV1:
        network = filled(MobileNetV1(len(self.labels)), parameters(self.path), self.path, "YAMNet")
        return folded(network).to(self.device)


def spectrogram(sound: Tensor) -> Tensor:
    """The published input `[64, frame]` of sound `[sample]` at 16 kHz; frame i begins at sample 160 i."""
    taper = torch.hann_window(WINDOW, dtype=sound.dtype)
    # The window begins with its frame, and zeros follow it; torch would put it in the middle of the FFT.
    taper = F.pad(taper, (0, FFT - WINDOW))
    padded = F.pad(sound, (0, FFT - WINDOW))
    bands = mel_spectrogram(padded, mel_triangles(RATE, FFT, BANDS, LOW, HIGH), taper, HOP, power=1)
    return torch.log(bands + FLOOR)


class MobileNetV1(nn.Module):
    """MobileNet v1 without batch norm; layers are numbered as in the released graph, 1 to 27, and 29 for the labels."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.layer1 = nn.Conv2d(1, STEM, 3, stride=2)
        into = STEM
        for pair, (out, stride) in enumerate(PAIRS, start=1):
            self.add_module(f"layer{2 * pair}", nn.Conv2d(into, into, 3, stride=stride, groups=into))
            self.add_module(f"layer{2 * pair + 1}", nn.Conv2d(into, out, 1))
            into = out
        self.layer29 = nn.Linear(into, labels)

    def forward(self, patches: Tensor, out: str) -> Tensor:
        """`[patch, 1, frame, band]` to embeddings `[patch, 1024]` (out="embedding") or logits `[patch, label]`."""
        maps = patches
        for number in range(1, 2 * len(PAIRS) + 2):
            layer: nn.Conv2d = getattr(self, f"layer{number}")
            maps = F.relu6(same_convolution(layer, maps), inplace=True)
        pooled = maps.mean(dim=(2, 3))
        return pooled if out == "embedding" else self.layer29(pooled)


def parameters(path: str | Path) -> dict[str, Tensor]:
    """The weights and biases of all layers, `layer1.weight` and so on, in torch's order of axes.

    Raises:
        ValueError: The file is no `.tflite` model, or has a layer of another kind.
    """
    found: dict[str, Tensor] = {}
    for name, constant in read_tflite(path).items():
        number = _LAYER.fullmatch(name)
        if number is None or int(number[1]) == _NO_LAYER:
            continue
        values, kind = torch.from_numpy(constant.numbers()), "bias" if constant.stored.ndim == 1 else "weight"
        if values.ndim == 4:  # [out, row, column, in]; of a layer that keeps channels apart [1, row, column, channel]
            values = values.permute(0, 3, 1, 2) if int(number[1]) % 2 else values.permute(3, 0, 1, 2)
        key = f"layer{number[1]}.{kind}"
        if key in found:
            raise BadSetting(f"{path} has two tensors for {key}; give YAMNet's file unchanged.")
        found[key] = values.contiguous()
    return found
