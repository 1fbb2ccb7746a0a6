"""Audio features from the CLAP of WavCaps, as ClipClap uses them: one vector for the middle ten seconds of a clip.

Source: Mei et al. 2023, https://arxiv.org/abs/2303.17395; thesis section 5.4.1; ClipClap-GZSL's extraction script. The
checkpoint is a file of yours (`HTSAT-BERT-zero-shot.pt`), read without running anything from it. 32 kHz mono; a shorter
clip is padded with zeros at its end, of a longer one the middle is taken; log-mel spectrogram in decibels by the
checkpoint's own filters; HTSAT through transformers; two projection layers; unit length.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.joint import JointExtractor
from avshot.files.atomic import file_digest
from avshot.files.released import filled
from avshot.files.wavcaps import FFT, HOP, PATCH, RATE, SECONDS, SPECTROGRAM, WavCaps, projection, read_wavcaps
from avshot.media.presence import sounding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from avshot.media import Media

_TABLE = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.relative_position_bias_table")
_FLOOR = 1e-10  # power below which decibels stay; torchlibrosa's `amin`


@dataclass(frozen=True)
class WavCapsAudio(JointExtractor):
    """The audio embedding of a clip in the space that WavCaps' CLAP shares with text.

    Attributes:
        checkpoint: A `.pt` file of WavCaps with HTSAT and BERT.
        device: Where the model runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "wavcaps"
    text: ClassVar[str] = "wavcaps"
    modality: ClassVar[str] = "audio"
    licence: ClassVar[str] = "non-commercial research"
    checked: ClassVar[str] = "random weights"

    checkpoint: str
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not Path(self.checkpoint).is_file():
            raise BadSetting(f"Extractor wavcaps: there is no file {self.checkpoint}; give a checkpoint of WavCaps.")

    @property
    def dim(self) -> int:
        """Width of the joint space (1024 in the published checkpoint)."""
        return self._weights.dim

    @property
    def reach(self) -> float:
        """Infinity: the middle of the clip is described."""
        return math.inf

    def request(self) -> dict[str, Any]:
        """Sound at 32 kHz."""
        return {"rate": RATE}

    def scale_and_bias(self) -> None:
        """None: the temperature that WavCaps was trained with is not read."""

    def _identity(self) -> str:
        return f"sha256:{file_digest(self.checkpoint)}"

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """One unit vector `[1, dim]`, and the centre of what it describes; no step for a clip without any sound.

        Raises:
            ValueError: The clip was decoded at another rate, or the checkpoint cannot be used.
        """
        if media.rate != RATE:
            raise BadSetting(f"Audio is sampled at {media.rate} Hz; wavcaps expects {RATE}. Decode with request().")
        if len(sounding(media.waveform, RATE, media.gaps)) == 0:
            return torch.zeros(0, self.dim), torch.zeros(0)
        most = SECONDS * RATE
        first = max(0, (len(media.waveform) - most) // 2)
        piece = torch.from_numpy(media.waveform[first : first + most]).float()
        centre = (first + len(piece) / 2) / RATE
        with torch.inference_mode():
            mel = decibels(F.pad(piece, (0, most - len(piece))), self._weights.mel).to(self.device)
            pooled = self._encoder(mel[None, None]).pooler_output
            vector = F.normalize(self._projection(pooled), dim=1).cpu().clone()
        return vector, torch.tensor([centre], dtype=torch.float32)

    @cached_property
    def _weights(self) -> WavCaps:
        return read_wavcaps(self.checkpoint)

    @cached_property
    def _encoder(self) -> Any:
        return htsat(self._weights.audio, self.checkpoint, bands=self._weights.mel.shape[1]).to(self.device)

    @cached_property
    def _projection(self) -> Any:
        return projection(self._weights.audio_projection, self.checkpoint, "audio_proj").to(self.device)


def decibels(waveform: Tensor, mel: Tensor) -> Tensor:
    """Mel spectrogram `[frame, band]` in decibels: Hann windows of 1024 samples every 320, mirrored at both ends.

    Args:
        waveform: `[sample]` at 32 kHz, more than 512.
        mel: `[frequency, band]` filters for a power spectrum of 513 frequencies.
    """
    window = torch.hann_window(FFT, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(waveform, FFT, hop_length=HOP, window=window, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    return 10 * (power.T @ mel.to(power)).clamp(min=_FLOOR).log10()


def htsat(tensors: Mapping[str, Tensor], path: str, *, bands: int) -> Any:
    """The audio encoder, whose sizes are read from its parameters. Raises ValueError where they do not fit."""
    from transformers import ClapAudioConfig, ClapAudioModel

    named = ((_TABLE.fullmatch(name), tensor) for name, tensor in tensors.items())
    tables = {(int(found[1]), int(found[2])): tensor for found, tensor in named if found is not None}
    stages = range(len({stage for stage, _ in tables}))
    patches = tensors.get("patch_embed.proj.weight")
    whole = all((stage, 0) in tables for stage in stages) and all(table.ndim == 2 for table in tables.values())
    if patches is None or not whole:
        raise BadSetting(f"{path} has no HTSAT whose sizes can be told; give the checkpoint of WavCaps unchanged.")
    width = len(patches)
    try:
        config = ClapAudioConfig(
            window_size=(round(len(tables[0, 0]) ** 0.5) + 1) // 2,
            num_mel_bins=bands,
            spec_size=SPECTROGRAM,
            patch_size=PATCH,
            patch_stride=[PATCH, PATCH],
            patch_embeds_hidden_size=width,
            hidden_size=width << len(stages) >> 1,
            depths=[sum(stage == other for other, _ in tables) for stage in stages],
            num_attention_heads=[tables[stage, 0].shape[1] for stage in stages],
            num_hidden_layers=len(stages),
        )
        encoder = ClapAudioModel(config).audio_encoder
    except (KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise BadSetting(f"{path} has an HTSAT of impossible sizes ({reason}); give it unchanged.") from None
    kept = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    return filled(encoder, kept, path, "HTSAT of WavCaps", made=r"relative_position_index$|num_batches_tracked$")
