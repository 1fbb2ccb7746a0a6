"""The device that somebody named, checked before anything is computed on it."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from avshot.errors import BadSetting

if TYPE_CHECKING:
    import torch


def check_device(text: str | torch.device) -> torch.device:
    """The torch device `text`, after a trial: a wrong word must not be found out after an hour of extraction.

    Args:
        text: "cpu", or what this machine's accelerator is called, for example "cuda", "cuda:1", "mps" or "xpu". A
            number chooses among several; without one torch takes its current one.

    Returns:
        The device, with a number only where `text` has one.

    Raises:
        ValueError: No such kind of device, this build of torch or this machine has none of it or not so many, or it
            is there and does not work (no memory left, too old); the message names those that can be used.

    Example:
        >>> from avshot.machine.device import check_device
        >>> check_device("cpu")
        device(type='cpu')
    """
    import torch

    available = available_devices()
    with warnings.catch_warnings():  # names of long ago warn that they are going to be removed: they are refused below
        warnings.simplefilter("ignore")
        try:
            device = torch.device(text)
        except RuntimeError:
            raise BadSetting(f"Device {text!r} does not exist; use {_one_of(available)}.") from None
    if str(device) not in available:
        raise BadSetting(
            f"Device {str(text)!r} cannot be used: PyTorch {torch.__version__} finds no such device on this machine; "
            f"use {_one_of(available)}."
        )
    try:
        torch.zeros(1, device=_own(device))
    except (RuntimeError, AssertionError) as error:  # torch's CUDA and XPU builds raise either
        cause = str(error).strip().partition("\n")[0].rstrip(".")
        raise BadSetting(f"Device {str(text)!r} is there but does not work: {cause}; try cpu.") from None
    return device


def _own(device: torch.device) -> torch.device:
    """The device of this process: of several that train together each takes a GPU of its own (see `processes.here`)."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    if rank is None or device.type == "cpu" or device.index is not None:
        return device
    return torch.device(device.type, int(rank))


def available_devices() -> tuple[str, ...]:
    """Names of the devices that torch finds on this machine: "cpu", then "cuda", "cuda:0", "cuda:1" and so on."""
    import torch

    with warnings.catch_warnings():  # a build for a GPU on a machine without a driver warns; the caller says as much
        warnings.simplefilter("ignore")
        kind = torch.accelerator.current_accelerator(check_available=True)
        count = torch.accelerator.device_count() if kind is not None else 0
    if kind is None or count == 0:
        return ("cpu",)
    return ("cpu", kind.type, *(f"{kind.type}:{i}" for i in range(count)))


def _one_of(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
