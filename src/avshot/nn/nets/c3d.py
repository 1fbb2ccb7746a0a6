"""C3D: eight 3 x 3 x 3 convolutions over 16 frames (Tran et al., ICCV 2015, Figure 3; https://arxiv.org/abs/1412.0767).

Parameter names are those of the released `c3d.pickle` (DavideA/c3d-pytorch, converted from the authors' Sports-1M
weights), which AVCA and its successors use.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

FRAMES, SIDE = 16, 112  # of one clip; fc6 fits no other


class C3D(nn.Module):
    """A clip of 16 frames to the activations behind the second fully connected layer.

    Args:
        width: Channels of the first convolution; the others have 2, 4 or 8 times as many.
        hidden: Width of `fc6` and `fc7`, which is that of the output.
        labels: Sports of the classifier `fc8`, which has parameters and is not used here.
    """

    def __init__(self, width: int = 64, hidden: int = 4096, labels: int = 487) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, 3, padding=1)
        self.conv2 = nn.Conv3d(width, 2 * width, 3, padding=1)
        self.conv3a = nn.Conv3d(2 * width, 4 * width, 3, padding=1)
        self.conv3b = nn.Conv3d(4 * width, 4 * width, 3, padding=1)
        self.conv4a = nn.Conv3d(4 * width, 8 * width, 3, padding=1)
        self.conv4b = nn.Conv3d(8 * width, 8 * width, 3, padding=1)
        self.conv5a = nn.Conv3d(8 * width, 8 * width, 3, padding=1)
        self.conv5b = nn.Conv3d(8 * width, 8 * width, 3, padding=1)
        self.fc6 = nn.Linear(8 * width * 4 * 4, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, labels)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> C3D:
        """A network of the sizes of `tensors`. Raises KeyError where a layer that tells them is missing."""
        return cls(len(tensors["conv1.weight"]), len(tensors["fc6.weight"]), len(tensors["fc8.weight"]))

    def forward(self, clips: Tensor) -> Tensor:
        """`fc7` after ReLU, `[clip, hidden]`, of clips `[clip, colour, 16, 112, 112]`."""
        x = F.max_pool3d(F.relu(self.conv1(clips)), (1, 2, 2))
        x = F.max_pool3d(F.relu(self.conv2(x)), 2)
        x = F.max_pool3d(F.relu(self.conv3b(F.relu(self.conv3a(x)))), 2)
        x = F.max_pool3d(F.relu(self.conv4b(F.relu(self.conv4a(x)))), 2)
        x = F.max_pool3d(F.relu(self.conv5b(F.relu(self.conv5a(x)))), 2, padding=(0, 1, 1))
        return F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))
