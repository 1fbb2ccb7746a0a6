"""VGGish: VGG's configuration A without its last group, on log-mel patches (Hershey et al., ICASSP 2017).

Parameter names are those of `vggish-10086976.pth` (harritaylor/torchvggish, converted from Google's release); the file
of AVCA's program (tcvrick/audioset-vggish-tensorflow-to-pytorch) calls `embeddings` `fc` and is otherwise the same.
https://arxiv.org/abs/1609.09430
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

FRAMES, BANDS = 96, 64  # of one patch
RENAMED = ((r"^fc\.", "embeddings."),)
_PLAN = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0)  # multiples of the first width; 0 is a pooling


class VGGish(nn.Module):
    """A log-mel patch to its embedding, which is behind a ReLU as both released ports have it.

    Args:
        width: Channels of the first convolution.
        hidden: Width of the two hidden layers.
        dim: Width of the embedding.
    """

    def __init__(self, width: int = 64, hidden: int = 4096, dim: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for step in _PLAN:
            if step == 0:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(before, step * width, 3, padding=1), nn.ReLU()]
                before = step * width
        self.features = nn.Sequential(*layers)
        cells = before * (FRAMES // 16) * (BANDS // 16)
        sizes = ((cells, hidden), (hidden, hidden), (hidden, dim))
        self.embeddings = nn.Sequential(*(part for size in sizes for part in (nn.Linear(*size), nn.ReLU())))

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> VGGish:
        """A network of the sizes of `tensors`. Raises KeyError where a layer that tells them is missing."""
        hidden, dim = (len(tensors[f"embeddings.{layer}.weight"]) for layer in (0, 4))
        return cls(len(tensors["features.0.weight"]), hidden, dim)

    def forward(self, patches: Tensor) -> Tensor:
        """Embeddings `[patch, dim]` of patches `[patch, 1, 96, 64]` (frame, band)."""
        # TensorFlow, whose weights these are, has the channels last.
        return self.embeddings(self.features(patches).permute(0, 2, 3, 1).flatten(1))
