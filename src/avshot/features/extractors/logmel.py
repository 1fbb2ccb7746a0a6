"""Audio descriptor without weights: log-mel spectrogram, several short frames side by side in each time step.

Written on `torch.stft` with our own mel matrix; agrees with librosa to 1e-4 (tests/features/extractors/test_logmel.py).
A step that averaged over its duration would blur the sounds of speech; instead it holds `stack` frames next to each
other, and may reach into its neighbours so that it hears a syllable and not a splinter of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from avshot.media import Media

FLOOR = 1e-6  # added to the mel power before the logarithm: about -60 dB below a full-scale tone in one band
CHUNK = 4096  # frames worked on at once, so that what they take does not grow with the clip
NORMALISATIONS = ("none", "clip", "channel")


@dataclass(frozen=True)
class LogMel(Extractor):
    """Log-mel spectrogram in steps of `hop` seconds.

    Attributes:
        rate: Sampling rate in Hz the waveform is decoded to.
        hop: Seconds between time steps.
        spacing: Seconds between spectrogram frames; `hop` is a multiple of it.
        stack: Frames each step holds; when they last longer than `hop`, steps overlap.
        window: Length of the Hann window in seconds.
        mels: Mel bands per frame.
        low: Lower edge of the lowest band in Hz.
        high: Upper edge of the highest band in Hz.
        normalise: "channel" (each band has mean 0 and deviation 1 over the clip: removes microphone and speaker
            colour), "clip" (one mean and deviation for the whole clip: removes loudness), "none".
    """

    name: ClassVar[str] = "logmel"
    version: ClassVar[int] = 2  # 1 took silence at the ends, and gaps, for sound
    modality: ClassVar[str] = "audio"

    rate: int = 16000
    hop: float = 0.04
    spacing: float = 0.02
    stack: int = 12
    window: float = 0.025
    mels: int = 40
    low: float = 50.0
    high: float = 7600.0
    normalise: str = "clip"

    def __post_init__(self) -> None:
        if self.normalise not in NORMALISATIONS:
            raise BadSetting(f"normalise is {self.normalise!r}; expected one of {', '.join(NORMALISATIONS)}.")
        if min(self.stack, self.mels) < 1 or self.window <= 0 or self._frame_hop < 1:
            raise BadSetting(f"{self} needs stack, mels and window above 0 and spacing of at least one sample.")
        if self._stride < 1 or abs(self._stride * self.spacing - self.hop) > 1e-6:
            raise BadSetting(f"hop is {self.hop} s and spacing {self.spacing} s; expected hop = a multiple of spacing.")
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise BadSetting(f"Mel range is {self.low}-{self.high} Hz; expected 0 <= low < high <= {self.rate / 2} Hz.")

    @property
    def dim(self) -> int:
        """`stack * mels`."""
        return self.stack * self.mels

    @property
    def _frame_hop(self) -> int:
        return round(self.spacing * self.rate)

    @property
    def _stride(self) -> int:
        return round(self.hop / self.spacing)

    @property
    def reach(self) -> float:
        """Half of what the frames of a step span; infinity where they are normalised over the clip."""
        if self.normalise != "none":
            return math.inf
        return (self.stack + self._stride) / 2 * self.spacing + self._fft / self.rate

    def request(self) -> dict[str, Any]:
        """The sampling rate."""
        return {"rate": self.rate}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Describe what sounds of a clip; silence gives no step, a sound shorter than a window one.

        Digital silence at the ends, and gaps, are left out before anything is computed: each stretch between them is
        described as if it were a clip of its own, but normalised together with the others.

        Raises:
            ValueError: The clip was decoded at another rate.
        """
        if media.rate != self.rate:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; logmel expects {self.rate}. Decode with request().")
        spans = sounding(media.waveform, self.rate, media.gaps)
        if len(spans) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        stretches = [media.waveform[slice(*edges)] for edges in (spans * self.rate).round().astype(int)]
        parts = [self._frames(torch.as_tensor(stretch, dtype=torch.float32)) for stretch in stretches]
        frames = _normalised(parts[0] if len(parts) == 1 else torch.cat(parts), self.normalise)
        made = [self._steps(part) for part in frames.split([len(part) for part in parts])]
        times = [centre + start for (_, centre), start in zip(made, spans[:, 0].tolist(), strict=True)]
        return torch.cat([steps for steps, _ in made]), torch.cat(times)

    def _frames(self, waveform: Tensor) -> Tensor:
        return log_mel(
            waveform,
            rate=self.rate,
            window=round(self.window * self.rate),
            hop=self._frame_hop,
            matrix=_kept_matrix(self.rate, self._fft, self.mels, self.low, self.high),
        )

    @property
    def _fft(self) -> int:
        return 2 ** math.ceil(math.log2(self.window * self.rate))

    def _steps(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Gather `stack` frames around every `stride`-th; beyond both ends the first and the last frame repeat."""
        stride, before = self._stride, (self.stack - self._stride) // 2
        first = torch.arange(math.ceil(len(frames) / stride)) * stride - before
        rows = torch.arange(int(first[0]), int(first[-1]) + self.stack).clamp(0, len(frames) - 1)
        centre = (first + (self.stack - 1) / 2) * (self._frame_hop / self.rate)
        # Rows follow each other in memory, so a step is a stretch of it.
        stretch = (len(first), self.stack * self.mels)
        return frames.index_select(0, rows).as_strided(stretch, (stride * self.mels, 1)).contiguous(), centre


def log_mel(waveform: Tensor, *, rate: int, window: int, hop: int, matrix: Tensor) -> Tensor:
    """Natural logarithm of the mel power spectrum: `[frame, mel]`, frame i centred on sample `i * hop`.

    Args:
        waveform: `[sample]`, at least one sample; zeros are assumed beyond both ends.
        rate: Hz; only for the reader, the unit of `window` and `hop` is samples.
        window: Length of the periodic Hann window, in samples, at most the FFT length.
        hop: Samples between frames.
        matrix: `[mel, fft / 2 + 1]` from `mel_matrix`, which sets the FFT length.
    """
    fft = 2 * (matrix.shape[1] - 1)
    taper = _kept_taper(window, waveform.dtype, waveform.device)
    padded, count, parts = F.pad(waveform, (fft // 2, fft // 2)), 1 + len(waveform) // hop, []
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count) - 1
        piece = padded[first * hop : last * hop + fft]
        spectrum = torch.stft(
            piece, fft, hop_length=hop, win_length=window, window=taper, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        parts.append(torch.log(matrix.to(power) @ power + FLOOR))
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).T


def mel_matrix(rate: int, fft: int, mels: int, *, low: float, high: float) -> Tensor:
    """Triangular filters of equal width on the mel scale, each with peak 1: `[mel, fft / 2 + 1]`.

    The scale is HTK's, `2595 log10(1 + f / 700)`. A band narrower than an FFT bin can be empty;
    it then holds the floor.
    """

    def to_mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    edges = 700 * (10 ** (torch.linspace(to_mel(low), to_mel(high), mels + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64)
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


@lru_cache(maxsize=8)
def _kept_taper(window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.hann_window(window, dtype=dtype, device=device)


@lru_cache(maxsize=8)
def _kept_matrix(rate: int, fft: int, mels: int, low: float, high: float) -> Tensor:
    return mel_matrix(rate, fft, mels, low=low, high=high)


def _normalised(frames: Tensor, how: str) -> Tensor:
    if how == "none":
        return frames
    across: tuple[int, ...] = (0,) if how == "channel" else (0, 1)
    mean = frames.mean(dim=across, keepdim=True)
    # The floor keeps silence (deviation 0) at 0 and near-silence from being blown up to full scale.
    deviation = frames.std(dim=across, keepdim=True, correction=0).clamp(min=0.1)
    return (frames - mean) / deviation
