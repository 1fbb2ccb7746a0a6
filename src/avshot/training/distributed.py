"""The processes that train one method together; usually one. Several run through accelerate.

Each process holds the whole method, draws the same batches and computes the loss of its slice of each. Gradients are
summed, weighted by clips, so that all take the step that one process would take, up to rounding. Batch norms see the
whole batch (`avshot.nn.batch_means`). Random draws inside a loss (dropout, noise) differ from one process to the next,
and so from those of a single process. The first process alone judges, adapts and writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.method import Method
from avshot.nn.batch_means import Share, sharing

T = TypeVar("T")
_PATIENCE = timedelta(hours=6)  # how long all may wait for one, such as the main process while it judges


class Processes:
    """One process: there is nothing to share. `Several` does the same for more.

    Attributes:
        count: How many train together.
        index: Which of them this is; the first, 0, is the main one.
    """

    count, index = 1, 0

    @property
    def main(self) -> bool:
        """Whether this process judges, adapts and writes."""
        return self.index == 0

    def part(self, clips: int) -> slice:
        """The slice of `clips` drawn clips that this process learns from: all slices together are the batch."""
        return slice(clips * self.index // self.count, clips * (self.index + 1) // self.count)

    def weight(self, clips: int, batch_size: int) -> float:
        """What the loss of a slice of so many clips counts in that of its batch."""
        return 1.0

    def computing(self, weight: float, precision: str, device: torch.device) -> AbstractContextManager[Any]:
        """The context in which the loss of a slice is computed: precision (`Recipe.precision`), rows elsewhere."""
        return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

    def add_up(self, parameters: Iterable[torch.nn.Parameter], values: Tensor) -> Tensor:
        """Sum the gradients of `parameters` over all processes, in place, and `values [any]`, which are returned."""
        return values

    def share(self, value: T) -> T:
        """What the main process passes as `value`, in all of them."""
        return value

    def align(self, method: Method) -> None:
        """Give all processes the weights and buffers of the main one; a bool buffer is true where it is in any."""


class Several(Processes):
    """Several processes, this being one of them; see `Processes`. Made by `current`."""

    def __init__(self, kind: str) -> None:
        self._kind, self._precision = kind, ""
        self._prepare("fp32")
        self.count, self.index = self._accelerator.num_processes, self._accelerator.process_index

    def _prepare(self, precision: str) -> None:
        if precision == self._precision:
            return
        from accelerate import Accelerator, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state()  # it holds one precision for good; the group of processes stays
        mixed = "bf16" if precision == "bf16" else "no"
        patience = InitProcessGroupKwargs(timeout=_PATIENCE)
        self._accelerator = Accelerator(cpu=self._kind == "cpu", mixed_precision=mixed, kwargs_handlers=[patience])
        self._precision = precision

    def weight(self, clips: int, batch_size: int) -> float:
        """See `Processes`."""
        return clips / batch_size

    @contextmanager
    def computing(self, weight: float, precision: str, device: torch.device) -> Iterator[None]:
        """See `Processes`."""
        self._prepare(precision)
        with sharing(Share(weight, self._sum)), self._accelerator.autocast():
            yield

    def add_up(self, parameters: Iterable[torch.nn.Parameter], values: Tensor) -> Tensor:
        """See `Processes`. A parameter without a gradient in any process keeps none: Adam leaves it alone."""
        trained = list(parameters)
        found = torch.tensor([float(p.grad is not None) for p in trained], device=values.device)
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained]
        sizes = [len(values), len(found), *map(len, gradients)]
        total, found, *gradients = self._sum(torch.cat([values, found, *gradients])).split(sizes)
        for parameter, times, gradient in zip(trained, found.tolist(), gradients, strict=True):
            parameter.grad = gradient.view_as(parameter) if times else None
        return total

    def share(self, value: T) -> T:
        """See `Processes`."""
        from accelerate.utils import broadcast_object_list

        shared: T = broadcast_object_list([value])[0]
        return shared

    def align(self, method: Method) -> None:
        """See `Processes`."""
        from accelerate.utils import broadcast

        for tensor in method.state_dict().values():
            if tensor.dtype == torch.bool:
                tensor.copy_(self._sum(tensor.long()) > 0)
            else:
                tensor.copy_(broadcast(tensor.contiguous()))

    def _sum(self, value: Tensor) -> Tensor:
        total: Tensor = self._accelerator.reduce(value, reduction="sum")
        return total


def current(device: torch.device | str = "cpu") -> Processes:
    """The processes that train together with this one, as torchrun and `accompanied` tell in the environment.

    Args:
        device: Where they train. "cuda" is one GPU for each process, "cpu" works through gloo.

    Raises:
        ValueError: There are several, and accelerate is missing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    return _several(torch.device(device).type)


def warning(precision: str, device: str) -> str:
    """A sentence for who trains in bf16 on a processor without instructions for it; empty for all others."""
    if precision != "bf16" or torch.device(device).type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ""
    return "this processor has no bf16 instructions, so precision=bf16 is several times slower than fp32 here."


def is_worker() -> bool:
    """Whether this process was started to train along with a main one, which reports."""
    return int(os.environ.get("RANK", "0")) > 0


@lru_cache(maxsize=1)
def _several(kind: str) -> Several:
    try:
        return Several(kind)
    except ImportError:
        raise BadSetting('Several processes need accelerate: pip install "avshot[train]".') from None


def check(method: Method, batch_size: int, count: int) -> None:
    """Raise ValueError, in one sentence, where `count` processes cannot train `method` as one would."""
    alone = "; train it with one process."
    if count > 1 and not method.phases():
        raise BadSetting(f"{method.name} learns nothing by gradient, so {count} processes have nothing to share{alone}")
    if count > 1 and method.couples:
        raise BadSetting(f"{method.name} cannot learn from slices of a batch: {method.couples}{alone}")
    if batch_size < count:
        raise BadSetting(f"Batches of {batch_size} clips cannot be shared by {count} processes; use fewer processes.")


def leave() -> None:
    """Take this process out of the group, so that it can end or join another one."""
    _several.cache_clear()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from accelerate.state import AcceleratorState

        torch.distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
