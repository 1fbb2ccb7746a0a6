"""What the two extractors of ImageBind share: the checkpoint is one file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from avshot.errors import BadSetting
from avshot.features.extractors._windows import Windowed
from avshot.files.atomic import file_digest
from avshot.files.imagebind import Tower, read_scale, read_tower

SECONDS = 2.0


class ImageBindWindows(Windowed):
    """Windows of two seconds through one tower of ImageBind.

    Attributes:
        tower: "vision" or "audio".
    """

    text: ClassVar[str] = "imagebind"
    licence: ClassVar[str] = "CC-BY-NC 4.0"
    checked: ClassVar[str] = "random weights"
    tower: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not Path(self.checkpoint).is_file():
            raise BadSetting(f"Extractor {self.name}: there is no file {self.checkpoint}; give imagebind_huge.pth.")

    @property
    def dim(self) -> int:
        """Width of the joint space (1024 in the released weights)."""
        return self._model.dim

    def scale_and_bias(self) -> tuple[float, float]:
        """The scale with which ImageBind compares this modality with texts, and no bias: trained with a softmax."""
        return read_scale(self.checkpoint, self.tower), 0.0

    @property
    def _usual(self) -> float:
        return SECONDS

    @cached_property
    def _model(self) -> Tower:
        return read_tower(self.checkpoint, self.tower).to(self.device)

    def _identity(self) -> str:
        return f"sha256:{file_digest(self.checkpoint)}"
