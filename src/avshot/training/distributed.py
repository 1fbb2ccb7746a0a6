"""The processes that train one method together; usually one. Several run through accelerate.

Each process holds the whole method, draws the same batches and computes the loss of its slice of each. Gradients are
summed, weighted by clips, so that all take the step that one process would take, up to rounding. Batch norms see the
whole batch (`avshot.nn.batch_means`). Random draws inside a loss (dropout, noise) differ from one process to the next,
and so from those of a single process. The first process alone judges, adapts and writes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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
_LATER = 5.0  # seconds
_LEAVING = 60.0  # seconds that finished companions get to leave by themselves


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


@contextmanager
def spawn(count: int, companion: Callable[..., None], *arguments: Any, device: str = "cpu") -> Iterator[None]:
    """What runs inside is the first of `count` processes on this machine; the others run `companion(*arguments)`.

    They divide the threads of this one. When it fails they are stopped; when one of them dies, it fails.

    Args:
        count: Processes in all; 1 starts none.
        companion: A function of a module (it is found by name in a fresh process), which trains whenever this one does.
        arguments: Travel to each of them.
        device: Where they train; see `current`.

    Raises:
        ValueError: A companion died, or accelerate is missing.
    """
    if count == 1:
        yield
        return
    threads = torch.get_num_threads()
    share = max(1, threads // count)
    settings = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": str(share)}
    settings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "RANK": "0", "LOCAL_RANK": "0"}
    before = {name: os.environ.get(name) for name in settings}
    companions: list[Any] = []
    try:
        torch.set_num_threads(share)
        started = []
        for index in range(1, count):
            os.environ.update(settings | {"RANK": str(index), "LOCAL_RANK": str(index)})  # the child inherits it
            started.append(_start(companions, device, companion, arguments))
        os.environ.update(settings)
        for pipe in started:
            pipe.recv()  # a group that one never joins would be waited for in vain
        current(device)
        yield
        for process in companions:
            process.join(_LEAVING)
    except (RuntimeError, EOFError) as error:
        for process in companions:
            process.join(_LATER)  # a peer that hung up may not have ended yet
        codes = [process.exitcode for process in companions if process.exitcode]
        if not codes:
            raise
        raise ValueError(
            f"A process that trained along ended (exit code {codes[0]}), perhaps for want of memory; run the same "
            "command again to go on, or with fewer processes."
        ) from error
    finally:
        for process in companions:
            process.kill()
        leave()
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
        torch.set_num_threads(threads)


def _start(companions: list[Any], device: str, companion: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    """Start one more companion; it says through the returned pipe when it is ready to join the group."""
    context = multiprocessing.get_context("spawn")  # fork would copy torch's threads in an unusable state
    ours, theirs = context.Pipe(duplex=False)
    companions.append(context.Process(target=_accompany, args=(theirs, device, companion, arguments), daemon=True))
    companions[-1].start()
    theirs.close()  # so that the pipe ends when the child does
    return ours


def _accompany(pipe: Any, device: str, companion: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Body of a companion."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which then stops this one
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    leave_with_parent()
    pipe.send("ready")
    try:
        current(device)
        companion(*arguments)
    except ValueError as error:
        time.sleep(_LATER)  # usually the main process found the same: it says so, and stops this one
        sys.exit(f"avshot: process {os.environ['RANK']}: {error}")
    leave()


def leave() -> None:
    """Take this process out of the group, so that it can end or join another one."""
    _several.cache_clear()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from accelerate.state import AcceleratorState

        torch.distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)


def leave_with_parent() -> None:
    """End this process when its parent is gone: what was killed must not train on beside a resumed command."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
