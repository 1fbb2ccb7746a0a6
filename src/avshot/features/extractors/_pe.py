"""What the three extractors of PE-AV share: how its checkpoint is read, and how pictures are prepared."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._windows import Windowed
from avshot.features.extractors.videoprism import resized

SECONDS = 10.0  # of a window; the model takes any length, this one is our choice
FRAMES = 16  # of a window: what the checkpoints named "-16-frame" were trained with


class PeWindows(Windowed):
    """Windows of a clip through a part of PE-AV.

    Attributes:
        part: The class of `_pe_models` that is needed.
    """

    licence: ClassVar[str] = "Apache-2.0"
    checked: ClassVar[str] = "random weights"
    part: ClassVar[str]

    @property
    def dim(self) -> int:
        """Width of the joint space."""
        return int(self._stated["text_config"].get("hidden_size", 1024))

    def scale_and_bias(self) -> None:
        """None: PE-AV's scale and bias belong to products of vectors as they are, not of unit length."""

    @property
    def _usual(self) -> float:
        return SECONDS

    @cached_property
    def _stated(self) -> dict[str, Any]:
        stated: dict[str, Any] = self._load(_Stated)
        if stated.get("model_type") != "pe_audio_video":
            raise BadSetting(
                f"Weights {self.checkpoint!r} of extractor {self.name} are of the kind {stated.get('model_type')}; "
                "expected pe_audio_video."
            )
        return stated

    @cached_property
    def _hertz(self) -> int:
        return int(self._processor.sampling_rate)

    @cached_property
    def _side(self) -> int:
        """Pixels of the picture's side."""
        from avshot.nn.pe_core import size_of

        return size_of(self._stated["audio_video_config"]["video_config"]["vision_config"]).image

    @cached_property
    def _processor(self) -> Any:
        from transformers import PeAudioFeatureExtractor

        return self._load(PeAudioFeatureExtractor)

    @cached_property
    def _model(self) -> Any:
        from avshot.features.extractors import _pe_models

        kind, config = getattr(_pe_models, self.part), _pe_models.config_of(self._stated)
        shared = _pe_models.SHARED if self.part == "PeBoth" else None
        return self._load_model(kind, config=config, key_mapping=shared)

    def _sounds(self, pieces: list[np.ndarray]) -> Tensor:
        """Pieces `[sample]` of one length as the model's input; the processor mirrors their end to whole steps."""
        prepared = self._processor(list(pieces), sampling_rate=self._hertz, return_tensors="pt")
        return prepared["input_values"].to(self.device)

    def _pixels(self, windows: list[np.ndarray]) -> Tensor:
        """Frames as the model's input, from -1 to 1: `[window, frame, 3, side, side]`."""
        size = (self._side, self._side)
        videos = np.stack([[resized(frame, size) for frame in window] for window in windows])
        return torch.from_numpy(videos).permute(0, 1, 4, 2, 3).to(self.device).float() / 127.5 - 1


class _Stated:
    """`config.json` as it is: what transformers makes of it needs timm."""

    @staticmethod
    def from_pretrained(place: str, **options: Any) -> dict[str, Any]:
        """The file of a folder or hub id."""
        from transformers import PreTrainedConfig

        found, _ = PreTrainedConfig.get_config_dict(place, **options)
        return dict(found)


def alike(pieces: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Pieces in order, in groups of one length: padding would change what the model hears at the end."""
    groups: list[list[np.ndarray]] = []
    for piece in pieces:
        if not groups or len(groups[-1][0]) != len(piece):
            groups.append([])
        groups[-1].append(piece)
    return groups
