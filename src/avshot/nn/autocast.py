"""What stays in float32 when a loss is computed in mixed precision (`Recipe.precision`)."""

from __future__ import annotations

import torch
from torch import Tensor


def exact(value: Tensor) -> torch.autocast:
    """Context in which nothing on the device of `value` is rounded to a half-precision type.

    For the few rows at the end of a loss, where nothing is to be gained: products of bfloat16 keep three digits.
    """
    return torch.autocast(value.device.type, enabled=False)


def widened(value: Tensor) -> Tensor:
    """The tensor in float32 where it is of a half-precision type, else unchanged."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
