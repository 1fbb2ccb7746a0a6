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
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._mobilenet import EMBEDDING, MobileNet
from avshot.features.spectrogram import mel_spectrogram, mel_triangles
from avshot.features.tagger import Tagger, check_windows, slices, window_starts
from avshot.features.weights import folded, load_strictly
from avshot.files.atomic import file_digest
from avshot.files.pins import weights_file
from avshot.files.torch_archive import restricted_archive
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from avshot.media import Media

# The authors' front-end (models/preprocess.py of the release, without its training-time augmentation).
RATE, FFT, WINDOW, HOP = 32_000, 1024, 800, 320  # Hz and samples
BANDS, HIGH, EMPHASIS, FLOOR = 128, 15_000.0, 0.97, 1e-5
MEAN, SCALE = -4.5, 5.0
FRAMES = RATE // HOP  # a second
WIDTHS = (0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0)  # of the releases mn01 to mn40
BATCH = 6400  # frames through the network at once: what they take stays in the processor's cache


@dataclass(frozen=True)
class EfficientAT(Tagger):
    """AudioSet's 527 labels, or the embedding beneath them, for windows of a recording.

    Attributes:
        checkpoint: "mn04_as" or "mn10_as", fetched by `avshot encoders pull`, or the path of a released `.pt` file.
        window: Seconds that each step hears.
        hop: Seconds between steps.
        out: "embedding" (mn04: 384 wide, mn10: 960) or "logits" (527, each for a sigmoid).
        device: Where the network runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "efficientat"
    modality: ClassVar[str] = "audio"
    vocabulary: ClassVar[str] = "audioset"

    checkpoint: str = "mn04_as"
    window: float = 2.0
    hop: float = 0.5
    out: str = "embedding"
    device: str = "cpu"

    def __post_init__(self) -> None:
        weights_file(self.checkpoint, self.name)
        self.check_out()
        check_windows(self.name, self.window, self.hop, shortest=0.1)

    @property
    def width(self) -> int:
        """Width of the embedding, by the weights."""
        return int(self._tensors["classifier.2.weight"].shape[1])

    def request(self) -> dict[str, Any]:
        """Sound at 32 kHz."""
        return {"rate": RATE}

    def spec(self) -> dict[str, Any]:
        """Settings and the digest of the file; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": f"sha256:{file_digest(self._path)}"}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Steps `[time, dim]` and the centres of their windows; no step for silence, one for less than a window.

        Digital silence at the ends, and gaps, are left out; each stretch between them has windows of its own.

        Raises:
            ValueError: The clip was decoded at another rate, or the weights cannot be used.
        """
        if media.rate != RATE:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; efficientat expects {RATE}. Decode with request().")
        vectors, times = [torch.zeros(0, self.dim)], [torch.zeros(0)]
        window, hop = (round(seconds * FRAMES) for seconds in (self.window, self.hop))
        for start, end in sounding(media.waveform, RATE, media.gaps):
            sound = torch.from_numpy(media.waveform[round(start * RATE) : round(end * RATE)])
            frames = spectrogram(sound.float())
            starts = window_starts(frames.shape[1], window, hop)
            vectors.append(self._tagged(frames, starts, window))
            half = min(window, frames.shape[1]) / 2
            times.append(start + (torch.tensor(starts, dtype=torch.float64) + half) / FRAMES)
        return torch.cat(vectors), torch.cat(times).float()

    @torch.inference_mode()
    def _tagged(self, frames: Tensor, starts: list[int], window: int) -> Tensor:
        at_once = max(1, BATCH // window)
        parts = [
            self._network(slices(frames, starts[first : first + at_once], window)[:, None].to(self.device), self.out)
            for first in range(0, len(starts), at_once)
        ]
        return torch.cat(parts).float().cpu().clone()

    @property
    def _path(self) -> Path:
        return weights_file(self.checkpoint, self.name)

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        found = restricted_archive(self._path)
        if not isinstance(found, dict) or not hasattr(found.get("classifier.2.weight"), "shape"):
            raise BadSetting(f"{self._path} holds no network of EfficientAT; give a released file unchanged.")
        return {str(key): torch.as_tensor(value) for key, value in found.items()}

    @cached_property
    def _network(self) -> MobileNet:
        width = self.width / EMBEDDING
        if width not in WIDTHS:
            raise BadSetting(
                f"{self._path} has an embedding {self.width} wide; expected one of "
                f"{', '.join(str(round(w * EMBEDDING)) for w in WIDTHS)}, of a plain release of EfficientAT."
            )
        network = load_strictly(MobileNet(width, len(self.labels)), self._tensors, str(self._path), "EfficientAT")
        return folded(network).to(self.device)


def spectrogram(sound: Tensor) -> Tensor:
    """The authors' input `[128, frame]`, 100 frames a second, of sound `[sample]` at 32 kHz, at least one sample.

    Sound too short to be mirrored at its ends is first extended by zeros.
    """
    sound = F.pad(sound, (0, max(0, FFT - len(sound))))
    emphasised = sound[1:] - EMPHASIS * sound[:-1]
    padded = F.pad(emphasised[None], (FFT // 2, FFT // 2), mode="reflect")[0]
    taper = torch.hann_window(WINDOW, periodic=False)
    bands = mel_spectrogram(padded, mel_triangles(RATE, FFT, BANDS, 0.0, HIGH), taper, HOP)
    return (torch.log(bands + FLOOR) - MEAN) / SCALE
