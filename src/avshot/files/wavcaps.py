"""A CLAP checkpoint of WavCaps (HTSAT-BERT), read by the names of its parameters.

WavCaps (Mei et al. 2023, https://arxiv.org/abs/2303.17395; retrieval code of XinhaoMei/WavCaps) trains an HTSAT beside
a BERT. ClipClap takes its features and class vectors from `HTSAT-BERT-zero-shot.pt`. Their HTSAT is that of
`transformers.ClapAudioModel` under other names, with queries, keys and values in one matrix; their BERT has the names
of `transformers.BertModel`. What only training needs (classifier heads, temperature) and what follows from sizes
(masks, the Fourier transform) is left out; any other name is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from avshot.errors import BadSetting
from avshot.files.released import filled
from avshot.files.torch_archive import restricted_archive

RATE, FFT, HOP, SECONDS = 32_000, 1024, 320, 10  # Hz, samples, samples; settings/inference.yaml, thesis section 5.4.1
SPECTROGRAM, PATCH = 256, 4  # what HTSAT folds a spectrogram to, and the side of a patch; audio_encoder.py
_MEL = "audio_feats_extractor.log_trans.melW"
_PARTS = {
    "audio": "audio_encoder.audio_enc.",
    "audio_projection": "audio_proj.",
    "text": "text_encoder.text_encoder.",
    "text_projection": "text_proj.",
}
_UNUSED = re.compile(
    r"temp|audio_encoder\.audio_enc\.((tscam_conv|head)\.(weight|bias)"
    r"|audio_feats_extractor\.mel_trans\.stft\.conv_(real|imag)\.weight"
    r"|layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index))"
    r"|text_encoder\.text_encoder\.embeddings\.position_ids"
)
_RENAMED = (
    (r"^bn0\.", "batch_norm."),
    (r"(blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"(blocks\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"(blocks\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"(blocks\.\d+)\.attn\.proj\.", r"\1.attention.output.dense."),
    (r"(blocks\.\d+)\.attn\.(?!qkv)", r"\1.attention.self."),
)


@dataclass(frozen=True)
class WavCaps:
    """The parts of a checkpoint.

    Attributes:
        mel: `[frequency, band]` filters that make a mel spectrogram of a power spectrum.
        audio: Parameters of HTSAT by the names of `ClapAudioModel.audio_encoder`.
        audio_projection: Of the layers behind it, `0.weight`, `0.bias`, `2.weight`, `2.bias`.
        text: Parameters of BERT by the names of `BertModel`.
        text_projection: Of the layers behind it.
    """

    mel: Tensor
    audio: Mapping[str, Tensor]
    audio_projection: Mapping[str, Tensor]
    text: Mapping[str, Tensor]
    text_projection: Mapping[str, Tensor]

    @property
    def dim(self) -> int:
        """Width of the space that sounds and texts share."""
        return len(self.text_projection["2.weight"])


def read_wavcaps(path: str | Path) -> WavCaps:
    """Read a checkpoint: its state dict, alone or as the entry "model".

    Raises:
        ValueError: It cannot be read, has a parameter of another name, or lacks a part; the message names it.
        OSError: There is no such file.
    """
    found = restricted_archive(path)
    state = found.get("model", found) if isinstance(found, dict) else {}
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    odd = []
    for name, value in state.items() if isinstance(state, dict) else ():
        part = next((part for part, prefix in _PARTS.items() if str(name).startswith(prefix)), None)
        if _UNUSED.fullmatch(str(name)):
            continue
        if part is None or not hasattr(value, "dtype"):
            odd.append(str(name))
        else:
            parts[part][str(name).removeprefix(_PARTS[part])] = torch.from_numpy(value)
    mel = parts["audio"].pop(_MEL, None)
    lacking = [prefix for part, prefix in _PARTS.items() if not parts[part]]
    if odd or lacking or mel is None or mel.ndim != 2:
        what = f"the parameter {odd[0]!r}" if odd else f"no {lacking[0]}*" if lacking else f"no mel filters ({_MEL})"
        raise BadSetting(f"{path} has {what}; expected a checkpoint of WavCaps with HTSAT and BERT, unchanged.")
    return WavCaps(mel.float(), _renamed(parts["audio"]), *(parts[part] for part in list(_PARTS)[1:]))


def _renamed(audio: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in audio.items():
        new = name
        for pattern, replacement in _RENAMED:
            new = re.sub(pattern, replacement, new)
        if ".attn.qkv." not in new:
            found[new] = value
            continue
        for which, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
            found[new.replace(".attn.qkv.", f".attention.self.{which}.")] = part
    return found


def projection(tensors: Mapping[str, Tensor], path: str | Path, what: str) -> nn.Module:
    """Linear, ReLU, linear: into the space that sounds and texts share. Raises ValueError where they do not fit."""
    try:
        (hidden, width), out = tensors["0.weight"].shape, len(tensors["2.weight"])
    except (KeyError, ValueError):
        raise BadSetting(f"{path} has no two layers {what}; give the checkpoint of WavCaps unchanged.") from None
    return filled(
        nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out)), tensors, path, f"{what} of WavCaps"
    )
