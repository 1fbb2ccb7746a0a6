"""Released parameters into a network, under a strict check of names and shapes, and made ready to be used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from avshot.errors import BadSetting
from avshot.nn.released_weights import all_finite

Network = TypeVar("Network", bound=nn.Module)


def load_strictly(network: Network, tensors: Mapping[str, Tensor], where: str, what: str) -> Network:
    """`network` with exactly these parameters, in eval mode, in float32, without gradient.

    Args:
        network: A module whose names are those of the release.
        tensors: By name, every one once.
        where: The file, for messages.
        what: Whose parameters are expected, for messages: "EfficientAT".

    Raises:
        ValueError: Parameters are missing, unknown or of another shape, or hold numbers that are not finite.
    """
    own = network.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) or [name for name in own if own[name].shape != tensors[name].shape]
    if wrong:
        raise BadSetting(
            f"{where} does not hold the parameters of {what} (lacking, unknown or of another size: "
            f"{', '.join(wrong[:3])}); give the released file unchanged."
        )
    bad = [name for name, value in tensors.items() if not all_finite(value)]
    if bad:
        raise BadSetting(f"{where} holds numbers in {bad[0]} that are not finite; fetch it again.")
    network.load_state_dict(dict(tensors))
    return network.float().eval().requires_grad_(False)


def folded(network: Network) -> Network:
    """`network` with each batch norm worked into the convolution that stands right before it in its module.

    What it computes is the same up to rounding, in fewer passes over memory; its parameter names are not. Convolutions
    are fastest with channels last in memory, and so its weights lie.
    """
    for part in network.modules():
        children = list(part.named_children())
        for (name, convolution), (after, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(convolution, norm))
                setattr(part, after, nn.Identity())
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
