"""Audio features from a CLAP audio tower (Wu et al. 2023) through transformers.

The waveform is cut into windows of the length the model expects, one embedding each. transformers' own treatment of
long audio takes a *random* crop (`truncation="rand_trunc"`), and for "fusion" checkpoints flags a random short clip as
long; windows that are never longer than the model's input, and flags set here, keep the features deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractor import Extractor, checkpoint_id, load_checkpoint
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from avshot.media import Media

BATCH = 8  # windows through the model at once


@dataclass(frozen=True)
class ClapAudio(Extractor):
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
    modality: ClassVar[str] = "audio"
    joint: ClassVar[bool] = True
    licence: ClassVar[str] = "the checkpoint's"
    size: ClassVar[str] = "620 MB (htsat-unfused)"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    window: float = 0.0
    hop: float = 0.0
    revision: str = "main"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.window < 0 or self.hop < 0:
            raise BadSetting(f"clap window is {self.window} s and hop {self.hop} s; expected 0 or more.")

    @property
    def dim(self) -> int:
        """Width of CLAP's joint space."""
        return int(self._config.projection_dim)

    def request(self) -> dict[str, Any]:
        """The sampling rate of the model (48 kHz in the published checkpoints)."""
        return {"rate": int(self._processor.sampling_rate)}

    def spec(self) -> dict[str, Any]:
        """Settings and the identity of the weights; the device does not change what is meant, so it is left out."""
        settings = super().spec()
        del settings["device"]
        return {**settings, "weights": checkpoint_id(self.name, self.checkpoint, self.revision)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Unit-length audio embeddings `[window, dim]` and the centre of each window's real sound.

        Digital silence at the ends, and gaps, are left out before windows are cut; a window may reach over a gap.
        A clip shorter than a window is one step, padded as the feature extractor says ("repeatpad": repeated). A rest
        shorter than half a hop joins no window of its own.

        Raises:
            ValueError: The clip was decoded at another rate, `window` exceeds the model's input or `hop` the window.
        """
        rate = self._processor.sampling_rate
        if media.rate != rate:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; clap expects {rate}. Decode with request().")
        spans = sounding(media.waveform, rate, media.gaps)
        if len(spans) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        edges = (spans * rate).round().astype(int)
        stretches = [media.waveform[start:stop] for start, stop in edges]
        waveform = stretches[0] if len(stretches) == 1 else np.concatenate(stretches)
        window, hop = self._lengths()
        starts = window_starts(len(waveform), window, hop)
        windows = [waveform[start : start + window] for start in starts]
        parts = [self._embed(windows[i : i + BATCH]) for i in range(0, len(windows), BATCH)]
        centres = [start + len(piece) / 2 for start, piece in zip(starts, windows, strict=True)]
        return torch.cat(parts), torch.tensor(_before_joining(np.array(centres), edges) / rate, dtype=torch.float32)

    def _lengths(self) -> tuple[int, int]:
        """Window and hop in samples."""
        rate, longest = self._processor.sampling_rate, int(self._processor.nb_max_samples)
        window = longest if self.window == 0 else round(self.window * rate)
        hop = window if self.hop == 0 else round(self.hop * rate)
        if not 1 <= hop <= window <= longest:
            raise BadSetting(
                f"clap window is {window / rate} s, hop {hop / rate} s; expected hop <= window <= {longest / rate} s, "
                "the most the model takes."
            )
        return window, hop

    @torch.inference_mode()
    def _embed(self, windows: list[np.ndarray]) -> Tensor:
        processor = self._processor
        mels = [
            processor(piece, sampling_rate=processor.sampling_rate, return_tensors="np")["input_features"]
            for piece in windows
        ]
        features = torch.as_tensor(np.concatenate(mels), dtype=torch.float32, device=self.device)
        never = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        output = self._model.get_audio_features(input_features=features, is_longer=never)
        return F.normalize(output.pooler_output.float(), dim=1).cpu().clone()

    def _load(self, kind: Any) -> Any:
        return load_checkpoint(kind, self.name, self.checkpoint, self.revision)

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

        return self._load(ClapModel).eval().to(self.device)


def _before_joining(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Where places `[place]` of joined stretches lay before, given the first and last sample of each stretch."""
    ends = np.cumsum(edges[:, 1] - edges[:, 0])
    which = np.minimum(np.searchsorted(ends, places, side="right"), len(edges) - 1)
    return np.asarray(places + (edges[:, 1] - ends)[which])


def window_starts(samples: int, window: int, hop: int) -> list[int]:
    """First sample of each window that covers `samples` samples; always at least one.

    A rest shorter than half a hop is left out.

    Example:
        >>> window_starts(25, 10, 10), window_starts(24, 10, 10), window_starts(3, 10, 10)
        ([0, 10, 20], [0, 10], [0])
    """
    extra = max(0, samples - window)
    return [i * hop for i in range(1 + int(extra / hop + 0.5))]
