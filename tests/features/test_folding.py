"""Released parameters into a network: strictly, and folded without changing what it computes."""

import pytest
import torch
from torch import nn

from avshot.features.folding import folded
from avshot.files.released import filled


class Pair(nn.Module):
    """A convolution and a batch norm under names of their own, beside a sequence of them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4, eps=1e-3)
        parts = nn.Conv2d(4, 4, 1, groups=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1)
        self.rest = nn.Sequential(*parts)

    def forward(self, maps):
        return self.rest(self.norm(self.conv(maps)))


def random_state(network):
    generator = torch.Generator().manual_seed(0)
    return {
        name: value if value.dtype == torch.long else torch.rand(value.shape, generator=generator) + 0.1
        for name, value in network.state_dict().items()
    }


def test_folded_computes_the_same_with_no_batch_norm_left():
    state, maps = random_state(Pair()), torch.randn(2, 3, 8, 8)
    plain = filled(Pair(), state, "file", "a pair")
    quick = folded(filled(Pair(), state, "file", "a pair"))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in quick.modules())
    torch.testing.assert_close(quick(maps), plain(maps), rtol=1e-4, atol=1e-4)
    assert not plain.training
    assert not any(parameter.requires_grad for parameter in plain.parameters())


def test_every_name_and_shape_counts():
    state = random_state(Pair())
    for change in (
        {"conv.weight": None},
        {"more": torch.zeros(1)},
        {"norm.bias": torch.zeros(5)},
    ):
        wrong = {name: value for name, value in (state | change).items() if value is not None}
        with pytest.raises(ValueError, match=f"file does not hold the parameters of a pair .*{next(iter(change))}"):
            filled(Pair(), wrong, "file", "a pair")
    with pytest.raises(ValueError, match=r"norm\.running_var that are not finite"):
        filled(Pair(), state | {"norm.running_var": torch.full((4,), float("nan"))}, "file", "a pair")
